"""Further things of the toy world that have a front."""

import math

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.colours import contrasting
from maquette.toybox.kinds_things import vary
from maquette.toybox.shapes import Primitive, box, cone, ellipsoid, fit, rod

__all__ = ["camera", "clock", "shoe", "television", "umbrella"]

Primitives = list[Primitive]


def clock(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    hand = contrasting(second)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(
            ellipsoid((0, side * 0.40, 0.66), (0.17, 0.22, 0.17), first, (side * -35, 0, 0))
        )
        pairs.append(rod((0, side * 0.34, -0.56), (0, side * 0.48, -0.84), 0.08, first))
    marks = [
        ellipsoid((0.27, 0.42 * math.sin(angle), 0.42 * math.cos(angle)), (0.03, 0.05, 0.05), hand)
        for angle in (0.0, math.pi / 2, math.pi, 1.5 * math.pi)
    ]
    return fit(
        [
            rod((-0.22 * a, 0, 0), (0.22, 0, 0), 0.66, first),
            rod((0.20, 0, 0), (0.25, 0, 0), 0.54 * b, second),
            rod((0.27, 0, 0), (0.27, 0.0, 0.36), 0.045, hand),
            rod((0.27, 0, 0), (0.27, 0.26, -0.04), 0.05, hand),
            rod((0, 0, 0.62), (0, 0, 0.86), 0.06, first),
            *pairs,
            *marks,
        ]
    )


def television(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(rod((0, side * 0.04, 0.46), (0, side * 0.38, 0.92), 0.035, second))
        for x in (-0.24, 0.24):
            pairs.append(rod((x, side * 0.44, -0.50), (x * 1.2, side * 0.52, -0.78), 0.06, second))
    knobs = [ellipsoid((0.42, 0.48, z), (0.06, 0.07, 0.07), first) for z in (0.18, -0.06)]
    return fit(
        [
            box((0, 0, 0), (0.38 * a, 0.70 * b, 0.50), first),
            box((0.37, 0, 0), (0.05, 0.66 * b, 0.46), second),
            box((0.41, -0.10, 0), (0.03, 0.42, 0.33), contrasting(second)),
            box((-0.42, 0, -0.02), (0.12, 0.46, 0.34), second),
            *knobs,
            *pairs,
        ]
    )


def camera(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    return fit(
        [
            box((0, 0, 0), (0.26 * a, 0.66, 0.40), first),
            box((-0.01, 0, 0.46), (0.20, 0.24, 0.10), second),
            rod((0.2, 0, -0.02), (0.58, 0, -0.02), 0.32 * b, second),
            rod((0.56, 0, -0.02), (0.62, 0, -0.02), 0.24, contrasting(second)),
            rod((0.0, 0.46, 0.38), (0.0, 0.46, 0.50), 0.10, second),
            box((0.26, -0.46, 0.26), (0.03, 0.11, 0.07), second),
            box((0, 0, -0.28), (0.27 * a, 0.67, 0.07), second),
        ]
    )


def shoe(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    laces = [
        rod((x, -0.16, z), (x, 0.16, z), 0.045, second)
        for x, z in ((0.18, 0.18), (0.06, 0.28), (-0.06, 0.38))
    ]
    return fit(
        [
            box((0.06, 0, -0.34), (0.74 * a, 0.30, 0.08), second),
            ellipsoid((0.42, 0, -0.12), (0.40, 0.28, 0.24), first),
            ellipsoid((-0.38, 0, -0.04), (0.32, 0.27, 0.34), first),
            box((0.02, 0, -0.06), (0.42, 0.24, 0.24), first, taper=(0.6, 0.8)),
            rod((-0.34, 0, 0.0), (-0.38, 0, 0.46 * b), 0.26, first),
            rod((-0.38, 0, 0.42 * b), (-0.385, 0, 0.52 * b), 0.28, second),
            ellipsoid((0.64, 0, -0.18), (0.20, 0.24, 0.17), second),
            *laces,
        ]
    )


def umbrella(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ribs = [
        rod(
            (0, 0, 0.70),
            (0.80 * math.cos(angle), 0.80 * math.sin(angle), 0.24),
            0.045,
            second,
        )
        for angle in (k * math.pi / 3 for k in range(6))
    ]
    return fit(
        [
            cone((0, 0, 0.42), (0.84 * a, 0.84 * a, 0.24), first, taper=0.12),
            ellipsoid((0, 0, 0.66), (0.16, 0.16, 0.10), first),
            rod((0, 0, 0.70), (0, 0, 0.88), 0.04, second),
            rod((0, 0, 0.40), (0, 0, -0.80 * b), 0.05, second),
            rod((0, 0, -0.80 * b), (0.18, 0, -0.90 * b), 0.055, second),
            rod((0.18, 0, -0.90 * b), (0.26, 0, -0.74 * b), 0.05, second),
            *ribs,
        ]
    )
