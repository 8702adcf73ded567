"""Primitives with exact geometry: ellipsoid, tapered box and tapered elliptic cylinder ("cone").

Every primitive is a canonical solid in the cube [-1, 1]^3, stretched by three half sizes, turned
and moved. Box and cone shrink linearly from their lower face (local z = -1) to their upper
face by a taper in [0, 1]: a box with taper (1, 0) is a gable roof, a cone with taper 0 is pointed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from maquette.records import Rgb

__all__ = [
    "BOX",
    "CHECKERED",
    "CONE",
    "ELLIPSOID",
    "FEATURES",
    "PLAIN",
    "SPOTTED",
    "STRIPED",
    "Primitive",
    "Vector",
    "box",
    "cone",
    "ellipsoid",
    "fit",
    "pack",
    "rod",
    "support",
]

Vector = tuple[float, float, float]
ELLIPSOID, BOX, CONE = 0, 1, 2
PLAIN, STRIPED, SPOTTED, CHECKERED = 0, 1, 2, 3
# Columns of a packed row: shape, centre (3), world_from_local rotation (9, row-major), half sizes
# (3), taper (2), colour (3), pattern, its colour (3), its period, shine.
FEATURES = 27
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Primitive:
    """One solid of one colour, with marks of another on it where it has a pattern.

    Attributes:
        shape: ``ELLIPSOID``, ``BOX`` or ``CONE``.
        centre: world units.
        sizes: half sizes along the local axes, world units.
        colour: sRGB in [0, 1].
        rotation: ``world_from_local``, nine numbers, row-major.
        taper: scale of the upper face against the lower one along local x and y, each in [0, 1];
            a cone uses the first for both.
        pattern: ``PLAIN``, ``STRIPED``, ``SPOTTED`` or ``CHECKERED``.
        pattern_colour: sRGB of the pattern's marks.
        period: of the pattern, world units.
        shine: how much of the light a highlight adds, in [0, 1].
    """

    shape: int
    centre: Vector
    sizes: Vector
    colour: Rgb
    rotation: tuple[float, ...] = _IDENTITY
    taper: tuple[float, float] = (1.0, 1.0)
    pattern: int = PLAIN
    pattern_colour: Rgb = (0.0, 0.0, 0.0)
    period: float = 0.34
    shine: float = 0.0

    def __post_init__(self) -> None:
        if min(self.sizes) <= 0:
            raise ValueError(f"Primitive sizes must be positive, got {self.sizes}.")
        if not all(0.0 <= value <= 1.0 for value in self.taper):
            raise ValueError(f"Primitive taper must lie in [0, 1], got {self.taper}.")


def _rotation(turn_deg: Vector) -> tuple[float, ...]:
    """Rz @ Ry @ Rx, row-major, for angles about x, y and z in degrees."""
    if turn_deg == (0.0, 0.0, 0.0):
        return _IDENTITY
    (cx, sx), (cy, sy), (cz, sz) = (
        (math.cos(math.radians(angle)), math.sin(math.radians(angle))) for angle in turn_deg
    )
    return (
        *(cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        *(sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        *(-sy, cy * sx, cy * cx),
    )


def ellipsoid(
    centre: Vector, sizes: Vector | float, colour: Rgb, turn_deg: Vector = (0.0, 0.0, 0.0)
) -> Primitive:
    """An ellipsoid with semi-axes ``sizes`` (or one radius), turned about x, then y, then z."""
    semi_axes = (sizes, sizes, sizes) if isinstance(sizes, int | float) else sizes
    return Primitive(ELLIPSOID, centre, semi_axes, colour, _rotation(turn_deg))


def box(
    centre: Vector,
    sizes: Vector | float,
    colour: Rgb,
    turn_deg: Vector = (0.0, 0.0, 0.0),
    taper: tuple[float, float] = (1.0, 1.0),
) -> Primitive:
    """A box with half sizes ``sizes``; ``taper`` shrinks its upper face along x and y."""
    half_sizes = (sizes, sizes, sizes) if isinstance(sizes, int | float) else sizes
    return Primitive(BOX, centre, half_sizes, colour, _rotation(turn_deg), taper)


def cone(
    centre: Vector,
    sizes: Vector,
    colour: Rgb,
    turn_deg: Vector = (0.0, 0.0, 0.0),
    taper: float = 1.0,
) -> Primitive:
    """An elliptic cylinder about z with lower radii ``sizes[:2]`` and half height ``sizes[2]``."""
    return Primitive(CONE, centre, sizes, colour, _rotation(turn_deg), (taper, taper))


def rod(
    start: Vector, end: Vector, radius: float, colour: Rgb, end_radius: float | None = None
) -> Primitive:
    """A round, possibly tapering rod from ``start`` to ``end`` with flat ends.

    Raises:
        ValueError: if the ends coincide or a radius is negative.
    """
    end_radius = radius if end_radius is None else end_radius
    if end_radius > radius:
        return rod(end, start, end_radius, colour, radius)
    axis = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
    length = math.hypot(*axis)
    if length == 0:
        raise ValueError(f"rod needs two different ends, both are {start}.")
    polar = math.degrees(math.acos(max(-1.0, min(1.0, axis[2] / length))))
    azimuth = math.degrees(math.atan2(axis[1], axis[0]))
    centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, (start[2] + end[2]) / 2)
    sizes = (radius, radius, length / 2)
    return cone(centre, sizes, colour, (0.0, polar, azimuth), end_radius / radius)


def pack(primitives: Sequence[Primitive]) -> np.ndarray:
    """Primitives as one array ``[P, FEATURES]`` float32, the form the tracer reads."""
    rows = [
        (
            *(p.shape, *p.centre, *p.rotation, *p.sizes, *p.taper, *p.colour),
            *(p.pattern, *p.pattern_colour, p.period, p.shine),
        )
        for p in primitives
    ]
    return np.array(rows, np.float32).reshape(len(rows), FEATURES)


def support(primitives: Sequence[Primitive], directions: np.ndarray) -> np.ndarray:
    """How far each primitive reaches along unit ``directions [D, 3]``: ``[P, D]``, world units."""
    rows = np.array([(*p.centre, *p.rotation, *p.sizes, *p.taper) for p in primitives])
    shapes = np.array([p.shape for p in primitives])[:, None]
    local = np.einsum("pij,di->pdj", rows[:, 3:12].reshape(-1, 3, 3), directions)
    reach = local * rows[:, None, 12:15]
    taper = rows[:, None, 15:17]
    x, y, z = np.abs(reach[..., 0]), np.abs(reach[..., 1]), reach[..., 2]
    round_reach = np.hypot(x, y)
    boxes = np.maximum(x + y - z, x * taper[..., 0] + y * taper[..., 1] + z)
    cones = np.maximum(round_reach - z, round_reach * taper[..., 0] + z)
    ellipsoids = np.hypot(round_reach, z)
    own = np.where(shapes == ELLIPSOID, ellipsoids, np.where(shapes == BOX, boxes, cones))
    return rows[:, :3] @ directions.T + own


def _sphere_directions(count: int) -> np.ndarray:
    """The six axis directions, then ``count`` on a Fibonacci spiral: ``[6 + count, 3]``."""
    steps = np.arange(count) + 0.5
    z, angle = 1 - 2 * steps / count, steps * math.pi * (3 - math.sqrt(5))
    spiral = np.stack([np.cos(angle), np.sin(angle), z], axis=1)
    spiral[:, :2] *= np.sqrt(1 - z**2)[:, None]
    return np.concatenate([np.eye(3), -np.eye(3), spiral])


_DIRECTIONS = _sphere_directions(160)


def fit(primitives: Sequence[Primitive], radius: float = 0.89) -> list[Primitive]:
    """Centre an object by its bounding box and scale it to touch a ball about the origin.

    The reach is the largest value of the support function over a fixed set of directions, which is
    at most about one per cent short of the true one.
    """
    reach = support(primitives, _DIRECTIONS).max(axis=0)
    middle = (reach[:3] - reach[3:6]) / 2
    scale = float(radius / (reach - _DIRECTIONS @ middle).max())
    mx, my, mz = (float(value) for value in middle)
    return [
        replace(
            p,
            centre=(
                (p.centre[0] - mx) * scale,
                (p.centre[1] - my) * scale,
                (p.centre[2] - mz) * scale,
            ),
            sizes=(p.sizes[0] * scale, p.sizes[1] * scale, p.sizes[2] * scale),
        )
        for p in primitives
    ]
