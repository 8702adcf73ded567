"""Small untrained vision-language models on disk: one with an encoder and a decoder, and one with
a decoder alone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from small_networks import fresh_folder

WORDS = ["Does", "this", "figure", "show", '"', "a", "red", "blue", "mug", "?", "Please", "answer"]
WORDS += ["yes", "or", "no", ".", "Yes", "No", "USER", ":"]
SPECIAL = ["<pad>", "</s>", "<unk>", "<s>", "<image>"]


def tokenizer(*, ends: bool) -> Any:
    """Whole words only; it writes the end of the text, as that of T5 does, where ``ends``."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    inner = Tokenizer(WordLevel(numbers, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    if ends:
        form = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    else:
        form = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    inner.post_processor = form  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **{"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        # The processor of BLIP-2 names the picture's token by itself.
        **({} if ends else {"bos_token": "<s>"}),
        **({} if ends else {"extra_special_tokens": {"image_token": "<image>"}}),
    )


@functools.cache
def blip2() -> Path:
    """BLIP-2 with T5: an encoder-decoder."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessorPil,
    )

    words, folder = tokenizer(ends=True), fresh_folder()
    shared: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1}
    shared |= {"num_attention_heads": 2}
    text = {"model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 1}
    text |= {"num_heads": 2, "vocab_size": len(words), "decoder_start_token_id": 0}
    config = Blip2Config(
        vision_config={**shared, "image_size": 8, "patch_size": 4, "initializer_range": 0.5},
        qformer_config={**shared, "encoder_hidden_size": 8, "vocab_size": 9},
        text_config={**text, "pad_token_id": 0, "eos_token_id": 1, "initializer_factor": 1.0},
        num_query_tokens=3,
        image_token_index=SPECIAL.index("<image>"),
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Blip2ForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 8, "width": 8}
    Blip2Processor(BlipImageProcessorPil(size=size), words, 3).save_pretrained(folder)
    return folder


@functools.cache
def llava(template: str = "") -> Path:
    """LLaVA with a Llama: a decoder alone, with a chat template or none."""
    from transformers import (
        CLIPImageProcessorPil,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    words, folder = tokenizer(ends=False), fresh_folder()
    shared: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2}
    shared |= {"num_attention_heads": 2, "initializer_range": 0.5}
    vision = {**shared, "model_type": "clip_vision_model", "image_size": 8, "patch_size": 4}
    text = {**shared, "model_type": "llama", "vocab_size": len(words), "pad_token_id": 0}
    config = LlavaConfig(
        vision_config=vision,
        text_config={**text, "bos_token_id": 3, "eos_token_id": 1, "num_key_value_heads": 2},
        image_token_index=SPECIAL.index("<image>"),
        vision_feature_layer=-1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 8, "width": 8}
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=size)
    LlavaProcessor(
        images,
        words,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template or None,
    ).save_pretrained(folder)
    return folder
