"""The contract of a camera sampler: where do we look from at this step?

One that learns (``maquette.history.Learner``) draws from what it has learnt so far.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from maquette.history import Learner
from maquette.randomness import Randomness
from maquette.records import Views

__all__ = ["Cameras"]


class Cameras(Learner, ABC):
    """Draws the views of a step; a frozen dataclass that is its own configuration."""

    @abstractmethod
    def draw(self, count: int, size: int, random: Randomness) -> Views:
        """``count`` views with square pictures of ``size`` pixels."""

    def draw_from(
        self, state: Mapping[str, Tensor], count: int, size: int, random: Randomness
    ) -> Views:
        """The same by what was learnt so far; most learn nothing and just draw."""
        return self.draw(count, size, random)
