"""The contract of a camera sampler: where do we look from at this step?"""

from __future__ import annotations

from abc import ABC, abstractmethod

from maquette.randomness import Randomness
from maquette.records import Views

__all__ = ["Cameras"]


class Cameras(ABC):
    """Draws the views of a step; a frozen dataclass that is its own configuration."""

    @abstractmethod
    def draw(self, count: int, size: int, random: Randomness) -> Views:
        """``count`` views with square pictures of ``size`` pixels."""
