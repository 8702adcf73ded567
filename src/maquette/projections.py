"""Projections of one vector on another, row by row, whatever the vectors stand for."""

from __future__ import annotations

from torch import Tensor

__all__ = ["perpendicular"]


def perpendicular(vector: Tensor, onto: Tensor) -> Tensor:
    """The part of ``vector`` ``[B, ...]`` at right angles to ``onto``, row by row.

    ``vector - <vector, onto> / <onto, onto> onto``. A row of ``onto`` that is zero has no
    direction and takes nothing away. Public code puts a floor of 1e-6 under ``<onto, onto>``, below
    which the result is not perpendicular; here only the direction of ``onto`` counts, whatever its
    length, as its largest number is brought to 1 first.
    """
    peak = onto.flatten(1).abs().amax(1).reshape(-1, *[1] * (onto.dim() - 1))
    direction = onto / peak.masked_fill(peak == 0, 1)
    # At least one number of a direction is 1, so its square is below 1 for rows of zeros only.
    share = _dot(vector, direction) / _dot(direction, direction).clamp(min=1)
    return vector - share * direction


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of rows, shaped ``[B, 1, ...]``."""
    return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.dim() - 1))
