"""A ball of small grey Gaussians: the start that knows nothing about the prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from maquette.errors import InputError
from maquette.inits.base import Init
from maquette.randomness import Randomness
from maquette.scenes.gaussians import Gaussians

__all__ = ["Sphere"]


@dataclass(frozen=True)
class Sphere(Init):
    """Gaussians uniformly in a ball around the origin, sized by the distance to their neighbours.

    Raises:
        InputError: for a count below 1, or a radius or opacity out of range.
    """

    count: int = 3000
    """Number of Gaussians."""
    radius: float = 0.7
    """Of the ball, in world units."""
    opacity: float = 0.1
    """Of every Gaussian, in (0, 1)."""
    sh_degree: int = 0
    """Degree of the spherical harmonics, 0 to 3."""
    grey: float = 0.5
    """Mean of the colours."""
    colour_spread: float = 0.1
    """Standard deviation of each colour channel around ``grey``, before the cut to [0, 1]."""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0.0 < self.radius < float("inf") or not 0.0 < self.opacity < 1.0:
            raise InputError(
                f"A ball of {self.count} Gaussians, radius {self.radius} and opacity "
                f"{self.opacity} cannot be made",
                "Give at least 1, a radius above 0 and an opacity inside (0, 1)",
            )

    def make(self, prompt: str, random: Randomness) -> Gaussians:
        shape = (self.count, 3)
        direction = torch.randn(shape, generator=random.generator("sphere directions"))
        share = torch.rand(self.count, generator=random.generator("sphere radii"))
        # The volume inside a radius grows with its cube.
        distance = self.radius * share ** (1 / 3)
        points = torch.nn.functional.normalize(direction, dim=-1) * distance[:, None]
        noise = torch.randn(shape, generator=random.generator("sphere colours"))
        colours = (self.grey + self.colour_spread * noise).clamp(0.0, 1.0)
        return Gaussians.from_points(
            points, colours, opacity=self.opacity, sh_degree=self.sh_degree
        )

    def tiny(self) -> Sphere:
        return replace(self, count=64)
