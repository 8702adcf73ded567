"""Vehicles of the toy world, all driving towards +X."""

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.colours import contrasting
from maquette.toybox.kinds_things import vary
from maquette.toybox.shapes import Primitive, box, cone, ellipsoid, fit, rod

__all__ = [
    "airplane",
    "boat",
    "bus",
    "car",
    "helicopter",
    "rocket",
    "tractor",
    "train",
    "truck",
]

Primitives = list[Primitive]
_RUBBER: Rgb = (0.12, 0.12, 0.13)
_LIGHT: Rgb = (1.0, 0.95, 0.60)
_BRAKE: Rgb = (0.75, 0.05, 0.06)
_GLASS: Rgb = (0.20, 0.26, 0.34)


def _wheels(xs: tuple[float, ...], y: float, z: float, radius: float, hub: Rgb) -> Primitives:
    """Pairs of dark wheels with coloured hubs; ``y`` is the outer face."""
    parts: Primitives = []
    for x in xs:
        for side in (-1, 1):
            parts.append(rod((x, side * (y - 0.16), z), (x, side * y, z), radius, _RUBBER))
            parts.append(
                rod((x, side * (y - 0.1), z), (x, side * (y + 0.03), z), radius * 0.55, hub)
            )
    return parts


def _lamps(x: float, y: float, z: float, radius: float, colour: Rgb) -> Primitives:
    """Two round lamps on a front or back face."""
    return [ellipsoid((x, side * y, z), (0.05, radius, radius), colour) for side in (-1, 1)]


def car(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    y, top = 0.40 * a, 0.30 * b
    return fit(
        [
            box((0, 0, -0.12), (0.82, y, 0.18), first),
            box(
                (-0.08, 0, 0.06 + top / 2),
                (0.50, y - 0.04, top / 2 + 0.04),
                second,
                taper=(0.66, 0.88),
            ),
            box((-0.08, 0, 0.08 + top / 2), (0.44, y + 0.0, 0.09), _GLASS, taper=(0.80, 0.92)),
            box((-0.08, 0, 0.08 + top / 2), (0.51, 0.26, 0.09), _GLASS, taper=(0.80, 1.0)),
            box((-0.08, 0, 0.08 + top / 2), (0.07, y + 0.02, 0.14), second, taper=(1.0, 0.92)),
            box((0.78, 0, -0.22), (0.08, y, 0.07), second),
            box((-0.78, 0, -0.22), (0.08, y, 0.07), second),
            *_lamps(0.82, 0.26, -0.04, 0.09, _LIGHT),
            *_lamps(-0.82, 0.26, -0.04, 0.085, _BRAKE),
            *_wheels((-0.48, 0.48), y + 0.03, -0.28, 0.20, second),
        ]
    )


def truck(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    y = 0.40 * a
    return fit(
        [
            box((0.56, 0, 0.0), (0.26, y, 0.34), first),
            box((0.76, 0, 0.14), (0.08, y - 0.08, 0.14), _GLASS),
            box((0.60, 0, 0.14), (0.14, y + 0.02, 0.12), _GLASS),
            box((0.0, 0, -0.36), (0.84, y - 0.04, 0.08), first),
            box((-0.30, 0, 0.12), (0.52, y + 0.04, 0.42 * b), second),
            *_lamps(0.83, 0.26, -0.16, 0.09, _LIGHT),
            *_lamps(-0.84, 0.26, -0.36, 0.08, _BRAKE),
            *_wheels((-0.52, 0.50), y + 0.03, -0.44, 0.21, first),
        ]
    )


def bus(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    y, z = 0.33 * a, 0.36 * b
    windows = [
        box((x, 0, 0.12), (0.12, y + 0.015, 0.13), _GLASS) for x in (-0.60, -0.28, 0.04, 0.36)
    ]
    return fit(
        [
            box((0, 0, 0), (0.86, y, z), first),
            box((0, 0, z + 0.04), (0.86, y + 0.02, 0.08), second),
            box((0, 0, -0.16), (0.875, y + 0.02, 0.085), second),
            box((0.84, 0, 0.12), (0.035, y - 0.06, 0.14), _GLASS),
            *(box((x, 0, z + 0.1), (0.16, y * 0.55, 0.09), first) for x in (-0.45, 0.35)),
            *windows,
            *_lamps(0.87, 0.22, -0.16, 0.08, _LIGHT),
            *_lamps(-0.87, 0.22, -0.16, 0.075, _BRAKE),
            *_wheels((-0.52, 0.52), y + 0.03, -z - 0.02, 0.17, second),
        ]
    )


def train(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r = 0.27 * a
    return fit(
        [
            box((0, 0, -0.30), (0.80, 0.32, 0.09), second),
            rod((-0.3, 0, 0.0), (0.68, 0, 0.0), r, first),
            rod((0.66, 0, 0.0), (0.76, 0, 0.0), r * 0.85, second),
            rod((0.30, 0, 0.0), (0.42, 0, 0.0), r + 0.02, second),
            box((-0.52, 0, 0.12), (0.28, 0.34, 0.38 * b), first),
            box((-0.52, 0, 0.12 + 0.38 * b), (0.36, 0.42, 0.07), second),
            box((-0.50, 0, 0.22), (0.14, 0.36, 0.13), _GLASS),
            rod((0.52, 0, 0.60 * b), (0.52, 0, 0.1), 0.18, second, 0.10),
            ellipsoid((0.10, 0, 0.24), (0.13, 0.13, 0.16), second),
            box((0.82, 0, -0.40), (0.13, 0.30, 0.15), first, taper=(0.3, 0.8)),
            *_wheels((-0.50, 0.02, 0.46), 0.36, -0.42, 0.19, first),
        ]
    )


def boat(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    y = 0.34 * a
    return fit(
        [
            box((-0.16, 0, -0.48), (0.58, y, 0.17), first, (180, 0, 0), (0.86, 0.6)),
            box((0.42, 0, -0.48), (y * 0.7071, y * 0.7071, 0.17), first, (180, 0, 45), (0.6, 0.6)),
            box((-0.16, 0, -0.31), (0.60, y + 0.03, 0.06), first),
            box((0.44, 0, -0.31), (y * 0.73, y * 0.73, 0.06), first, (0, 0, 45)),
            rod((0.05, 0, -0.4), (0.05, 0, 0.82), 0.065, first),
            cone((-0.30, 0, 0.26), (0.40, 0.07, 0.46 * b), second, taper=0.06),
            cone((0.32, 0, 0.16), (0.24, 0.07, 0.36 * b), second, taper=0.06),
            box((-0.4, 0, -0.25), (0.2, 0.18, 0.10), second),
        ]
    )


def rocket(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    r = 0.28 * a
    fins = [
        box((0.36 * x, 0.36 * y, -0.58), (0.20, 0.06, 0.26), second, (0, 0, turn), (0.4, 1.0))
        for x, y, turn in ((1, 0, 0), (0, 1, 90), (-1, 0, 0), (0, -1, 90))
    ]
    return fit(
        [
            rod((0, 0, -0.62), (0, 0, 0.30), r, first),
            rod((0, 0, 0.30), (0, 0, 0.95 * b), r + 0.01, second, 0.03),
            rod((0, 0, -0.84), (0, 0, -0.60), 0.22, _RUBBER, 0.14),
            rod((0, 0, -0.22), (0, 0, -0.08), r + 0.015, second),
            ellipsoid((r, 0, 0.12), (0.05, 0.13, 0.13), contrasting(first)),
            *fins,
        ]
    )


def airplane(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    wings: Primitives = []
    for side in (-1, 1):
        turn = (-side * 90.0, 0.0, 0.0)
        wings.append(
            box((0.02, side * 0.46 * b, -0.06), (0.22, 0.06, 0.42 * b), second, turn, (0.6, 0.9))
        )
        wings.append(box((-0.70, side * 0.24, 0.08), (0.13, 0.055, 0.22), second, turn, (0.7, 0.9)))
        wings.append(rod((-0.1, side * 0.42, -0.14), (0.26, side * 0.42, -0.14), 0.10, first))
    return fit(
        [
            ellipsoid((0.52, 0, 0), (0.34, 0.19 * a, 0.19 * a), first),
            rod((-0.3, 0, 0), (0.52, 0, 0), 0.19 * a, first),
            rod((-0.3, 0, 0), (-0.88, 0, 0.08), 0.19 * a, first, 0.08),
            box((-0.74, 0, 0.26), (0.16, 0.055, 0.24), second, taper=(0.6, 0.9)),
            box((0.62, 0, 0.10), (0.12, 0.13, 0.09), _GLASS, taper=(0.6, 0.8)),
            *wings,
        ]
    )


def helicopter(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    skids = [rod((-0.22, j * 0.26, -0.52), (0.55, j * 0.26, -0.52), 0.06, second) for j in (-1, 1)]
    struts = [
        rod((x, j * 0.16, -0.2), (x, j * 0.26, -0.52), 0.055, second)
        for x in (-0.02, 0.34)
        for j in (-1, 1)
    ]
    return fit(
        [
            ellipsoid((0.20, 0, -0.06), (0.44, 0.32 * a, 0.33), first),
            ellipsoid((0.40, 0, 0.02), (0.26, 0.26 * a, 0.22), _GLASS),
            rod((0.0, 0, 0.02), (-0.85, 0, 0.10), 0.16, first, 0.08),
            box((-0.82, 0, 0.22), (0.13, 0.06, 0.22), second),
            rod((0.12, 0, 0.2), (0.12, 0, 0.44), 0.09, second),
            box((0.12, 0, 0.46), (0.80 * b, 0.09, 0.055), second, (0, 0, 45)),
            box((0.12, 0, 0.46), (0.80 * b, 0.09, 0.055), second, (0, 0, -45)),
            ellipsoid((0.0, 0, -0.06), (0.16, 0.34 * a, 0.35), second),
            *skids,
            *struts,
        ]
    )


def tractor(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    big: Primitives = []
    for side in (-1, 1):
        y = side * 0.42
        big.append(rod((-0.34, y - side * 0.22, -0.22), (-0.34, y, -0.22), 0.42 * a, _RUBBER))
        big.append(
            rod((-0.34, y - side * 0.1, -0.22), (-0.34, y + side * 0.03, -0.22), 0.26 * a, second)
        )
    return fit(
        [
            box((0.34, 0, -0.10), (0.44, 0.22, 0.20), first),
            box((-0.30, 0, -0.10), (0.30, 0.22, 0.22), first),
            box((-0.34, 0, 0.36), (0.26, 0.25, 0.26), _GLASS),
            box((-0.34, 0, 0.66 * b), (0.36, 0.34, 0.07), second),
            *(
                box((x, j * 0.22, 0.36), (0.06, 0.06, 0.28), second)
                for x in (-0.56, -0.12)
                for j in (-1, 1)
            ),
            rod((0.50, 0, 0.05), (0.50, 0, 0.46), 0.075, second),
            box((0.77, 0, -0.10), (0.03, 0.17, 0.14), second),
            *_lamps(0.80, 0.13, -0.02, 0.065, _LIGHT),
            *_wheels((0.52,), 0.40, -0.42, 0.22, second),
            *big,
        ]
    )
