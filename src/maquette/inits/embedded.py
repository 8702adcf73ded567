"""The start that knows the prompt: points drawn by the small generator that ships with the package.

It gives the rough shape, its colours and its front in a second or two, so that distillation need
not choose them by chance, differently in different views.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maquette.errors import InputError
from maquette.inits.base import Init
from maquette.inits.sphere import Sphere
from maquette.priors.embedded import check_files, weights_folder
from maquette.priors.points import PointGenerator
from maquette.priors.wording import Wording
from maquette.randomness import Randomness
from maquette.scenes.gaussians import Gaussians, neighbour_distance

__all__ = ["Embedded"]

LONELY = 3.0
"""Points whose neighbours are farther than so many times the usual are left out."""


@dataclass(frozen=True)
class Embedded(Init):
    """Gaussians on and around the points of the embedded generator.

    Raises:
        InputError: for a number out of range; in ``make``, for a prompt that is not understood.
        PriorError: in ``make``, where its files are missing or damaged.
    """

    count: int = 3000
    """Number of Gaussians."""
    points: int = 1024
    """Points that the generator draws; Gaussians are copies of these in turn."""
    spread: float = 0.03
    """Standard deviation of a Gaussian's place about its point, in world units."""
    opacity: float = 0.2
    """Of every Gaussian, in (0, 1)."""
    guidance_scale: float = 3.0
    """Of the generator."""
    steps: int = 32
    """Denoising steps of the generator."""
    name: str = "points"
    """Of the generator's folder in the package's weights."""

    def __post_init__(self) -> None:
        counts = min(self.count, self.points, self.steps)
        if counts < 1 or not 0.0 <= self.spread < 1.0 or not 0.0 < self.opacity < 1.0:
            raise InputError(
                f"A start of {self.count} Gaussians on {self.points} points in {self.steps} steps "
                f"with spread {self.spread} and opacity {self.opacity} cannot be made",
                "Give at least 1 of each, a spread in [0, 1) and an opacity inside (0, 1)",
            )

    def make(self, prompt: str, random: Randomness) -> Gaussians:
        folder = weights_folder() / self.name
        wording = Wording(**check_files(folder)["wording"])
        try:
            wording.check(prompt, "The embedded point generator")
        except InputError as fault:
            raise InputError(fault.what, "Use --init sphere, which knows no words") from fault
        points, colours = PointGenerator.load(folder).sample(
            [wording.plain(prompt).partition(",")[0]],
            random,
            count=self.points,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
        )
        apart = neighbour_distance(points[0])
        # A point that lies alone would become one large Gaussian in the air.
        kept = (apart <= LONELY * apart.median()).nonzero()[:, 0]
        of = kept[torch.arange(self.count) % len(kept)]
        jitter = torch.randn(self.count, 3, generator=random.generator("point jitter"))
        places = points[0][of] + self.spread * jitter
        # Within the ball that every camera sees, whatever the generator drew.
        places = places / places.norm(dim=-1, keepdim=True).clamp(min=1.0)
        return Gaussians.from_points(places, colours[0][of], opacity=self.opacity)

    def tiny(self) -> Sphere:
        """A ball: what the generator draws is no matter of a test of something else."""
        return Sphere(count=64)
