"""How far two shapes lie apart: Chamfer distance and F-score of points on their surfaces.

The points of a shape should be drawn evenly from its surface, as many from either shape; both
numbers depend on how many there are, so state it. Neither aligns or scales anything: bring the
shapes into one frame first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maquette.errors import InputError

__all__ = ["FScore", "chamfer", "f_score"]

Points = Tensor | NDArray[Any]


@dataclass(frozen=True)
class FScore:
    """The F-score at one threshold, and what it is made of."""

    precision: float
    """The share of made points that lie near the true shape."""

    recall: float
    """The share of true points that lie near the made shape."""

    @property
    def value(self) -> float:
        """Their harmonic mean; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def chamfer(made: Points, true: Points) -> float:
    """The mean distance from a point of one set to the other set, in world units.

    ``(mean_a min_b |a - b| + mean_b min_a |a - b|) / 2``: distances are not squared, and the two
    ways are averaged, so that a shift of a large flat shape by d gives d. (Fan et al. 2017 square
    and add.) It is symmetric, and 0 for equal sets.

    Args:
        made: ``[N, 3]``.
        true: ``[M, 3]``.

    Raises:
        InputError: a set is empty, not finite or of another shape.
    """
    there, back = _distances(made, true)
    return float(there.mean() + back.mean()) / 2


def f_score(made: Points, true: Points, threshold: float) -> FScore:
    """How much of either shape lies within a threshold of the other (Knapitsch et al. 2017).

    Precision is the share of made points less than ``threshold`` away from the true set, recall
    that of true points from the made one. Equal sets have 1.

    Args:
        made: ``[N, 3]``.
        true: ``[M, 3]``.
        threshold: world units; a hundredth of the object's largest side is usual.

    Raises:
        InputError: a set is empty, not finite or of another shape, or the threshold is not
            positive.
    """
    if not threshold > 0:
        raise InputError(f"A threshold of {threshold} is not positive")
    there, back = _distances(made, true)
    return FScore(float((there < threshold).mean()), float((back < threshold).mean()))


def _distances(made: Points, true: Points) -> tuple[NDArray[Any], NDArray[Any]]:
    """From each point to the nearest of the other set: ``[N]`` and ``[M]``."""
    from scipy.spatial import KDTree

    first, second = _points(made), _points(true)
    there, _ = KDTree(second).query(first)
    back, _ = KDTree(first).query(second)
    return np.asarray(there), np.asarray(back)


def _points(points: Points) -> NDArray[Any]:
    given = points.detach().cpu().numpy() if isinstance(points, Tensor) else np.asarray(points)
    if given.ndim != 2 or given.shape[1] != 3 or len(given) == 0:
        raise InputError(f"An array of shape {list(given.shape)} holds no points [N, 3]")
    if not np.isfinite(given).all():
        raise InputError("A point has a coordinate that is no number")
    return given.astype(np.float64)
