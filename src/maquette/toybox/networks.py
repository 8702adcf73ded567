"""The networks of the embedded prior and of the judge, in the diffusers and transformers classes.

Stock classes at a small size: whatever loads Stable Diffusion or CLIP loads these. The picture
encoder is ``AutoencoderTiny`` without blocks at full resolution, because convolutions over 64x64
pixels would cost more than everything else together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "SIZES",
    "Size",
    "autoencoder",
    "judge_clip",
    "judge_views",
    "text_encoder",
    "token_ids",
    "tokenizer",
    "unet",
    "write_vocabulary",
]

TOKENS = 24
"""Longest text in tokens, start and end included; longer prompts are cut."""
TEXT_WIDTH = 128
LATENT_CHANNELS = 8
"""Three of mean colour and five of detail: see ``stages.train_vae``."""


@dataclass(frozen=True)
class Size:
    """How large the networks are.

    Attributes:
        picture: side of the pictures in pixels; latents are a quarter of it.
        vae_width: channels of the autoencoder.
        vae_blocks: residual blocks of its encoder from full to quarter resolution.
        unet_widths: channels at the latent resolution, a half and a quarter of it.
        unet_layers: residual blocks of a level.
        judge_widths: channels of the judge's vision net at a quarter, an eighth and a sixteenth.
        points: width, tokens, blocks, thoughts and heads of the point generator.
    """

    picture: int
    vae_width: int
    vae_blocks: tuple[int, int, int]
    unet_widths: tuple[int, int, int]
    unet_layers: int
    judge_widths: tuple[int, int, int]
    points: tuple[int, int, int, int, int] = (96, 64, 3, 2, 4)


SIZES = {
    "64": Size(64, 32, (0, 1, 3), (32, 64, 128), 2, (48, 96, 192)),
    "128": Size(128, 48, (0, 1, 3), (48, 96, 144), 2, (64, 128, 256), (192, 96, 4, 3, 6)),
    "tiny": Size(16, 8, (0, 1, 1), (16, 32, 32), 1, (8, 16, 16), (16, 8, 1, 1, 2)),
}


def autoencoder(size: Size) -> Any:
    """``AutoencoderTiny`` from ``[B, 3, S, S]`` in [-1, 1] to ``[B, 8, S/4, S/4]`` and back."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    widths = (size.vae_width,) * 3
    return AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=size.vae_blocks,
        num_decoder_blocks=size.vae_blocks[::-1],
        latent_channels=LATENT_CHANNELS,
    )


def unet(size: Size) -> Any:
    """``UNet2DConditionModel`` with attention at the two lower resolutions only."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    down = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
    return UNet2DConditionModel(
        sample_size=size.picture // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=size.unet_widths,
        layers_per_block=size.unet_layers,
        down_block_types=down,
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def text_encoder(vocabulary_size: int) -> Any:
    """``CLIPTextModel``, two layers of width 128."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**_text_shape(vocabulary_size)))


def judge_clip(size: Size, vocabulary_size: int) -> Any:
    """``VisionTextDualEncoderModel``: CLIP with a ConvNeXt in place of the vision transformer.

    On a few hundred thousand small pictures a convolutional net learns shapes that a transformer
    of the same cost does not: it need not learn first that neighbouring pixels belong together.
    """
    from transformers import CLIPTextConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    vision, text = _vision_config(size), CLIPTextConfig(**_text_shape(vocabulary_size))
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, text, projection_dim=TEXT_WIDTH
    )
    return VisionTextDualEncoderModel(config)


def judge_views(size: Size, labels: Sequence[str]) -> Any:
    """``ConvNextForImageClassification`` over view words."""
    from transformers import ConvNextForImageClassification

    config = _vision_config(size)
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    return ConvNextForImageClassification(config)


def write_vocabulary(words: Sequence[str], folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt`` of a byte-pair tokenizer that knows each word whole.

    A word's merges are added after those of the words before it. Byte-pair encoding applies the
    oldest merge first, so later words cannot split earlier ones. All printable ASCII characters are
    tokens too, so that an unknown word becomes pieces instead of a failure.
    """
    characters = [chr(code) for code in range(33, 127)]
    tokens = [*characters, *[c + "</w>" for c in characters]]
    known, merges = set(tokens), []
    for word in words:
        pieces = _merged([*word[:-1], word[-1] + "</w>"], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            if "".join(pieces[:2]) not in known:
                tokens.append("".join(pieces[:2]))
                known.add(tokens[-1])
            pieces = _merged(pieces, merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    lines = ["#version: 0.2", *[" ".join(pair) for pair in merges]]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def tokenizer(folder: Path) -> Any:
    """``CLIPTokenizer`` from the two files of :func:`write_vocabulary`."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        model_max_length=TOKENS,
        pad_token="<|endoftext|>",
    )


def token_ids(tokenize: Any, texts: Sequence[str]) -> torch.Tensor:
    """Token numbers ``[B, L]``, padded with the end token as Stable Diffusion does."""
    return tokenize(
        list(texts), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids


def _merged(pieces: list[str], merges: Sequence[tuple[str, str]]) -> list[str]:
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while True:
        pairs = [ranks.get(pair, len(ranks)) for pair in pairwise(pieces)]
        if not pairs or min(pairs) == len(ranks):
            return pieces
        at = pairs.index(min(pairs))
        pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]


def _text_shape(vocabulary_size: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "hidden_act": "quick_gelu",
        # The tokenizer's last two tokens; the model pools at the first end token.
        "bos_token_id": vocabulary_size - 2,
        "eos_token_id": vocabulary_size - 1,
        "pad_token_id": vocabulary_size - 1,
    }


def _vision_config(size: Size) -> Any:
    from transformers import ConvNextConfig

    widths = list(size.judge_widths)
    # The stock layer scale of 1e-6 suits long trainings: these nets would not leave the start.
    # ``hidden_size`` is what the dual encoder reads; ConvNeXt itself only knows the list.
    return ConvNextConfig(
        num_channels=3,
        patch_size=4,
        num_stages=3,
        depths=[2, 2, 2],
        hidden_sizes=widths,
        hidden_size=widths[-1],  # pyright: ignore[reportCallIssue]
        image_size=size.picture,
        layer_scale_init_value=1.0,
        initializer_range=0.05,
    )
