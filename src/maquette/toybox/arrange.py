"""From a description to solids: finishes put on, sizes scaled, two objects set together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.captions import Description
from maquette.toybox.finish import SIZES, USUAL_SIZE, finished
from maquette.toybox.kinds import KINDS
from maquette.toybox.shapes import Primitive, fit, support

__all__ = ["Paint", "assemble"]

Paint = tuple[Rgb, Rgb]
"""The colours of both slots."""
ON_SCALE, BESIDE_SCALE, GAP = (0.60, 0.72), (0.60, 0.60), 0.05
"""Sizes of the first and the second object before both are fitted, and the gap between them."""
_UP, _LEFT = np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]])


def assemble(
    description: Description, paints: Sequence[Paint], random: Generator
) -> list[Primitive]:
    """The solids of a description, inside a ball of radius 0.9 about the origin.

    Args:
        description: of one object or two.
        paints: the colours of each.
        random: draws the proportions, of the first object first.
    """
    d = description
    first = _one(d, paints[0], random)
    if d.other is None:
        return _placed(first, SIZES.get(d.size, USUAL_SIZE))
    second = _one(d.other, paints[1], random)
    scales = ON_SCALE if d.relation == "on" else BESIDE_SCALE
    one, two = (
        _placed(part, scale * SIZES.get(which.size, USUAL_SIZE))
        for part, scale, which in zip((first, second), scales, (d, d.other), strict=True)
    )
    if d.relation == "on":
        return fit([*_placed(one, shift=(0.0, 0.0, _reach(two, _UP) + _reach(one, -_UP))), *two])
    # On one floor, the first one at its own right hand, which is the left of who looks at it.
    aside = _reach(one, _LEFT) + _reach(two, -_LEFT) + GAP
    lift = _reach(one, -_UP) - _reach(two, -_UP)
    return fit([*_placed(one, shift=(0.0, -aside, lift)), *two])


def _one(description: Description, paint: Paint, random: Generator) -> list[Primitive]:
    parts = KINDS[description.kind].build(*paint, random)
    return finished(parts, paint[0], description.pattern, description.material)


def _placed(
    parts: Sequence[Primitive],
    scale: float = 1.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> list[Primitive]:
    x, y, z = shift
    return [
        replace(
            part,
            centre=(
                part.centre[0] * scale + x,
                part.centre[1] * scale + y,
                part.centre[2] * scale + z,
            ),
            sizes=(part.sizes[0] * scale, part.sizes[1] * scale, part.sizes[2] * scale),
        )
        for part in parts
    ]


def _reach(parts: Sequence[Primitive], direction: np.ndarray) -> float:
    return float(support(parts, direction).max())
