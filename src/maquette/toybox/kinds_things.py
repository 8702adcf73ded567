"""Household things, buildings and plants of the toy world.

Every function builds one kind from its first and second colour: front along +X, up along +Z, a
little natural variety from ``random``, nothing thinner than about a tenth of a world unit.
"""

import math
from itertools import pairwise

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.colours import contrasting
from maquette.toybox.shapes import Primitive, box, cone, ellipsoid, fit, rod

__all__ = [
    "ball",
    "bottle",
    "cactus",
    "cake",
    "can",
    "castle",
    "chair",
    "cone_shape",
    "cube",
    "gift",
    "guitar",
    "hat",
    "house",
    "ice_cream",
    "lamp",
    "mug",
    "mushroom",
    "table",
    "tree",
    "vary",
]

Primitives = list[Primitive]


def vary(random: Generator, count: int) -> list[float]:
    """Factors between 0.92 and 1.08 for an object's proportions."""
    return [float(value) for value in random.uniform(0.92, 1.08, count)]


def ball(first: Rgb, _second: Rgb, _random: Generator) -> Primitives:
    return fit([ellipsoid((0, 0, 0), 1.0, first)], 0.80)


def cube(first: Rgb, _second: Rgb, _random: Generator) -> Primitives:
    return fit([box((0, 0, 0), 1.0, first)], 0.90)


def cone_shape(first: Rgb, _second: Rgb, random: Generator) -> Primitives:
    (a,) = vary(random, 1)
    return fit([cone((0, 0, 0), (0.6 * a, 0.6 * a, 0.65), first, taper=0.03)])


def can(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r = 0.42 * a
    return fit(
        [
            rod((0, 0, -0.65), (0, 0, 0.65), r, first),
            rod((0, 0, -0.24 * b), (0, 0, 0.24 * b), r + 0.02, second),
            rod((0, 0, 0.62), (0, 0, 0.70), r + 0.02, second, r - 0.04),
        ]
    )


def mug(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r = 0.48 * a
    arc = [(r - 0.05, 0.32), (r + 0.26 * b, 0.26), (r + 0.36 * b, 0.0)]
    arc += [(x, -z) for x, z in arc[1::-1]]
    handle = [rod((x0, 0, z0), (x1, 0, z1), 0.085, second) for (x0, z0), (x1, z1) in pairwise(arc)]
    knees = [ellipsoid((x, 0, z), 0.085, second) for x, z in arc[1:-1]]
    return fit(
        [
            rod((0, 0, -0.52), (0, 0, 0.52), r, first),
            rod((0, 0, 0.4), (0, 0, 0.53), r - 0.08, second),
            rod((0, 0, -0.53), (0, 0, -0.34), r + 0.02, second),
            *handle,
            *knees,
        ]
    )


def bottle(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r = 0.34 * a
    return fit(
        [
            rod((0, 0, -0.85), (0, 0, 0.15), r, first),
            rod((0, 0, 0.15), (0, 0, 0.45 * b), r, first, 0.14),
            rod((0, 0, 0.4), (0, 0, 0.65), 0.14, first),
            rod((0, 0, 0.62), (0, 0, 0.88), 0.18, second),
            rod((0, 0, -0.58), (0, 0, -0.08), r + 0.02, second),
        ]
    )


def table(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    x, y = 0.55 * a, 0.75
    legs = [
        box((i * (x - 0.12), j * (y - 0.12), -0.25), (0.09, 0.09, 0.35 * b), second)
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    runner = box((0, 0, 0.13), (x + 0.03, 0.24, 0.09), second)
    return fit([box((0, 0, 0.12), (x, y, 0.08), first), runner, *legs])


def chair(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    legs = [
        box((i * 0.32, j * 0.32, -0.48), (0.08, 0.08, 0.36), second)
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    posts = [box((-0.36, j * 0.34, 0.25), (0.075, 0.08, 0.62 * b), second) for j in (-1, 1)]
    return fit(
        [
            box((0, 0, -0.08), (0.43 * a, 0.43, 0.09), first),
            box((-0.35, 0, 0.52 * b), (0.065, 0.30, 0.24), first),
            *posts,
            *legs,
        ]
    )


def lamp(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    return fit(
        [
            rod((0, 0, 0.08), (0, 0, 0.68), 0.56 * a, first, 0.28 * b),
            rod((0, 0, -0.75), (0, 0, 0.2), 0.085, second),
            rod((0, 0, -0.82), (0, 0, -0.64), 0.46 * b, second, 0.34 * b),
            rod((0, 0, 0.08), (0, 0, 0.20), 0.575 * a, second, 0.52 * a),
            ellipsoid((0, 0, 0.74), 0.12, second),
        ]
    )


def hat(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    h = 1.05 * b
    return fit(
        [
            cone((0, 0, 0), (0.80 * a, 0.80 * a, 0.06), first, taper=0.94),
            rod((0, 0, 0), (0, 0, h), 0.47, first, 0.07),
            rod((0, 0, 0.04), (0, 0, 0.30), 0.51, second, 0.40),
        ]
    )


def cake(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    candles = [
        rod(
            (0.2 * math.cos(t), 0.2 * math.sin(t), 0.4),
            (0.2 * math.cos(t), 0.2 * math.sin(t), 0.75),
            0.065,
            first,
        )
        for t in (0.0, 2.1, 4.2)
    ]
    return fit(
        [
            rod((0, 0, -0.45), (0, 0, -0.12), 0.70 * a, first),
            rod((0, 0, -0.14), (0, 0, 0.02), 0.74 * a, second),
            rod((0, 0, 0.02), (0, 0, 0.30), 0.44 * b, first),
            rod((0, 0, 0.26), (0, 0, 0.42), 0.48 * b, second),
            *candles,
        ]
    )


def ice_cream(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    return fit(
        [
            ellipsoid((0, 0, 0.28), 0.40 * a, first),
            ellipsoid((0, 0, 0.68), 0.31 * b, first),
            rod((0, 0, 0.14), (0, 0, -0.90), 0.37 * a, second, 0.07),
            rod((0, 0, 0.02), (0, 0, 0.22), 0.50 * a, second),
        ]
    )


def guitar(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    quarter = (0.0, 90.0, 0.0)
    return fit(
        [
            cone((0, 0, -0.55), (0.36 * a, 0.46 * a, 0.13), first, quarter),
            cone((0, 0, -0.12), (0.28 * b, 0.34 * b, 0.13), first, quarter),
            cone((0.10, 0, -0.26), (0.15, 0.15, 0.07), contrasting(first), quarter),
            box((0.10, 0, -0.66), (0.08, 0.22, 0.07), second),
            box((0.10, 0, 0.32), (0.06, 0.095, 0.48), second),
            box((0.06, 0, 0.92), (0.07, 0.17, 0.17), second),
        ]
    )


def gift(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    x, z = 0.55 * a, 0.46 * b
    bow = [
        ellipsoid((0, j * 0.2, z + 0.14), (0.13, 0.22, 0.12), second, (j * 20.0, 0, 0))
        for j in (-1, 1)
    ]
    return fit(
        [
            box((0, 0, 0), (x, 0.55, z), first),
            box((0, 0, 0), (x + 0.02, 0.13, z + 0.02), second),
            box((0, 0, 0), (0.13, 0.57, z + 0.02), second),
            *bow,
        ]
    )


def castle(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    towers: Primitives = []
    for i in (-1, 1):
        for j in (-1, 1):
            x, y, top = i * 0.45, j * 0.45, 0.25 * a
            towers.append(rod((x, y, -0.5), (x, y, top), 0.19, first))
            towers.append(rod((x, y, top), (x, y, top + 0.42 * b), 0.26, second, 0.02))
    return fit(
        [
            box((0, 0, -0.2), (0.44, 0.44, 0.3), first),
            box((0.40, 0, -0.3), (0.10, 0.15, 0.20), second),
            cone((0.40, 0, -0.1), (0.15, 0.15, 0.10), second, (0, 90, 0)),
            box((0, 0, 0.12), (0.26, 0.26, 0.12), second),
            *towers,
        ]
    )


def house(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    x, y, wall = 0.5 * a, 0.55, 0.36 * b
    glass = contrasting(first)
    windows = [box((x, j * 0.33, 0.05), (0.02, 0.12, 0.12), glass) for j in (-1, 1)]
    return fit(
        [
            box((0, 0, 0), (x, y, wall), first),
            box((0, 0, wall + 0.24), (x + 0.12, y + 0.12, 0.26), second, taper=(1.0, 0.0)),
            box((x, 0, -wall + 0.25), (0.03, 0.13, 0.25), second),
            box((-0.2, 0.34, wall + 0.36), (0.11, 0.11, 0.24), first),
            *windows,
        ]
    )


def tree(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    leaves = [
        ((0, 0.26, 0.20), 0.38 * a),
        ((0.05, -0.28, 0.24), 0.36 * b),
        ((0, 0, 0.50), 0.40 * a),
    ]
    leaves += [((0.24, 0, 0.20), 0.35 * b), ((-0.26, 0, 0.22), 0.35 * a)]
    fruit = []
    for step in range(9):
        turn, up = 2.4 * step, 0.75 - 0.14 * step
        flat = math.sqrt(1 - up**2)
        place = (0.56 * flat * math.cos(turn), 0.60 * flat * math.sin(turn), 0.32 + 0.52 * up)
        fruit.append(ellipsoid(place, 0.115, second))
    trunk = rod((0, 0, -0.85), (0, 0, 0.1), 0.19, second, 0.13)
    return fit([*(ellipsoid(place, r, first) for place, r in leaves), trunk, *fruit])


def mushroom(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r, h = 0.70 * a, 0.46 * b
    spots = []
    for count, polar, start in ((1, 0.0, 0.0), (5, 0.95, 0.3)):
        for step in range(count):
            turn = start + 2 * math.pi * step / count
            x, z = math.sin(polar) * r, math.cos(polar) * h
            place = (x * math.cos(turn) * 0.93, x * math.sin(turn) * 0.93, 0.12 + z * 0.93)
            spots.append(ellipsoid(place, (0.17, 0.17, 0.12), second))
    stem = rod((0, 0, -0.78), (0, 0, 0.0), 0.30, second, 0.24)
    return fit([ellipsoid((0, 0, 0.12), (r, r, h), first), stem, *spots])


def cactus(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    low, high = -0.05 * a, 0.12 * b
    parts = [
        rod((0, 0, -0.5), (0, 0, 0.6), 0.22, first),
        ellipsoid((0, 0, 0.6), 0.22, first),
        rod((0, 0, -0.45), (0, 0, -0.9), 0.44 * a, second, 0.30 * a),
        ellipsoid((0, 0, 0.82), (0.15, 0.15, 0.09), second),
    ]
    for side, z in ((-1, low), (1, high)):
        y, top = side * 0.46, z + 0.32
        parts.append(rod((0, 0, z), (0, y, z), 0.13, first))
        parts.append(ellipsoid((0, y, z), 0.13, first))
        parts.append(rod((0, y, z), (0, y, top), 0.13, first))
        parts.append(ellipsoid((0, y, top), 0.13, first))
    return fit(parts)
