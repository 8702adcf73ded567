"""Animals and figures of the toy world, all with a face towards +X."""

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.colours import contrasting
from maquette.toybox.kinds_things import vary
from maquette.toybox.shapes import Primitive, Vector, box, cone, ellipsoid, fit, rod

__all__ = [
    "duck",
    "elephant",
    "fish",
    "penguin",
    "rabbit",
    "robot",
    "snowman",
    "teddy_bear",
    "turtle",
]

Primitives = list[Primitive]
_CARROT: Rgb = (1.0, 0.45, 0.05)
_IVORY: Rgb = (0.97, 0.95, 0.86)


def _eyes(place: Vector, radius: float, skin: Rgb) -> Primitives:
    """A pair of eyes at ``place`` and at its mirror image across the XZ plane."""
    x, y, z = place
    return [ellipsoid((x, side * y, z), radius, contrasting(skin)) for side in (-1, 1)]


def snowman(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    buttons = [ellipsoid((0.37 * b, 0, -0.02 + z), 0.07, second) for z in (-0.10, 0.14)]
    return fit(
        [
            ellipsoid((0, 0, -0.52), 0.46 * a, first),
            ellipsoid((0, 0, 0.04), 0.36 * b, first),
            ellipsoid((0, 0, 0.47), 0.26, first),
            rod((0, 0, 0.20), (0, 0, 0.33), 0.28, second),
            box((0.22, 0.16, 0.08), (0.07, 0.08, 0.20), second, (0, 20, 30)),
            rod((0, 0, 0.62), (0, 0, 0.73), 0.38, second),
            rod((0, 0, 0.68), (0, 0, 1.04), 0.24, second),
            rod((0.2, 0, 0.46), (0.50, 0, 0.43), 0.085, _CARROT, 0.03),
            *_eyes((0.22, 0.11, 0.54), 0.065, first),
            *buttons,
        ]
    )


def robot(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    limbs: Primitives = []
    for side in (-1, 1):
        limbs.append(box((0, side * 0.20, -0.66), (0.13, 0.13, 0.26), second))
        limbs.append(box((0.06, side * 0.20, -0.88), (0.22, 0.15, 0.08), first))
        limbs.append(box((0, side * (0.36 * a + 0.13), -0.08), (0.12, 0.10, 0.34), second))
        limbs.append(ellipsoid((0, side * (0.36 * a + 0.13), -0.46), 0.14, first))
    return fit(
        [
            box((0, 0, -0.06), (0.25, 0.36 * a, 0.38), first),
            box((0.24, 0, -0.04), (0.04, 0.20, 0.18), second),
            box((0, 0, 0.56), (0.24, 0.29 * b, 0.22), first),
            rod((0, 0, 0.3), (0, 0, 0.4), 0.12, second),
            box((0.24, 0, 0.48), (0.03, 0.17, 0.05), second),
            rod((0, 0, 0.75), (0, 0, 0.88), 0.07, second),
            ellipsoid((0, 0, 0.93), 0.11, second),
            *_eyes((0.22, 0.13, 0.64), 0.085, first),
            *limbs,
        ]
    )


def teddy_bear(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(ellipsoid((0.02, side * 0.27, 0.74), (0.10, 0.15, 0.15), first))
        pairs.append(ellipsoid((0.08, side * 0.27, 0.74), (0.07, 0.095, 0.095), second))
        pairs.append(
            ellipsoid((0.15, side * 0.44, -0.10), (0.15, 0.15, 0.27), first, (side * 35, -30, 0))
        )
        pairs.append(ellipsoid((0.28, side * 0.55, -0.28), 0.16, second))
        pairs.append(
            ellipsoid((0.30, side * 0.32, -0.62), (0.33, 0.18, 0.18), first, (0, 0, side * 20))
        )
        pairs.append(
            ellipsoid((0.56, side * 0.40, -0.60), (0.12, 0.19, 0.20), second, (0, 0, side * 20))
        )
    return fit(
        [
            ellipsoid((0, 0, -0.30), (0.38 * a, 0.42 * a, 0.46), first),
            ellipsoid((0.17, 0, -0.28), (0.26, 0.29, 0.33), second),
            ellipsoid((0.03, 0, 0.42), (0.34, 0.38 * b, 0.34), first),
            ellipsoid((0.31, 0, 0.34), (0.15, 0.17, 0.13), second),
            ellipsoid((0.44, 0, 0.39), (0.06, 0.075, 0.06), contrasting(second)),
            ellipsoid((-0.40, 0, -0.50), 0.14, second),
            *_eyes((0.30, 0.15, 0.53), 0.065, first),
            *pairs,
        ]
    )


def duck(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(
            ellipsoid((-0.10, side * 0.38 * a, -0.12), (0.36, 0.13, 0.22), second, (0, 12, 0))
        )
        pairs.append(ellipsoid((0.12, side * 0.18, -0.56), (0.22, 0.14, 0.08), second))
    return fit(
        [
            ellipsoid((-0.05, 0, -0.18), (0.58, 0.42 * a, 0.36), first),
            rod((-0.35, 0, -0.10), (-0.78, 0, 0.20), 0.24, first, 0.08),
            ellipsoid((0.34, 0, 0.40), 0.31 * b, first),
            rod((0.30, 0, 0.0), (0.32, 0, 0.3), 0.24, first, 0.20),
            ellipsoid((0.66, 0, 0.34), (0.23, 0.19, 0.09), second),
            *_eyes((0.52, 0.20, 0.50), 0.068, first),
            *pairs,
        ]
    )


def fish(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    sides = [
        cone((0.05, j * 0.28, -0.08), (0.15, 0.07, 0.20), second, (j * 60, -60, 0), 0.4)
        for j in (-1, 1)
    ]
    return fit(
        [
            ellipsoid((0.10, 0, 0), (0.60, 0.27 * a, 0.40 * b), first),
            cone((-0.66, 0, 0), (0.44, 0.10, 0.26), second, (0, 90, 0), 0.22),
            box((0.02, 0, 0.42), (0.28, 0.06, 0.16), second, (0, -12, 0), (0.5, 0.8)),
            box((0.02, 0, -0.40), (0.16, 0.06, 0.12), second, (180, 0, 0), (0.5, 0.8)),
            ellipsoid((0.10, 0, 0), (0.13, 0.29 * a, 0.42 * b), second),
            ellipsoid((0.67, 0, -0.06), (0.08, 0.12, 0.07), second),
            *_eyes((0.48, 0.18 * a, 0.10), 0.075, first),
            *sides,
        ]
    )


def penguin(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(
            ellipsoid((0.0, side * 0.45 * a, -0.05), (0.16, 0.085, 0.38), second, (side * 14, 0, 0))
        )
        pairs.append(ellipsoid((0.16, side * 0.20, -0.80), (0.26, 0.17, 0.09), _CARROT))
    return fit(
        [
            ellipsoid((0, 0, -0.20), (0.40 * a, 0.42 * a, 0.60), first),
            ellipsoid((0.13, 0, -0.24), (0.32 * a, 0.33 * a, 0.50), second),
            ellipsoid((0, 0, 0.50), (0.31, 0.31 * b, 0.30), first),
            ellipsoid((0.13, 0, 0.46), (0.21, 0.22, 0.20), second),
            rod((0.26, 0, 0.46), (0.58, 0, 0.42), 0.12, _CARROT, 0.03),
            *_eyes((0.27, 0.13, 0.57), 0.065, second),
            *pairs,
        ]
    )


def rabbit(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        lean = (-side * 10.0, 0.0, 0.0)
        pairs.append(ellipsoid((0.0, side * 0.17, 0.72 * b), (0.10, 0.13, 0.40), first, lean))
        pairs.append(ellipsoid((0.05, side * 0.17, 0.72 * b), (0.085, 0.085, 0.32), second, lean))
        pairs.append(ellipsoid((0.12, side * 0.30, -0.64), (0.36, 0.15, 0.17), first))
        pairs.append(ellipsoid((0.42, side * 0.30, -0.68), (0.14, 0.14, 0.13), second))
        pairs.append(ellipsoid((0.28, side * 0.25, -0.20), (0.12, 0.10, 0.22), first, (0, -35, 0)))
    return fit(
        [
            ellipsoid((-0.04, 0, -0.42), (0.38, 0.37 * a, 0.42), first),
            ellipsoid((0.11, 0, -0.42), (0.27, 0.27, 0.32), second),
            ellipsoid((-0.44, 0, -0.55), 0.21, second),
            ellipsoid((0.08, 0, 0.20), (0.32, 0.31, 0.29), first),
            ellipsoid((0.32, 0, 0.11), (0.13, 0.15, 0.11), second),
            *_eyes((0.31, 0.16, 0.28), 0.068, first),
            *pairs,
        ]
    )


def turtle(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    legs = [
        ellipsoid((i * 0.38, j * 0.44, -0.24), (0.19, 0.19, 0.17), second, (0, 0, i * j * 35))
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    plates = [
        ellipsoid((0.36 * i, 0.34 * j, 0.24 * b), (0.13, 0.13, 0.10), second)
        for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    return fit(
        [
            ellipsoid((0, 0, -0.06), (0.58, 0.52 * a, 0.46 * b), first),
            cone((0, 0, -0.12), (0.64, 0.58 * a, 0.07), first, taper=0.92),
            ellipsoid((0, 0, 0.37 * b), (0.17, 0.17, 0.08), second),
            ellipsoid((0.80, 0, 0.10), (0.24, 0.21, 0.20), second),
            rod((0.5, 0, -0.12), (0.74, 0, 0.06), 0.15, second),
            rod((-0.5, 0, -0.18), (-0.84, 0, -0.24), 0.12, second, 0.05),
            *_eyes((0.94, 0.14, 0.18), 0.065, second),
            *legs,
            *plates,
        ]
    )


def elephant(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(
            ellipsoid((0.30, side * 0.42 * b, 0.26), (0.10, 0.28, 0.32), second, (0, 0, side * 30))
        )
        pairs.append(
            rod((0.62, side * 0.16, 0.02), (0.84, side * 0.18, -0.10), 0.065, _IVORY, 0.045)
        )
        for x in (-0.38, 0.20):
            pairs.append(rod((x, side * 0.22, -0.2), (x, side * 0.22, -0.68), 0.16, first))
            pairs.append(rod((x, side * 0.22, -0.60), (x, side * 0.22, -0.74), 0.18, second))
    return fit(
        [
            ellipsoid((-0.12, 0, -0.04), (0.56, 0.40 * a, 0.38), first),
            ellipsoid((-0.16, 0, -0.01), (0.23, 0.42 * a, 0.39), second),
            ellipsoid((0.48, 0, 0.24), (0.29, 0.28, 0.30), first),
            rod((0.66, 0, 0.16), (0.86, 0, -0.26), 0.14, first, 0.11),
            rod((0.86, 0, -0.22), (0.92, 0, -0.58), 0.115, first, 0.085),
            rod((-0.60, 0, 0.08), (-0.74, 0, -0.30), 0.065, second, 0.05),
            *_eyes((0.70, 0.15, 0.36), 0.065, first),
            *pairs,
        ]
    )
