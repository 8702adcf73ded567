"""The training stage of the point generator: text to coloured points of the toy world.

Every step draws fresh objects, so that no data lie on disk. It learns on few points of each, which
is several times cheaper; a denoiser that reads points through latent tokens takes more of them
when it draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from maquette.priors.points import SCHEDULE, PointDenoiser, to_rows
from maquette.toybox.captions import caption
from maquette.toybox.networks import Size, text_encoder, token_ids
from maquette.toybox.surface import surface_points
from maquette.toybox.trainer import Plan, Team, train_stage
from maquette.toybox.world import draw_thing

__all__ = ["TextAndPoints", "train_points"]

POINTS, EMPTY_SHARE = 256, 0.1


class TextAndPoints(nn.Module):
    """The text encoder and the denoiser of points, trained as one."""

    def __init__(self, size: Size, vocabulary_size: int) -> None:
        super().__init__()
        self.points, self.text = PointDenoiser(*size.points), text_encoder(vocabulary_size)

    def forward(self, noised: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """v ``[B, N, 6]`` for token numbers ``[B, L]``."""
        return self.points(noised, t, self.text(ids).last_hidden_state)


def train_points(
    size: Size,
    tokenize: Any,
    plan: Plan,
    team: Team,
    seed: int,
    look: Callable[[nn.Module, int], dict[str, float]] | None = None,
) -> TextAndPoints:
    """Denoising with a v-head, on objects that are drawn as it goes."""
    network = TextAndPoints(size, len(tokenize)).to(team.device)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        texts, clean = _clouds(draws, plan.batch)
        ids, clean = token_ids(tokenize, texts).to(team.device), clean.to(team.device)
        strata = (np.arange(plan.batch) + draws.random(plan.batch)) / plan.batch
        t = torch.from_numpy((strata * len(SCHEDULE)).astype(np.int64)).to(team.device)
        noise = torch.from_numpy(draws.standard_normal(clean.shape, np.float32)).to(clean)
        with torch.autocast(team.device, torch.bfloat16):
            head = network(SCHEDULE.add_noise(clean, noise, t), t, ids)
        return mse_loss(head.float(), SCHEDULE.v_target(clean, noise, t))

    return train_stage(plan, network, loss, team, seed=seed, look=look)  # type: ignore


def _clouds(draws: np.random.Generator, count: int) -> tuple[list[str], Tensor]:
    """Captions without view words, a tenth of them empty, and rows ``[count, POINTS, 6]``."""
    texts, rows = [], []
    for _ in range(count):
        description, _, _, primitives = draw_thing(draws)
        points, colours = surface_points(primitives, POINTS, draws)
        texts.append("" if draws.random() < EMPTY_SHARE else caption(description))
        rows.append(to_rows(torch.from_numpy(points), torch.from_numpy(colours)))
    return texts, torch.stack(rows)
