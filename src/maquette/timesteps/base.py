"""The contract of a timestep sampler: how much noise does each view get at this step?"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from maquette.noise import NoiseSchedule
from maquette.randomness import Randomness
from maquette.records import Views

__all__ = ["Timesteps"]


class Timesteps(ABC):
    """Draws a timestep per view; a frozen dataclass that is its own configuration."""

    @abstractmethod
    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        """Timesteps ``[B]`` as int64 indices of ``schedule``."""
