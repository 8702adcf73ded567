"""Small untrained measuring networks on disk, in the formats of the real ones."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from small_networks import WORDS, fresh_folder

PREPARATION = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
ALEX = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]
VGG = [(64, 3), (64, 64), (128, 64), (128, 128), (256, 128), *[(256, 256)] * 2]
VGG += [(512, 256), *[(512, 512)] * 5]
CONVOLUTIONS = {
    "alex": dict(zip((0, 3, 6, 8, 10), ALEX, strict=True)),
    "vgg": {
        number: (*shape, 3)
        for number, shape in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), VGG, strict=True)
    },
}
"""Channels out and in and the kernel of every convolution of the two backbones of LPIPS."""

HEADS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def draw(shape: tuple[int, ...], random: torch.Generator, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=random) * scale


def pictures(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(seed))


@functools.cache
def lpips(net: str) -> Path:
    """A folder of random weights with the layers and the names of the real ones."""
    folder, random = fresh_folder(), torch.Generator().manual_seed(5)
    weights: dict[str, Tensor] = {}
    for number, (out, into, side) in CONVOLUTIONS[net].items():
        scale = (2 / (into * side * side)) ** 0.5
        weights[f"features.{number}.weight"] = draw((out, into, side, side), random, scale)
        weights[f"features.{number}.bias"] = draw((out,), random, 0.1)
    for number, count in enumerate(HEADS[net]):
        weights[f"lin{number}.model.1.weight"] = draw((1, count, 1, 1), random).abs()
    weights["classifier.6.bias"] = draw((10,), random)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"net": net}))
    return folder


@functools.cache
def clip() -> Path:
    """A CLIP of OpenAI's form: features of 12 numbers, pictures of 16 x 16, few words."""
    from transformers import CLIPConfig, CLIPModel

    from maquette.toybox.networks import tokenizer, write_vocabulary

    folder = fresh_folder()
    write_vocabulary(WORDS, folder)
    words = tokenizer(folder)
    words.save_pretrained(folder)
    size: dict[str, Any] = {
        **{"hidden_size": 16, "intermediate_size": 32},
        **{"num_hidden_layers": 1, "num_attention_heads": 2},
    }
    text = {
        **size,
        **{"vocab_size": len(words), "max_position_embeddings": 20},
        **{"eos_token_id": len(words) - 1, "bos_token_id": len(words) - 2},
    }
    vision = {**size, "image_size": 16, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARATION))
    return folder


@functools.cache
def aesthetic() -> Path:
    """The head of the aesthetic predictor in its own numbering, on features of 12 numbers."""
    folder, random = fresh_folder(), torch.Generator().manual_seed(2)
    save_file(chain("layers", (12, 10, 8, 6, 4, 1), random), folder / "model.safetensors")
    return folder


def chain(prefix: str, widths: tuple[int, ...], random: torch.Generator) -> dict[str, Tensor]:
    """Linear layers under the numbers 0, 2, 4, 6 and 7: those between were dropouts."""
    weights = {}
    for place, number in enumerate((0, 2, 4, 6, 7)):
        into, out = widths[place], widths[place + 1]
        weights[f"{prefix}.{number}.weight"] = draw((out, into), random, into**-0.5)
        weights[f"{prefix}.{number}.bias"] = draw((out,), random, 0.3)
    return weights


VISION = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 3, "image_size": 16, "patch_size": 8}
TEXT = {"hidden_size": 8, "intermediate_size": 14, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 2, "vocab_size": 16, "max_position_embeddings": 40}


@functools.cache
def image_reward() -> Path:
    """Random weights under the names of ``ImageReward.pt``, and a vocabulary of few words."""
    folder, random = fresh_folder(), torch.Generator().manual_seed(9)
    save_file(reward_weights(random), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"vision": VISION, "text": TEXT}))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *WORDS]) + "\n")
    return folder


def reward_weights(random: torch.Generator) -> dict[str, Tensor]:
    wide, narrow = VISION["hidden_size"], TEXT["hidden_size"]
    seeing, reading = "blip.visual_encoder", "blip.text_encoder"
    weights = {
        f"{seeing}.cls_token": draw((1, 1, wide), random),
        f"{seeing}.pos_embed": draw((1, 5, wide), random),
        f"{seeing}.patch_embed.proj.weight": draw((wide, 3, 8, 8), random, 0.07),
        f"{seeing}.patch_embed.proj.bias": draw((wide,), random),
        **norm(f"{seeing}.norm", wide, random),
        **norm(f"{reading}.embeddings.LayerNorm", narrow, random),
        f"{reading}.embeddings.word_embeddings.weight": draw((16, narrow), random),
        f"{reading}.embeddings.position_embeddings.weight": draw((40, narrow), random),
        f"{reading}.embeddings.position_ids": torch.arange(40)[None],
        "blip.vision_proj.weight": draw((4, wide), random),
        **chain("mlp.layers", (narrow, 10, 8, 6, 4, 1), random),
    }
    for number in range(2):
        block = f"{seeing}.blocks.{number}"
        weights |= norm(f"{block}.norm1", wide, random) | norm(f"{block}.norm2", wide, random)
        weights |= linear(f"{block}.attn.qkv", wide, 3 * wide, random)
        weights |= linear(f"{block}.attn.proj", wide, wide, random)
        weights |= linear(f"{block}.mlp.fc1", wide, VISION["intermediate_size"], random)
        weights |= linear(f"{block}.mlp.fc2", VISION["intermediate_size"], wide, random)
        layer = f"{reading}.encoder.layer.{number}"
        for kind, into in (("attention", narrow), ("crossattention", wide)):
            weights |= linear(f"{layer}.{kind}.self.query", narrow, narrow, random)
            weights |= linear(f"{layer}.{kind}.self.key", into, narrow, random)
            weights |= linear(f"{layer}.{kind}.self.value", into, narrow, random)
            weights |= linear(f"{layer}.{kind}.output.dense", narrow, narrow, random)
            weights |= norm(f"{layer}.{kind}.output.LayerNorm", narrow, random)
        weights |= linear(f"{layer}.intermediate.dense", narrow, 14, random)
        weights |= linear(f"{layer}.output.dense", 14, narrow, random)
        weights |= norm(f"{layer}.output.LayerNorm", narrow, random)
    return weights


def linear(name: str, into: int, out: int, random: torch.Generator) -> dict[str, Tensor]:
    weight = draw((out, into), random, 1.5 * into**-0.5)
    return {f"{name}.weight": weight, f"{name}.bias": draw((out,), random, 0.3)}


def norm(name: str, width: int, random: torch.Generator) -> dict[str, Tensor]:
    weight = 1 + draw((width,), random, 0.2)
    return {f"{name}.weight": weight, f"{name}.bias": draw((width,), random, 0.2)}
