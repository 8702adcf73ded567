"""Four-legged animals, birds and other creatures of the toy world, all with a face towards +X."""

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox.colours import contrasting
from maquette.toybox.kinds_things import vary
from maquette.toybox.shapes import Primitive, Vector, box, cone, ellipsoid, fit, rod

__all__ = [
    "bear",
    "bird",
    "cat",
    "cow",
    "dinosaur",
    "dog",
    "frog",
    "giraffe",
    "horse",
    "lion",
    "monkey",
    "owl",
    "pig",
]

Primitives = list[Primitive]
_HORN: Rgb = (0.93, 0.88, 0.74)


def _eyes(place: Vector, radius: float, skin: Rgb) -> Primitives:
    """A pair of eyes at ``place`` and at its mirror image across the XZ plane."""
    x, y, z = place
    return [ellipsoid((x, side * y, z), radius, contrasting(skin)) for side in (-1, 1)]


def _legs(
    xs: tuple[float, float], y: float, top: float, foot: float, radius: float, leg: Rgb, hoof: Rgb
) -> Primitives:
    """Four round legs from ``top`` down to ``foot``, with feet in another colour."""
    parts: Primitives = []
    for x in xs:
        for side in (-1, 1):
            parts.append(rod((x, side * y, top), (x, side * y, foot), radius, leg))
            height = 0.16 * (top - foot)
            parts.append(
                rod((x, side * y, foot + height), (x, side * y, foot - 0.01), radius * 1.15, hoof)
            )
    return parts


def cat(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears: Primitives = []
    for side in (-1, 1):
        ears.append(
            cone((0.42, side * 0.20, 0.72), (0.13, 0.13, 0.17), first, (side * -12, 0, 0), 0.05)
        )
        ears.append(
            cone((0.49, side * 0.20, 0.70), (0.07, 0.08, 0.12), second, (side * -12, 0, 0), 0.05)
        )
    return fit(
        [
            ellipsoid((-0.12, 0, -0.06), (0.52 * a, 0.25, 0.25), first),
            ellipsoid((0.20, 0, -0.10), (0.20, 0.22, 0.22), second),
            ellipsoid((0.44, 0, 0.40), (0.29, 0.31 * b, 0.27), first),
            ellipsoid((0.66, 0, 0.30), (0.11, 0.15, 0.10), second),
            ellipsoid((0.77, 0, 0.34), (0.04, 0.05, 0.04), contrasting(second)),
            rod((-0.56, 0, 0.02), (-0.80, 0, 0.36), 0.09, first),
            rod((-0.80, 0, 0.34), (-0.66, 0, 0.74), 0.085, second, 0.07),
            *_eyes((0.67, 0.14, 0.46), 0.065, first),
            *_legs((-0.42, 0.24), 0.15, -0.14, -0.62, 0.09, first, second),
            *ears,
        ]
    )


def dog(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears = [
        ellipsoid((0.36, side * 0.31, 0.36), (0.12, 0.06, 0.26), second, (side * -12, 10, 0))
        for side in (-1, 1)
    ]
    return fit(
        [
            ellipsoid((-0.14, 0, -0.04), (0.54 * a, 0.28, 0.27), first),
            ellipsoid((-0.28, 0, 0.02), (0.22, 0.29, 0.27), second),
            rod((0.24, 0, 0.0), (0.42, 0, 0.30), 0.19, first),
            ellipsoid((0.44, 0, 0.42), (0.29, 0.28 * b, 0.26), first),
            rod((0.56, 0, 0.34), (0.90, 0, 0.30), 0.16, first, 0.13),
            ellipsoid((0.94, 0, 0.36), (0.08, 0.09, 0.07), contrasting(first)),
            rod((-0.60, 0, 0.08), (-0.92, 0, 0.34), 0.09, second, 0.05),
            *_eyes((0.66, 0.15, 0.54), 0.065, first),
            *_legs((-0.48, 0.22), 0.17, -0.12, -0.68, 0.11, first, second),
            *ears,
        ]
    )


def pig(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears = [
        cone((0.44, side * 0.22, 0.46), (0.13, 0.06, 0.15), second, (side * -20, 30, 0), 0.1)
        for side in (-1, 1)
    ]
    nostrils = [
        ellipsoid((0.93, side * 0.07, 0.12), (0.03, 0.04, 0.06), contrasting(second))
        for side in (-1, 1)
    ]
    return fit(
        [
            ellipsoid((-0.12, 0, 0), (0.60, 0.44 * a, 0.42), first),
            ellipsoid((0.46, 0, 0.16), (0.33, 0.34 * b, 0.31), first),
            rod((0.68, 0, 0.12), (0.92, 0, 0.12), 0.17, second),
            ellipsoid((-0.74, 0, 0.14), (0.10, 0.06, 0.10), second),
            rod((-0.68, 0, 0.08), (-0.82, 0, 0.24), 0.05, second),
            *_eyes((0.68, 0.18, 0.32), 0.06, first),
            *_legs((-0.44, 0.24), 0.22, -0.2, -0.62, 0.14, first, second),
            *ears,
            *nostrils,
        ]
    )


def cow(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(rod((0.52, side * 0.14, 0.54), (0.50, side * 0.36, 0.74), 0.06, _HORN, 0.02))
        pairs.append(ellipsoid((0.46, side * 0.34, 0.40), (0.07, 0.15, 0.09), first))
        pairs.append(ellipsoid((-0.30, side * 0.30, 0.10), (0.20, 0.12, 0.20), second))
        pairs.append(ellipsoid((0.10, side * 0.32, -0.06), (0.15, 0.10, 0.15), second))
    return fit(
        [
            box((-0.12, 0, 0.02), (0.56, 0.30 * a, 0.28), first, taper=(0.94, 0.8)),
            ellipsoid((-0.12, 0, -0.28), (0.40, 0.26, 0.12), first),
            rod((0.32, 0, 0.12), (0.54, 0, 0.34), 0.20, first),
            ellipsoid((0.58, 0, 0.36), (0.26, 0.22 * b, 0.25), first),
            ellipsoid((0.76, 0, 0.22), (0.16, 0.20, 0.15), second),
            rod((-0.66, 0, 0.20), (-0.78, 0, -0.30), 0.05, first),
            ellipsoid((-0.79, 0, -0.36), (0.07, 0.07, 0.12), second),
            *_eyes((0.74, 0.15, 0.46), 0.06, first),
            *_legs((-0.52, 0.26), 0.19, -0.2, -0.78, 0.11, first, second),
            *pairs,
        ]
    )


def horse(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears = [
        cone((0.44, side * 0.09, 0.84), (0.06, 0.06, 0.12), first, taper=0.1) for side in (-1, 1)
    ]
    return fit(
        [
            ellipsoid((-0.16, 0, 0.02), (0.54 * a, 0.25, 0.25), first),
            rod((0.22, 0, 0.06), (0.44, 0, 0.62), 0.20, first, 0.14),
            ellipsoid((0.46, 0, 0.66), (0.18, 0.15 * b, 0.16), first),
            rod((0.50, 0, 0.66), (0.84, 0, 0.44), 0.13, first, 0.11),
            box((0.20, 0, 0.42), (0.08, 0.055, 0.38), second, (0, 22, 0)),
            rod((-0.66, 0, 0.12), (-0.88, 0, -0.36), 0.12, second, 0.07),
            *_eyes((0.60, 0.12, 0.70), 0.055, first),
            *_legs((-0.50, 0.20), 0.14, -0.08, -0.88, 0.085, first, second),
            *ears,
        ]
    )


def lion(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears = [ellipsoid((0.40, side * 0.26, 0.66), (0.08, 0.11, 0.11), first) for side in (-1, 1)]
    return fit(
        [
            ellipsoid((-0.18, 0, -0.08), (0.54 * a, 0.28, 0.26), first),
            ellipsoid((0.32, 0, 0.26), (0.22, 0.50 * b, 0.52), second),
            ellipsoid((0.50, 0, 0.30), (0.26, 0.28, 0.28), first),
            ellipsoid((0.72, 0, 0.18), (0.13, 0.16, 0.12), first),
            ellipsoid((0.83, 0, 0.24), (0.05, 0.07, 0.05), contrasting(first)),
            rod((-0.62, 0, 0.0), (-0.90, 0, 0.30), 0.06, first),
            ellipsoid((-0.94, 0, 0.36), 0.12, second),
            *_eyes((0.70, 0.13, 0.42), 0.06, first),
            *_legs((-0.52, 0.18), 0.18, -0.16, -0.70, 0.12, first, second),
            *ears,
        ]
    )


def giraffe(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(rod((0.46, side * 0.08, 0.92), (0.44, side * 0.10, 1.08), 0.035, second))
        pairs.append(ellipsoid((0.42, side * 0.18, 0.88), (0.05, 0.11, 0.06), first))
        for x, z in ((-0.34, -0.02), (-0.08, -0.06), (0.10, 0.04)):
            pairs.append(ellipsoid((x, side * 0.20, z), (0.10, 0.06, 0.10), second))
        pairs.append(ellipsoid((0.30, side * 0.11, 0.38), (0.06, 0.04, 0.08), second))
        pairs.append(ellipsoid((0.36, side * 0.10, 0.62), (0.05, 0.04, 0.07), second))
    return fit(
        [
            ellipsoid((-0.12, 0, -0.06), (0.40, 0.21 * a, 0.22), first),
            rod((0.14, 0, -0.02), (0.42, 0, 0.84), 0.15, first, 0.10),
            ellipsoid((0.48, 0, 0.88), (0.16, 0.13, 0.12), first),
            rod((0.52, 0, 0.86), (0.74, 0, 0.76), 0.10, first, 0.09),
            box((0.18, 0, 0.48), (0.04, 0.035, 0.42), second, (0, 18, 0)),
            rod((-0.50, 0, 0.02), (-0.62, 0, -0.36), 0.04, second),
            *_eyes((0.60, 0.10, 0.92), 0.045, first),
            *_legs((-0.36, 0.12), 0.12, -0.14, -0.96 * b, 0.07, first, second),
            *pairs,
        ]
    )


def bear(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    ears = [ellipsoid((0.42, side * 0.22, 0.52), (0.08, 0.11, 0.11), second) for side in (-1, 1)]
    return fit(
        [
            ellipsoid((-0.16, 0, 0.02), (0.60 * a, 0.42, 0.42), first),
            ellipsoid((0.48, 0, 0.26), (0.31, 0.32 * b, 0.29), first),
            rod((0.62, 0, 0.18), (0.88, 0, 0.14), 0.17, second, 0.14),
            ellipsoid((0.90, 0, 0.20), (0.06, 0.08, 0.06), contrasting(second)),
            ellipsoid((-0.76, 0, 0.10), 0.11, first),
            *_eyes((0.71, 0.15, 0.38), 0.055, first),
            *_legs((-0.46, 0.20), 0.24, -0.16, -0.68, 0.17, first, second),
            *ears,
        ]
    )


def monkey(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(ellipsoid((0.0, side * 0.40, 0.48), (0.08, 0.14, 0.15), second))
        pairs.append(rod((0.0, side * 0.30, 0.06), (0.16, side * 0.62, -0.30), 0.10, first))
        pairs.append(ellipsoid((0.18, side * 0.65, -0.36), 0.13, second))
        pairs.append(rod((0.0, side * 0.20, -0.50), (0.16, side * 0.32, -0.84), 0.12, first))
        pairs.append(ellipsoid((0.24, side * 0.33, -0.88), (0.20, 0.12, 0.08), second))
    return fit(
        [
            ellipsoid((0, 0, -0.22), (0.30, 0.33 * a, 0.42), first),
            ellipsoid((0.15, 0, -0.24), (0.20, 0.23, 0.30), second),
            ellipsoid((0, 0, 0.46), (0.33, 0.35 * b, 0.33), first),
            ellipsoid((0.21, 0, 0.40), (0.17, 0.25, 0.22), second),
            rod((-0.24, 0, -0.48), (-0.62, 0, -0.40), 0.06, first),
            rod((-0.62, 0, -0.42), (-0.68, 0, 0.10), 0.06, first, 0.05),
            ellipsoid((-0.62, 0, 0.14), 0.09, second),
            *_eyes((0.34, 0.11, 0.50), 0.055, second),
            *pairs,
        ]
    )


def owl(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(cone((0.06, side * 0.28, 0.84), (0.11, 0.11, 0.18), first, taper=0.05))
        pairs.append(ellipsoid((0.28, side * 0.19, 0.48), (0.12, 0.19, 0.19), second))
        pairs.append(ellipsoid((0.38, side * 0.19, 0.48), (0.06, 0.09, 0.09), contrasting(second)))
        pairs.append(
            ellipsoid((-0.04, side * 0.44, -0.16), (0.24, 0.10, 0.46), first, (side * 8, 0, 0))
        )
        pairs.append(ellipsoid((0.24, side * 0.17, -0.80), (0.20, 0.13, 0.07), second))
    return fit(
        [
            ellipsoid((0, 0, -0.14), (0.40 * a, 0.44, 0.62), first),
            ellipsoid((0.16, 0, -0.24), (0.28, 0.32, 0.44), second),
            ellipsoid((0, 0, 0.44), (0.36, 0.43 * b, 0.36), first),
            cone((0.40, 0, 0.32), (0.07, 0.07, 0.12), (1.0, 0.62, 0.10), (180, 0, 0), 0.1),
            box((-0.36, 0, -0.66), (0.14, 0.18, 0.16), first, (0, 30, 0)),
            *pairs,
        ]
    )


def frog(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(ellipsoid((0.34, side * 0.26, 0.36), 0.17, first))
        pairs.append(ellipsoid((0.44, side * 0.28, 0.40), 0.10, contrasting(first)))
        pairs.append(
            ellipsoid((-0.28, side * 0.52, -0.22), (0.40, 0.17, 0.22), first, (0, 0, side * -20))
        )
        pairs.append(ellipsoid((0.02, side * 0.70, -0.44), (0.34, 0.15, 0.07), second))
        pairs.append(rod((0.34, side * 0.34, -0.14), (0.46, side * 0.44, -0.44), 0.10, first))
        pairs.append(ellipsoid((0.56, side * 0.48, -0.46), (0.20, 0.15, 0.06), second))
    return fit(
        [
            ellipsoid((0, 0, -0.10), (0.58 * a, 0.46, 0.34), first),
            ellipsoid((0.26, 0, -0.20), (0.38, 0.36, 0.22), second),
            ellipsoid((0.36, 0, 0.10), (0.34, 0.42 * b, 0.22), first),
            box((0.62, 0, 0.04), (0.06, 0.28, 0.03), contrasting(first)),
            *pairs,
        ]
    )


def bird(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(
            ellipsoid((-0.14, side * 0.62, 0.20), (0.24, 0.46, 0.06), second, (side * 22, 0, 0))
        )
        pairs.append(rod((0.0, side * 0.10, -0.28), (0.06, side * 0.10, -0.60), 0.04, second))
    return fit(
        [
            ellipsoid((0, 0, 0), (0.50 * a, 0.27, 0.28), first),
            ellipsoid((0.40, 0, 0.26), (0.23, 0.22 * b, 0.22), first),
            rod((0.56, 0, 0.24), (0.86, 0, 0.20), 0.10, (1.0, 0.62, 0.10), 0.02),
            box((-0.62, 0, 0.06), (0.26, 0.20, 0.05), second, (0, 14, 0), (1.0, 0.5)),
            ellipsoid((0.14, 0, -0.10), (0.30, 0.22, 0.20), second),
            *_eyes((0.54, 0.14, 0.34), 0.055, first),
            *pairs,
        ]
    )


def dinosaur(first: Rgb, second: Rgb, random: Generator) -> Primitives:
    a, b = vary(random, 2)
    pairs: Primitives = []
    for side in (-1, 1):
        pairs.append(ellipsoid((-0.08, side * 0.24, -0.38), (0.22, 0.13, 0.28), first))
        pairs.append(rod((-0.04, side * 0.24, -0.46), (0.0, side * 0.24, -0.80), 0.10, first))
        pairs.append(ellipsoid((0.10, side * 0.24, -0.82), (0.22, 0.13, 0.07), second))
        pairs.append(rod((0.24, side * 0.20, -0.02), (0.44, side * 0.22, -0.16), 0.06, first))
    spikes = [
        cone((x, 0, z), (0.10, 0.05, 0.13), second, (0, tilt, 0), 0.05)
        for x, z, tilt in (
            (0.06, 0.62, -10),
            (-0.14, 0.34, -35),
            (-0.36, 0.08, -40),
            (-0.62, -0.14, -45),
        )
    ]
    return fit(
        [
            ellipsoid((0, 0, -0.10), (0.38 * a, 0.28, 0.36), first, (0, -30, 0)),
            ellipsoid((0.16, 0, -0.10), (0.24, 0.23, 0.30), second, (0, -20, 0)),
            rod((0.10, 0, 0.10), (0.24, 0, 0.50), 0.22, first, 0.16),
            ellipsoid((0.32, 0, 0.60), (0.24, 0.20 * b, 0.19), first),
            box((0.56, 0, 0.54), (0.22, 0.15, 0.12), first, (0, 6, 0), (0.9, 0.9)),
            box((0.56, 0, 0.44), (0.20, 0.13, 0.03), second, (0, 6, 0)),
            rod((-0.20, 0, -0.26), (-0.60, 0, -0.44), 0.22, first, 0.13),
            rod((-0.58, 0, -0.43), (-1.0, 0, -0.50), 0.13, first, 0.03),
            *_eyes((0.44, 0.17, 0.70), 0.055, first),
            *spikes,
            *pairs,
        ]
    )
