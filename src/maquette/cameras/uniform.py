"""Uniform cameras: all around the object, evenly within a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.cameras.base import Cameras
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Views

__all__ = ["Uniform"]

Range = tuple[Number, Number]


@dataclass(frozen=True)
class Uniform(Cameras):
    """Cameras on a shell around the object.

    The azimuth range is cut into as many equal parts as there are views, one view in each, and the
    cuts are turned by a random angle each step, so that no view number always sees the front.
    Elevation is uniform in the angle, not in its sine: LucidDreamer's choice, which looks from
    above more often than an even cover of the sphere would.
    """

    elevation_deg: Range = (-10.0, 60.0)
    """Degrees above the horizon."""
    distance: Range = (3.0, 3.6)
    """World units from the origin."""
    fov_y_deg: Range = (34.0, 39.0)
    """Vertical field of view."""
    azimuth_deg: Range = (-180.0, 180.0)
    """Degrees around the object; 0 looks at the front."""

    def draw(self, count: int, size: int, random: Randomness) -> Views:
        # The turn belongs to the step, hence keyed by no view.
        generator = random.generator("azimuth offset")
        turn = torch.rand((), generator=generator, dtype=torch.float64)
        part = (torch.arange(count) + random.uniform("azimuth", count)) / count
        return Views(
            azimuth_deg=_within(self.azimuth_deg, (part + turn) % 1.0),
            elevation_deg=_within(self.elevation_deg, random.uniform("elevation", count)),
            distance=_within(self.distance, random.uniform("distance", count)),
            fov_y_deg=_within(self.fov_y_deg, random.uniform("field of view", count)),
            width=size,
            height=size,
        )


def _within(bounds: Range, u: Tensor) -> Tensor:
    low, high = number(bounds[0]), number(bounds[1])
    return (low + (high - low) * u).to(torch.float32)
