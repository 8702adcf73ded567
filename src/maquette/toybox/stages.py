"""The stages of the prior's training: autoencoder and diffusion model, on the common loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    l1_loss,
    mse_loss,
)

from maquette.noise import NoiseSchedule
from maquette.toybox.dataset import Dataset
from maquette.toybox.networks import (
    Size,
    autoencoder,
    text_encoder,
    unet,
)
from maquette.toybox.trainer import Plan, Team, train_stage

__all__ = [
    "Encoded",
    "TextAndUnet",
    "encode_all",
    "fast",
    "pictures_of",
    "train_unet",
    "train_vae",
]

SCHEDULE = NoiseSchedule.scaled_linear()
COLOUR_SCALE, DETAIL_SIZE, LATENT_NOISE = 2.0, 0.35, 0.05
"""Of the latents: the colour channels' factor, the detail channels' root mean square, the noise
added in training, against codes that hang on the last digits."""


class TextAndUnet(nn.Module):
    """The text encoder and the U-Net, trained as one."""

    def __init__(self, size: Size, vocabulary_size: int) -> None:
        super().__init__()
        self.unet, self.text = unet(size), text_encoder(vocabulary_size)

    def forward(self, noised: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """The head's output ``[B, 4, h, w]`` for token numbers ``[B, L]``."""
        states = self.text(ids).last_hidden_state
        return self.unet(noised, t, encoder_hidden_states=states).sample


def pictures_of(data: Dataset, rows: np.ndarray, device: str) -> Tensor:
    """Pictures ``[B, 3, S, S]`` in [-1, 1]."""
    pictures = torch.from_numpy(data.pictures[rows]).to(device)
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(size: Size, data: Dataset, plan: Plan, team: Team, seed: int) -> Any:
    """L1 on pictures and on their differences, over a latent space that is easy to denoise.

    The first three channels are held to the mean colour of their 4 x 4 pixels and the others kept
    small, so that latents have the spectrum of pictures, coarse before fine. An autoencoder left
    free spreads its code evenly over all frequencies: measured, thrice the share of fine detail,
    which a denoiser then learns instead of shapes.
    """
    network = autoencoder(size).to(team.device, memory_format=torch.channels_last)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        pictures = pictures_of(data, draws.integers(0, len(data), plan.batch), team.device)
        with fast(team.device):
            latents = network.encode(pictures.contiguous(memory_format=torch.channels_last)).latents
            noise = torch.from_numpy(draws.standard_normal(latents.shape, np.float32))
            drawn = network.decode(latents + LATENT_NOISE * noise.to(latents)).sample
        drawn, latents = drawn.float(), latents.float()
        coarse = mse_loss(latents[:, :3], COLOUR_SCALE * avg_pool2d(pictures, 4))
        fine = (latents[:, 3:].square().mean() - DETAIL_SIZE**2).relu()
        # Eight-pixel means hold the colours, which a small network loses before the shapes.
        colours = l1_loss(avg_pool2d(drawn, 8), avg_pool2d(pictures, 8))
        drawing = l1_loss(drawn, pictures) + _edges(drawn, pictures) + colours
        return drawing + 0.3 * coarse + fine

    return train_stage(plan, network, loss, team, seed=seed)


@torch.no_grad()
def encode_all(
    vae: Any, data: Dataset, device: str, factor: float | None = None
) -> tuple[Tensor, float]:
    """Latents ``[N, C, h, w]`` float16 times ``factor``, and that; None scales to deviation 1."""
    parts = []
    for start in range(0, len(data), 512):
        pictures = pictures_of(data, np.arange(start, min(start + 512, len(data))), device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with fast(device):
            parts.append(vae.encode(pictures).latents.half().contiguous().cpu())
    latents = torch.cat(parts)
    factor = factor or 1.0 / float(latents[:8192].float().std())
    return latents * factor, factor


@dataclass(frozen=True)
class Encoded:
    """What the U-Net learns from, on its device.

    Attributes:
        latents: ``[N, C, h, w]``, scaled to unit deviation.
        ids: ``[N, L]`` token numbers of the captions.
    """

    latents: Tensor
    ids: Tensor

    def to(self, device: str) -> Encoded:
        return replace(self, latents=self.latents.to(device), ids=self.ids.to(device))


def train_unet(
    size: Size,
    seen: Encoded,
    unseen: Encoded,
    plan: Plan,
    team: Team,
    seed: int,
    look: Callable[[nn.Module, int], None] | None = None,
) -> TextAndUnet:
    """Denoising with a v-head (Salimans and Ho 2022), more often at much noise than at little.

    At each checkpoint the log tells the averaged network's loss on ``unseen``, always with the same
    noise, so that two checkpoints and two trainings can be compared.
    """
    network = TextAndUnet(size, int(seen.ids.max()) + 1).to(team.device)
    if team.device == "cpu":
        from diffusers.models.attention_processor import AttnProcessor

        # Written-out attention trains faster than the fused one on a CPU at these sizes.
        network.unet.set_attn_processor(AttnProcessor())
    else:
        network.unet.compile()
    seen, unseen = seen.to(team.device), unseen.to(team.device)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        rows = torch.from_numpy(draws.integers(len(seen.latents), size=plan.batch))
        rows = rows.to(team.device)
        return _denoising(network, seen, rows, draws)

    def check(net: nn.Module, step: int) -> dict[str, float]:
        if look is not None:
            look(net, step)
        rows = torch.arange(len(unseen.latents), device=team.device)
        fixed = np.random.Generator(np.random.Philox(key=seed))
        losses = [_denoising(net, unseen, part, fixed).item() for part in rows.split(plan.batch)]
        return {"held_out_loss": float(np.mean(losses))}

    return train_stage(plan, network, loss, team, seed=seed, look=check)  # type: ignore


def _denoising(
    network: nn.Module, data: Encoded, rows: Tensor, draws: np.random.Generator
) -> Tensor:
    """The loss on ``rows``, at timesteps of which more lie high than low.

    What is left to learn after a while is which outline to choose, and that is chosen at much
    noise: t is ``u^0.7`` of the schedule, so that 40 % of the samples lie above 0.7 instead of 30.
    """
    clean = data.latents[rows].float()
    # Stratified in t, which lowers the variance of the loss for nothing.
    strata = (np.arange(len(rows)) + draws.random(len(rows))) / len(rows)
    t = torch.from_numpy((strata**0.7 * len(SCHEDULE)).astype(np.int64)).to(clean.device)
    noise = torch.from_numpy(draws.standard_normal(clean.shape, np.float32)).to(clean)
    with fast(clean.device.type):
        head = network(SCHEDULE.add_noise(clean, noise, t), t, data.ids[rows])
    return mse_loss(head.float(), SCHEDULE.v_target(clean, noise, t))


def _edges(drawn: Tensor, pictures: Tensor) -> Tensor:
    rows = l1_loss(drawn.diff(dim=2), pictures.diff(dim=2))
    return rows + l1_loss(drawn.diff(dim=3), pictures.diff(dim=3))


def fast(device: str) -> torch.autocast:
    """bfloat16, which needs no loss scaling and is faster on CPUs with AVX-512 BF16 as well."""
    return torch.autocast(device, torch.bfloat16)
