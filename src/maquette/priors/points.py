"""A diffusion model of coloured points: from a text to the rough shape that it names.

In the form of Point-E (Nichol et al. 2022): denoise N points, each a row of place and colour, with
a transformer that knows no order among them. Here the points speak to one another through a small
set of latent tokens, which they are read into and written back from (Jabri et al. 2023, RIN), so
that the cost grows with N and not with its square. It can be trained on few points and asked for
many.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maquette.noise import NoiseSchedule
from maquette.priors.loading import FAULTS, cannot_load, load_module, load_tokenizer
from maquette.randomness import Randomness

__all__ = ["PointDenoiser", "PointGenerator"]

SCHEDULE = NoiseSchedule.scaled_linear()
PLACE_SCALE, COLOUR_MEAN, COLOUR_SCALE = 0.4, 0.5, 0.32
"""Of the world's points: with these, all six numbers have about unit deviation."""
FREQUENCIES = 4


class PointDenoiser(nn.Module):
    """Predicts v for points ``[B, N, 6]``.

    Args:
        width: channels of a point and of a latent token.
        tokens: latent tokens.
        blocks: how often the points are read and written.
        thoughts: transformer layers over the tokens between the two.
        heads: of every attention.
        text_width: channels of the text encoder's states.
    """

    def __init__(
        self,
        width: int = 96,
        tokens: int = 64,
        blocks: int = 3,
        thoughts: int = 2,
        heads: int = 4,
        text_width: int = 128,
    ) -> None:
        super().__init__()
        self.config = {
            "_class_name": "PointDenoiser",
            **{"width": width, "tokens": tokens, "blocks": blocks, "thoughts": thoughts},
            **{"heads": heads, "text_width": text_width},
        }
        self.embed_points = nn.Linear(6 + 6 * FREQUENCIES, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.text = nn.Linear(text_width, width)
        self.embed_tokens = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.blocks = nn.ModuleList(_Block(width, thoughts, heads) for _ in range(blocks))
        self.norm, self.unembed = nn.LayerNorm(width), nn.Linear(width, 6)
        nn.init.zeros_(self.unembed.weight)

    def forward(self, noised: Tensor, t: Tensor, states: Tensor) -> Tensor:
        """v ``[B, N, 6]`` for timesteps ``[B]`` and text states ``[B, L, text_width]``."""
        time = self.time(_waves(t[:, None].float() / len(SCHEDULE), 64))
        angles = noised[..., :3, None] * (2.0 ** torch.arange(FREQUENCIES).to(noised))
        around = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(2)
        points = self.embed_points(torch.cat([noised, around], dim=-1)) + time[:, None]
        context = torch.cat([self.text(states), time[:, None]], dim=1)
        tokens = self.embed_tokens.expand(len(noised), -1, -1)
        for block in self.blocks:
            points, tokens = block(points, tokens, context, time)
        return self.unembed(self.norm(points))


class _Block(nn.Module):
    """Read the points into the tokens, think, write back."""

    def __init__(self, width: int, thoughts: int, heads: int) -> None:
        super().__init__()
        self.read, self.write = _Attention(width, heads), _Attention(width, heads)
        self.think = nn.ModuleList(_Attention(width, heads) for _ in range(thoughts))
        self.digest = nn.ModuleList(_mlp(width) for _ in range(thoughts))
        self.film = nn.Linear(width, 2 * width)
        self.norm, self.mlp = nn.LayerNorm(width), _mlp(width, normed=False)

    def forward(
        self, points: Tensor, tokens: Tensor, context: Tensor, time: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens = tokens + self.read(tokens, points)
        for think, digest in zip(self.think, self.digest, strict=True):
            tokens = tokens + think(tokens, torch.cat([tokens, context], dim=1))
            tokens = tokens + digest(tokens)
        points = points + self.write(points, tokens)
        scale, shift = self.film(time)[:, None].chunk(2, dim=-1)
        return points + self.mlp(self.norm(points) * (1 + scale) + shift), tokens


class _Attention(nn.Module):
    """Attention of one set to another, both normed first; written out, which trains faster."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_asking, self.norm_asked = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        query = self._split(self.query(self.norm_asking(asking)))
        key, value = self.key_value(self.norm_asked(asked)).chunk(2, dim=-1)
        scores = query @ self._split(key).transpose(-1, -2) / math.sqrt(query.shape[-1])
        mixed = scores.softmax(dim=-1) @ self._split(value)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _mlp(width: int, *, normed: bool = True) -> nn.Sequential:
    norm = [nn.LayerNorm(width)] if normed else []
    return nn.Sequential(*norm, nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))


def _waves(share: Tensor, width: int) -> Tensor:
    """Sines and cosines of a number in [0, 1], ``[B, width]``."""
    rates = torch.exp(torch.linspace(0, math.log(1000), width // 2)).to(share)
    return torch.cat([(share * rates).sin(), (share * rates).cos()], dim=-1)


class PointGenerator:
    """A text encoder and a denoiser: texts to coloured points.

    Args:
        denoiser: predicts v.
        text_encoder: a transformers ``CLIPTextModel``.
        tokenizer: its ``CLIPTokenizer``.
    """

    def __init__(self, denoiser: PointDenoiser, text_encoder: Any, tokenizer: Any) -> None:
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.text_encoder = text_encoder.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @staticmethod
    def load(folder: Path) -> PointGenerator:
        """Load ``denoiser``, ``text_encoder`` and ``tokenizer`` from ``folder``.

        Raises:
            PriorError: one of them is missing or damaged.
        """
        from safetensors.torch import load_file
        from transformers import CLIPTextModel

        try:
            text = (folder / "denoiser" / "config.json").read_text(encoding="utf-8")
            config = {name: value for name, value in json.loads(text).items() if name[0] != "_"}
            denoiser = PointDenoiser(**config)
            weights = load_file(folder / "denoiser" / "model.safetensors")
            denoiser.load_state_dict({name: value.float() for name, value in weights.items()})
        except FAULTS as fault:
            raise cannot_load(folder / "denoiser", fault) from fault
        encoder = load_module(CLIPTextModel, folder / "text_encoder", dtype=torch.float32)
        return PointGenerator(denoiser, encoder, load_tokenizer(folder / "tokenizer"))

    @torch.no_grad()
    def sample(
        self,
        texts: Sequence[str],
        random: Randomness,
        *,
        count: int = 1024,
        steps: int = 32,
        guidance_scale: float = 3.0,
    ) -> tuple[Tensor, Tensor]:
        """Points ``[B, count, 3]`` in world units and colours ``[B, count, 3]`` in [0, 1].

        Deterministic DDIM with classifier-free guidance (0 is unconditional).

        Args:
            texts: one for each cloud, in the captions' own form.
            random: of the first noise.
            count: points of a cloud.
            steps: denoising steps, each of two evaluations.
            guidance_scale: as in diffusers.
        """
        states = self._states([*[""] * len(texts), *texts])
        noised = random.normal("points", torch.zeros(len(texts), count, 6))
        times = [*torch.linspace(len(SCHEDULE) - 1, 0, steps).round().long().tolist(), -1]
        for t, after in pairwise(times):
            now, then = (torch.full((len(texts),), value) for value in (t, after))
            v = self.denoiser(noised.repeat(2, 1, 1), now.repeat(2), states)
            base, text = v.chunk(2)
            v = torch.lerp(base, text, guidance_scale)
            noised = SCHEDULE.ddim_step(noised, SCHEDULE.eps_from_v(noised, v, now), now, then)
        return from_rows(noised)

    def _states(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        )
        return self.text_encoder(tokens.input_ids).last_hidden_state


def to_rows(points: Tensor, colours: Tensor) -> Tensor:
    """What the denoiser works on, ``[..., N, 6]``."""
    scaled = (colours - COLOUR_MEAN) / COLOUR_SCALE
    return torch.cat([points / PLACE_SCALE, scaled], dim=-1)


def from_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of ``to_rows``; colours are cut to [0, 1]."""
    colours = rows[..., 3:] * COLOUR_SCALE + COLOUR_MEAN
    return rows[..., :3] * PLACE_SCALE, colours.clamp(0, 1)
