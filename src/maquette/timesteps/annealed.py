"""Annealed timesteps: noise that falls with progress, first the shape and then the detail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.noise import NoiseSchedule
from maquette.ramps import Number, linear, number
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.timesteps.base import Timesteps

__all__ = ["Annealed"]


@dataclass(frozen=True)
class Annealed(Timesteps):
    """``t = high - (high - low) p^power``, in fractions of the schedule, p the run's progress.

    Zhu et al. 2024, HiFA, with power 0.5 (fast at first). Power 1 is DreamGaussian's straight line.
    """

    high: Number = 0.98
    """Timestep at the first step, as a fraction of the schedule."""
    low: Number = 0.3
    """Timestep at the last step, likewise."""
    power: float = 0.5
    """Exponent of progress."""
    jitter: Number = 0.02
    """Each view differs from the curve by up to this fraction, within ``low`` and ``high``."""
    progress: Number = linear(0.0, 1.0)
    """How far the run is; a ramp, so that annealing can start late or end early."""

    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        high, low = number(self.high), number(self.low)
        curve = high - (high - low) * number(self.progress) ** self.power
        spread = 2 * random.uniform("timesteps", len(views)) - 1
        fraction = (curve + number(self.jitter) * spread).clamp(min(low, high), max(low, high))
        t = (fraction * len(schedule)).round().to(torch.int64)
        return t.clamp(0, len(schedule) - 1)
