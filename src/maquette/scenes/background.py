"""What is behind the object: one plain colour per view.

A prior that has only ever seen white behind its objects hides white parts in it; so a recipe draws
the colour afresh for every view, as the prior's own pictures had it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.randomness import Randomness
from maquette.records import Rgb, Views

__all__ = ["Background", "Mixed", "Plain"]


class Background(ABC):
    """Draws the colour behind each view; a frozen dataclass."""

    @abstractmethod
    def draw(self, views: Views, random: Randomness) -> Tensor:
        """Colours ``[B, 3]`` in [0, 1] on the device of ``views``, each row keyed by its view."""


@dataclass(frozen=True)
class Plain(Background):
    """The same colour behind every view.

    Raises:
        InputError: if the colour is not three numbers in [0, 1].
    """

    colour: Rgb = (1.0, 1.0, 1.0)
    """sRGB."""

    def __post_init__(self) -> None:
        if len(self.colour) != 3 or not all(0.0 <= value <= 1.0 for value in self.colour):
            raise InputError(
                f"The background colour {self.colour} is no colour", "Give three numbers in [0, 1]"
            )

    def draw(self, views: Views, random: Randomness) -> Tensor:
        device = views.azimuth_deg.device
        return torch.tensor(self.colour, device=device).expand(len(views), 3).contiguous()


@dataclass(frozen=True)
class Mixed(Background):
    """White, middle grey, black or any colour, as in the pictures of the toy world.

    The weights need not sum to 1.

    Raises:
        InputError: if a weight is negative or all are 0.
    """

    white: float = 0.35
    """Weight of white."""
    grey: float = 0.15
    """Weight of middle grey."""
    black: float = 0.10
    """Weight of black."""
    random: float = 0.40
    """Weight of a colour drawn uniformly from the cube."""

    def __post_init__(self) -> None:
        if min(self._weights) < 0.0 or not 0.0 < sum(self._weights) < float("inf"):
            raise InputError(
                f"The background weights {self._weights} are no mixture",
                "Give four weights that are not negative, at least one of them above 0",
            )

    @property
    def _weights(self) -> tuple[float, float, float, float]:
        return self.white, self.grey, self.black, self.random

    def draw(self, views: Views, random: Randomness) -> Tensor:
        count = len(views)
        kind = random.uniform("background kind", count) * sum(self._weights)
        steps = torch.tensor(self._weights, dtype=torch.float64).cumsum(0)
        channels = [random.uniform(f"background {name}", count) for name in "rgb"]
        colours = torch.stack(channels, dim=-1)
        for level, (low, high) in {
            1.0: (0.0, steps[0]),
            0.5: (steps[0], steps[1]),
            0.0: (steps[1], steps[2]),
        }.items():
            colours[(kind >= low) & (kind < high)] = level
        return colours.to(views.azimuth_deg.device, torch.float32)
