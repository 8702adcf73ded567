"""The contract of a timestep sampler: how much noise does each view get at this step?

One that learns (``maquette.history.Learner``) draws from what it has learnt so far.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from maquette.history import Learner
from maquette.noise import NoiseSchedule
from maquette.randomness import Randomness
from maquette.records import Views

__all__ = ["Timesteps"]


class Timesteps(Learner, ABC):
    """Draws a timestep per view; a frozen dataclass that is its own configuration."""

    @abstractmethod
    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        """Timesteps ``[B]`` as int64 indices of ``schedule``."""

    def draw_from(
        self, state: Mapping[str, Tensor], views: Views, schedule: NoiseSchedule, random: Randomness
    ) -> Tensor:
        """The same by what was learnt so far; most learn nothing and just draw."""
        return self.draw(views, schedule, random)
