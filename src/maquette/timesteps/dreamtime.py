"""DreamTime: timesteps that only fall, and linger where the prior has most to say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.ramps import Number, linear, number
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.timesteps.base import Timesteps

__all__ = ["DreamTime"]


@dataclass(frozen=True)
class DreamTime(Timesteps):
    """The t at which the share ``sum_{t' >= t} W(t') / sum W`` comes nearest to the run's progress.

    Huang et al. 2024, DreamTime. ``W(t) = W_d(t) W_p(t)`` says how long a run stays near t:
    ``W_d = sigma / alpha`` follows the noise, and ``W_p = exp(-(t - mean)^2 / (2 width^2))``
    prefers the middle, where shapes are settled. All views of a step share t, and nothing is drawn.
    A level without signal would weigh infinitely much; it takes no part.
    """

    mean: float = 0.5
    """Most preferred timestep, as a fraction of the schedule (the paper's 500 of 1000)."""
    width: float = 0.125
    """Standard deviation of the preference, likewise (the paper's 125); ``inf`` prefers none."""
    low: Number = 0.02
    """Lowest timestep, likewise."""
    high: Number = 0.98
    """Highest timestep, likewise."""
    progress: Number = linear(0.0, 1.0)
    """How far the run is; a ramp, so that the descent can start late or end early."""

    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        """Timesteps ``[B]``, all equal; raises InputError for bounds or a width that are none."""
        levels, weight = self._weights(schedule)
        # Summed from the highest level down, as the run goes.
        share = weight.flip(0).cumsum(0).flip(0)
        gap = (share / share[0] - number(self.progress)).abs()
        # Far from the mean, weights may vanish and gaps be equal: then the most noise, always.
        t = levels[gap == gap.min()].max()
        return t.repeat(len(views))

    def _weights(self, schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
        """The levels that take part, and their weights W, up to a factor."""
        low, high, end = number(self.low), number(self.high), len(schedule)
        if not 0 <= low <= high <= 1:
            raise InputError(f"Timestep bounds must satisfy 0 <= low <= high <= 1: {low}, {high}")
        if not self.width > 0:
            raise InputError(f"A width of {self.width} leaves no timestep", "Make it positive")
        levels = torch.arange(min(round(low * end), end - 1), min(round(high * end), end - 1) + 1)
        levels = levels[schedule.alphas[levels] > 0]
        if len(levels) == 0:
            raise InputError("No timestep between the bounds has any signal", "Lower the bounds")
        rho = schedule.sigmas[levels] / schedule.alphas[levels]
        off = (levels.to(rho) / end - self.mean) / self.width
        # Relative to the level nearest to the mean, so that not all weights can vanish.
        nearness = -0.5 * (off.square() - off.square().min())
        return levels, rho * nearness.exp()
