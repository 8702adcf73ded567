"""Small untrained networks on disk, in the formats of the real ones, made once per test process."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from maquette.toybox import dataset
from maquette.toybox.networks import tokenizer, write_vocabulary
from maquette.toybox.pack import pack_judge, pack_points, pack_prior
from maquette.toybox.train import train

WORDS = ("a", "red", "blue", "mug", "front", "side", "back", "overhead", "view", ",")
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
BLOCK = 64
_kept: list[tempfile.TemporaryDirectory[str]] = []


def fresh_folder() -> Path:
    """A folder that is deleted when the process ends."""
    _kept.append(tempfile.TemporaryDirectory(prefix="maquette-tests-"))
    return Path(_kept[-1].name)


@functools.cache
def trained() -> Path:
    """Two steps of every stage at the size "tiny": ``training``, and what is packed from it."""
    folder = fresh_folder()
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(dataset, "BLOCK", BLOCK)
        steps = {f"{stage}_steps": 2 for stage in ("vae", "unet", "clip", "views", "points")}
        train(folder / "training", size="tiny", pictures=2 * BLOCK, batch=8, **steps)  # pyright: ignore
    pack_prior(folder / "training", folder / "prior-tiny", "tiny")
    pack_judge(folder / "training", folder / "judge-tiny", "tiny")
    pack_points(folder / "training", folder / "points-tiny", "tiny")
    return folder


@functools.cache
def stable_diffusion(autoencoder: str = "AutoencoderTiny") -> Path:
    """A folder in the diffusers layout: 8 x 8 latents of pictures of 16 x 16."""
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = fresh_folder() / "small"
    write_vocabulary(WORDS, folder / "tokenizer")
    words = tokenizer(folder / "tokenizer")
    words.save_pretrained(folder / "tokenizer")
    wide: dict[str, Any] = {"block_out_channels": (8, 8), "norm_num_groups": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            **wide,
        )
        kl = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            sample_size=16,
            scaling_factor=0.7,
            **wide,
        )
        small = AutoencoderTiny(
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            scaling_factor=0.7,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=20,
                eos_token_id=len(words) - 1,
            )
        )
    unet.save_pretrained(folder / "unet")
    {"AutoencoderKL": kl, "AutoencoderTiny": small}[autoencoder].save_pretrained(folder / "vae")
    text.save_pretrained(folder / "text_encoder")
    write_scheduler(folder)
    return folder


def write_scheduler(folder: Path, **changes: object) -> None:
    """The scheduler's configuration of a diffusers folder."""
    (folder / "scheduler").mkdir(exist_ok=True)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**SCHEDULER, **changes}))
