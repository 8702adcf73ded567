"""Adaptive cameras: look more often where the pictures converge badly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.cameras.base import Cameras
from maquette.errors import InputError
from maquette.history import Range, Regions, blank, noted, seen
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Outcome, Views

__all__ = ["AdaptiveRegions", "convergence"]


@dataclass(frozen=True)
class AdaptiveRegions(Cameras):
    """Regions drawn by ``softmax(r / temperature)``, then a view anywhere in its region.

    CoGrad3D, section 3.2, equations 6 and 7; r is ``convergence``. The views of a step are drawn
    one by one and may share a region. The paper does not say which scalar its loss is (the code
    that it builds on has none): here it is the objective's value, half the mean square of the
    latent gradient. Nor does it say whether its average L is of all losses or of the last ones:
    here it is of all.

    By the paper's formula ``r - 1 = (newest / L - 1) / n``, so every region comes to 1 as it is
    seen more often, and late in a run all are equally likely. This is kept; a falling ramp as
    temperature works against it.
    """

    regions: Regions = Regions()
    """How the views are cut."""
    fov_y_deg: Range = (34.0, 39.0)
    """Vertical field of view."""
    temperature: Number = 0.1
    """Above 0. Low ones look at the worst regions only, ``inf`` at all alike."""
    stability: float = 1e-6
    """Added below the fraction of r, in units of the loss."""

    def init(self) -> dict[str, Tensor]:
        return blank(self.regions.count)

    def learn(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        after = dict(state)
        for region, loss in seen(self.regions, outcome):
            after = noted(after, region, loss)
        return after

    def draw(self, count: int, size: int, random: Randomness) -> Views:
        return self.draw_from(self.init(), count, size, random)

    def draw_from(
        self, state: Mapping[str, Tensor], count: int, size: int, random: Randomness
    ) -> Views:
        """Views; raises InputError for a temperature that is not above 0."""
        share = self.probabilities(state).cumsum(0)
        place = random.uniform("region", count) * share[-1]
        region = torch.searchsorted(share, place, right=True).clamp(max=self.regions.count - 1)
        within = [random.uniform(name, count) for name in ("elevation", "azimuth", "distance")]
        elevation, azimuth, distance = self.regions.at(region, *within)
        low, high = number(self.fov_y_deg[0]), number(self.fov_y_deg[1])
        fov_y = low + (high - low) * random.uniform("field of view", count)
        return Views(
            azimuth_deg=azimuth.to(torch.float32),
            elevation_deg=elevation.to(torch.float32),
            distance=distance.to(torch.float32),
            fov_y_deg=fov_y.to(torch.float32),
            width=size,
            height=size,
        )

    def probabilities(self, state: Mapping[str, Tensor]) -> Tensor:
        """Of each region ``[R]``, equation 7."""
        temperature = number(self.temperature)
        if not temperature > 0:
            raise InputError(f"No region can be drawn at temperature {temperature}", "Raise it")
        return torch.softmax(convergence(state, self.stability) / temperature, dim=0)


def convergence(history: Mapping[str, Tensor], stability: float) -> Tensor:
    """The relative convergence indicator ``[R]``, above 1 where the newest loss is a bad one.

    ``r = (L (n - 1) + newest) / (L n + stability)``, with L the mean of the n - 1 losses before the
    newest, and 1 where n < 2 (CoGrad3D, equation 6).
    """
    count, before = history["count"].cpu().double(), history["earlier"].cpu()
    mean = before / (count - 1).clamp(min=1)
    indicator = (before + history["losses"].cpu()[:, 0]) / (mean * count + stability)
    return torch.where(count >= 2, indicator, 1.0)
