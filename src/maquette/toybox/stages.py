"""The stages of training: autoencoder, diffusion model, judge; each a loss on the common loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    avg_pool2d,
    cross_entropy,
    grid_sample,
    interpolate,
    l1_loss,
    mse_loss,
)

from maquette.noise import NoiseSchedule
from maquette.toybox.captions import RELATIONS, VIEWS, Description, parse
from maquette.toybox.colours import COLOURS
from maquette.toybox.dataset import Dataset
from maquette.toybox.finish import PATTERNS
from maquette.toybox.kinds import KINDS
from maquette.toybox.networks import (
    Size,
    autoencoder,
    judge_clip,
    judge_views,
    text_encoder,
    token_ids,
    unet,
)
from maquette.toybox.trainer import Plan, Team, train_stage

__all__ = [
    "ASKED",
    "Encoded",
    "TextAndUnet",
    "encode_all",
    "train_clip",
    "train_unet",
    "train_vae",
    "train_views",
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
        with _fast(team.device):
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
        with _fast(device):
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
        return Encoded(self.latents.to(device), self.ids.to(device))


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
        rows = torch.from_numpy(draws.integers(0, len(seen.latents), plan.batch)).to(team.device)
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
    with _fast(clean.device.type):
        head = network(SCHEDULE.add_noise(clean, noise, t), t, data.ids[rows])
    return mse_loss(head.float(), SCHEDULE.v_target(clean, noise, t))


ASKED: tuple[list[str], ...] = (
    *(list(KINDS), list(COLOURS), list(COLOURS)),
    *(["", *PATTERNS], ["", "shiny"], ["", *RELATIONS]),
    *(list(KINDS), list(COLOURS), list(COLOURS)),
)
"""What the heads are asked about an object, its finish, and the object beside it."""


class ClipAndHeads(nn.Module):
    """The judge's CLIP, with linear heads that only training uses.

    Within a batch hardly any two captions share their colours, so that contrast alone teaches
    little about kinds. The heads ask directly for all that a caption can tell.
    """

    def __init__(self, size: Size, vocabulary_size: int) -> None:
        super().__init__()
        self.clip = judge_clip(size, vocabulary_size)
        width = size.judge_widths[-1]
        self.heads = nn.ModuleList(nn.Linear(width, len(words)) for words in ASKED)

    def forward(self, pictures: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        """The summed loss; ``labels`` ``[B, 9]`` answer ``ASKED``, -1 where it is not told."""
        answer = self.clip(input_ids=ids, pixel_values=pictures, return_loss=True)
        seen = answer.vision_model_output.pooler_output
        named = [
            cross_entropy(head(seen).float(), labels[:, place], ignore_index=-1)
            for place, head in enumerate(self.heads)
        ]
        return answer.loss.float() + sum(named, seen.new_zeros(()))


def train_clip(size: Size, data: Dataset, tokenize: Any, plan: Plan, team: Team, seed: int) -> Any:
    """Contrastive learning (Radford et al. 2021); disturbed pictures teach it to judge renders."""
    ids = token_ids(tokenize, data.captions)
    told = np.flatnonzero([bool(caption) for caption in data.captions])
    labels = torch.tensor([_labels(caption) for caption in data.captions])
    network = ClipAndHeads(size, len(tokenize)).to(team.device)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        rows = draws.choice(told, plan.batch, replace=False)
        pictures = disturbed(pictures_of(data, rows, team.device), draws)
        with _fast(team.device):
            return network(pictures, ids[rows].to(team.device), labels[rows].to(team.device))

    trained = cast(ClipAndHeads, train_stage(plan, network, loss, team, seed=seed))
    return trained.clip


def _labels(text: str) -> tuple[int, ...]:
    """Answers to ``ASKED``; -1 for what the caption does not tell."""
    if not text:
        return (-1,) * len(ASKED)
    told = parse(text)
    material = told.material.replace("matte", "")
    answers = (*_named(told), told.pattern, material, told.relation, *_named(told.other))
    return tuple(
        -1 if word is None else words.index(word)
        for word, words in zip(answers, ASKED, strict=True)
    )


def _named(told: Description | None) -> tuple[str | None, str | None, str | None]:
    """Kind and colours of an object, None for what is not told."""
    if told is None:
        return None, None, None
    colours = told.colours or (None,)
    return told.kind, colours[0], colours[-1]


def train_views(size: Size, clip: Any, data: Dataset, plan: Plan, team: Team, seed: int) -> Any:
    """View words of objects that have a front, starting from the judge's vision net."""
    network = judge_views(size, VIEWS)
    network.convnext.load_state_dict(clip.vision_model.state_dict())
    network = network.to(team.device)
    rows_with_front = np.flatnonzero(data.has_front)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        rows = draws.choice(rows_with_front, plan.batch)
        labels = torch.from_numpy(data.views[rows]).to(team.device)
        with _fast(team.device):
            pictures = disturbed(pictures_of(data, rows, team.device), draws)
            answer = network(pixel_values=pictures, labels=labels)
        return answer.loss.float()

    return train_stage(plan, network, loss, team, seed=seed)


def disturbed(pictures: Tensor, draws: np.random.Generator) -> Tensor:
    """Pictures moved, scaled, blurred, relit and made noisy at random, ``[B, 3, S, S]``."""
    count, side = pictures.shape[0], pictures.shape[-1]
    zoom = draws.uniform(0.85, 1.15, count)
    move = draws.uniform(-0.08, 0.08, (count, 2))
    maps = np.zeros((count, 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = zoom
    maps[:, :, 2] = move
    grid = affine_grid(torch.from_numpy(maps).to(pictures), list(pictures.shape), False)
    pictures = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    if draws.random() < 0.35:
        small = max(int(side / draws.uniform(1.2, 2.5)), 8)
        pictures = interpolate(
            interpolate(pictures, small, mode="bilinear", antialias=True), side, mode="bilinear"
        )
    contrast = torch.from_numpy(draws.uniform(0.85, 1.1, (count, 1, 1, 1))).to(pictures)
    strength = torch.from_numpy(draws.uniform(0, 0.1, (count, 1, 1, 1))).to(pictures)
    noise = torch.from_numpy(draws.standard_normal(pictures.shape, np.float32)).to(pictures)
    return (pictures * contrast + strength * noise).clamp(-1, 1)


def _edges(drawn: Tensor, pictures: Tensor) -> Tensor:
    rows = l1_loss(drawn.diff(dim=2), pictures.diff(dim=2))
    return rows + l1_loss(drawn.diff(dim=3), pictures.diff(dim=3))


def _fast(device: str) -> torch.autocast:
    # bfloat16 needs no loss scaling; it is also the faster form on CPUs with AVX-512 BF16.
    return torch.autocast(device, torch.bfloat16)
