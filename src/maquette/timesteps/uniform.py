"""Uniform timesteps: any noise level between two bounds, equally likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.timesteps.base import Timesteps

__all__ = ["Uniform"]


@dataclass(frozen=True)
class Uniform(Timesteps):
    """Every integer from ``low`` to ``high`` (both included), drawn for each view on its own."""

    low: Number = 0.02
    """Lowest timestep, as a fraction of the schedule."""
    high: Number = 0.98
    """Highest timestep, as a fraction of the schedule; a falling ramp goes from shape to detail."""

    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        """Timesteps ``[B]``; raises InputError where the bounds are not 0 <= low <= high <= 1."""
        low, high = number(self.low), number(self.high)
        if not 0 <= low <= high <= 1:
            raise InputError(f"Timestep bounds must satisfy 0 <= low <= high <= 1: {low}, {high}")
        end = len(schedule)
        first, last = min(round(low * end), end - 1), min(round(high * end), end - 1)
        u = random.uniform("timesteps", len(views))
        return first + (u * (last - first + 1)).to(torch.int64)
