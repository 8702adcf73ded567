"""A grey canvas: the start of a single picture, which knows nothing about the prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maquette.errors import InputError
from maquette.inits.base import Init
from maquette.randomness import Randomness
from maquette.scenes.image import Picture

__all__ = ["Canvas"]


@dataclass(frozen=True)
class Canvas(Init):
    """A square picture of one grey, with a little noise on each channel of each pixel.

    Raises:
        InputError: for a size below 1, a grey outside [0, 1] or a noise below 0.
    """

    size: int = 64
    """Side in pixels."""
    grey: float = 0.5
    """Mean of the colours."""
    noise: float = 0.05
    """Standard deviation around ``grey``, before the cut to [0, 1]."""

    def __post_init__(self) -> None:
        if self.size < 1 or not 0.0 <= self.grey <= 1.0 or not 0.0 <= self.noise < float("inf"):
            raise InputError(
                f"A canvas of {self.size} pixels, grey {self.grey} and noise {self.noise} cannot "
                "be made",
                "Give at least 1 pixel, a grey in [0, 1] and a noise of 0 or more",
            )

    def make(self, prompt: str, random: Randomness) -> Picture:
        shape = (self.size, self.size, 3)
        noise = torch.randn(shape, generator=random.generator("canvas"))
        return Picture((self.grey + self.noise * noise).clamp(0.0, 1.0))
