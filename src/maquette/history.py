"""What each view region has seen: the memory of parts that learn while a run goes on.

The views are cut into regions over elevation, azimuth and distance. A history counts the views of
each region and remembers their losses, as named tensors that a checkpoint keeps:

=========== ============= ====================================================================
``count``   int64 [R]     views seen
``losses``  float64 [R,3] the newest loss, the one before, and the one before that
``earlier`` float64 [R]   sum of all losses before the newest
``average`` float64 [R]   their exponential moving average, which begins with the first
=========== ============= ====================================================================

The functions are pure. A history lies on the CPU wherever the run computes, because samplers draw
there. The loss of a view is the objective's real scalar (``Guidance.value``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.ramps import Number, number
from maquette.records import Outcome, Views

__all__ = [
    "Learner",
    "Range",
    "Regions",
    "blank",
    "deviation",
    "first_difference",
    "noted",
    "second_difference",
    "seen",
]

Range = tuple[Number, Number]


class Learner:
    """A part with running state: named tensors that the run keeps, saves and resumes.

    The part itself stays as it is. Most have no state and need neither of the two.
    """

    def init(self) -> dict[str, Tensor]:
        """The state before the first step."""
        return {}

    def learn(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        """The state after a step; ``state`` itself is not changed."""
        return dict(state)


@dataclass(frozen=True)
class Regions:
    """The views around an object in boxes of equal size, R = 3 x 30 x 2 by default.

    CoGrad3D, appendix A.3. Its distances, 1.5 to 2, come without a field of view and without the
    size of the object; those here are the shell on which the library's other cameras stand. Numbers
    count distances first, then azimuths, then elevations. A view outside belongs to the region
    nearest in number, and azimuth 180 is where -180 is.

    Raises:
        InputError: if there is no region along an axis.
    """

    elevation_deg: Range = (-30.0, 60.0)
    """Degrees above the horizon."""
    distance: Range = (3.0, 3.6)
    """World units from the origin."""
    elevations: int = 3
    """Regions over elevation."""
    azimuths: int = 30
    """Regions over the whole circle, the first one from -180 degrees on."""
    distances: int = 2
    """Regions over distance."""

    def __post_init__(self) -> None:
        if min(self.elevations, self.azimuths, self.distances) < 1:
            raise InputError(
                f"Views cannot be cut into {self.elevations} x {self.azimuths} x "
                f"{self.distances} regions",
                "Give at least 1 along each axis",
            )

    @property
    def count(self) -> int:
        """R, the number of regions."""
        return self.elevations * self.azimuths * self.distances

    def of(self, views: Views) -> Tensor:
        """The regions ``[B]`` that ``views`` lie in."""
        elevation = _level(views.elevation_deg, self.elevation_deg, self.elevations)
        turned = torch.remainder(views.azimuth_deg + 180.0, 360.0)
        azimuth = _level(turned, (0.0, 360.0), self.azimuths)
        distance = _level(views.distance, self.distance, self.distances)
        return (elevation * self.azimuths + azimuth) * self.distances + distance

    def at(
        self, region: Tensor, elevation: Tensor, azimuth: Tensor, distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Elevation, azimuth (degrees) and distance at fractions in [0, 1) of regions ``[B]``."""
        levels = self._levels(region)
        return (
            _place(self.elevation_deg, (levels[0] + elevation) / self.elevations),
            _place((-180.0, 180.0), (levels[1] + azimuth) / self.azimuths),
            _place(self.distance, (levels[2] + distance) / self.distances),
        )

    def apart(self, region: Tensor) -> Tensor:
        """Steps ``[B, R]`` from each of ``region`` to every region, L1; azimuth goes round."""
        own, every = self._levels(region[:, None]), self._levels(torch.arange(self.count))
        up, around, out = ((a - b).abs() for a, b in zip(own, every, strict=True))
        return up + torch.minimum(around, self.azimuths - around) + out

    def _levels(self, region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places along elevation, azimuth and distance, counted from 0."""
        rest = region // self.distances
        return rest // self.azimuths, rest % self.azimuths, region % self.distances


def blank(regions: int) -> dict[str, Tensor]:
    """The history of ``regions`` regions that have seen nothing."""
    return {
        "count": torch.zeros(regions, dtype=torch.int64),
        "losses": torch.zeros(regions, 3, dtype=torch.float64),
        "earlier": torch.zeros(regions, dtype=torch.float64),
        "average": torch.zeros(regions, dtype=torch.float64),
    }


def seen(regions: Regions, outcome: Outcome) -> list[tuple[int, float]]:
    """Region and loss of each view of a step, in their order.

    A loss that is not finite tells nothing and is left out: its gradient was finite, or the step
    would have been skipped, and only its square was too large to write down.
    """
    pairs = zip(regions.of(outcome.views).tolist(), outcome.value.tolist(), strict=True)
    return [(region, loss) for region, loss in pairs if math.isfinite(loss)]


def noted(
    history: Mapping[str, Tensor], region: int, loss: float, decay: float = 0.9
) -> dict[str, Tensor]:
    """A copy of ``history`` with one more loss in it.

    Args:
        history: may hold further tensors, which are copied too.
        region: where the view was.
        loss: its loss.
        decay: share that the moving average keeps of itself.
    """
    after = {name: value.cpu().clone() for name, value in history.items()}
    count, newest = int(after["count"][region]), float(after["losses"][region, 0])
    if count == 1:
        after["average"][region] = newest
    elif count > 1:
        kept = float(after["average"][region])
        after["average"][region] = decay * kept + (1.0 - decay) * newest
    after["earlier"][region] += newest  # Zero while there is none.
    after["losses"][region] = torch.tensor(
        [loss, *after["losses"][region, :2].tolist()], dtype=torch.float64
    )
    after["count"][region] += 1
    return after


def first_difference(history: Mapping[str, Tensor]) -> Tensor:
    """``L_n - L_{n-1}`` ``[R]``, 0 in regions with fewer than two losses."""
    losses = history["losses"].cpu()
    return torch.where(history["count"].cpu() >= 2, losses[:, 0] - losses[:, 1], 0.0)


def second_difference(history: Mapping[str, Tensor]) -> Tensor:
    """``L_n - 2 L_{n-1} + L_{n-2}`` ``[R]``, 0 in regions with fewer than three losses."""
    losses = history["losses"].cpu()
    bend = losses[:, 0] - 2.0 * losses[:, 1] + losses[:, 2]
    return torch.where(history["count"].cpu() >= 3, bend, 0.0)


def deviation(history: Mapping[str, Tensor]) -> Tensor:
    """The newest loss less the moving average before it ``[R]``, 0 where there was none before."""
    off = history["losses"].cpu()[:, 0] - history["average"].cpu()
    return torch.where(history["count"].cpu() >= 2, off, 0.0)


def _level(values: Tensor, bounds: Range, count: int) -> Tensor:
    """Which of ``count`` equal parts of a range ``values`` ``[B]`` fall into, the ends included."""
    low, high = number(bounds[0]), number(bounds[1])
    # A range without a width has its one value in the first part.
    share = (values.double().cpu() - low) / ((high - low) or 1.0)
    return (share * count).floor().to(torch.int64).clamp(0, count - 1)


def _place(bounds: Range, share: Tensor) -> Tensor:
    low, high = number(bounds[0]), number(bounds[1])
    return low + (high - low) * share
