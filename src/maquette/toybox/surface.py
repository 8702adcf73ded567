"""Coloured points on the surface of an object, as evenly as its area: what a scan would give.

Cameras all around see the surface; each of their pixels that hits is a point with a colour. Of the
points in one small cell of space one is kept, so that no place counts twice because many cameras
see it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator

from maquette.records import Views
from maquette.toybox.tracer import trace

__all__ = ["cameras", "evenly", "surface_points"]

PIXELS, FOV_Y_DEG, DISTANCE, CELL = 44, 34.0, 3.3, 0.03
_ANGLES = (
    *((azimuth, 0.0) for azimuth in range(0, 360, 60)),
    *((azimuth, 50.0) for azimuth in range(30, 390, 90)),
    *((azimuth, -50.0) for azimuth in range(0, 360, 90)),
    *((0.0, 85.0), (0.0, -85.0)),
)
"""Azimuth and elevation of the cameras, in degrees."""


def cameras() -> Views:
    """Cameras all around, from which nearly all of a surface is seen."""
    azimuth, elevation = torch.tensor(_ANGLES, dtype=torch.float32).T
    ones = torch.ones_like(azimuth)
    return Views(azimuth, elevation, DISTANCE * ones, FOV_Y_DEG * ones, PIXELS, PIXELS)


_POSES = cameras().world_from_camera.double().numpy()
_INTRINSICS = cameras().intrinsics[0].double().numpy()


def evenly(points: np.ndarray, count: int, random: Generator) -> np.ndarray:
    """Which of ``points`` ``[N, 3]`` to take, so that they cover their surface evenly: ``[count]``.

    One in each small cell of space; where there are fewer cells, points are repeated.
    """
    order = random.permutation(len(points))
    cells = np.floor(points[order] / CELL).astype(np.int64)
    _, first = np.unique(cells @ np.array([1 << 42, 1 << 21, 1]), return_index=True)
    return np.resize(order[random.permutation(first)], count)


def surface_points(
    primitives: np.ndarray, count: int, random: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` points that can be seen from somewhere, and their colours without light.

    Args:
        primitives: ``[P, FEATURES]`` from ``shapes.pack``, inside a ball of radius 0.95.
        count: of points; where the surface has fewer cells, points are repeated.
        random: chooses among them.

    Returns:
        Points ``[count, 3]`` in world units and colours ``[count, 3]`` sRGB in [0, 1], float32.
    """
    unlit = primitives.copy()
    unlit[:, -1] = 0.0
    seen = [_seen_from(unlit, pose) for pose in _POSES]
    points, colours = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    chosen = evenly(points, count, random)
    return points[chosen], colours[chosen]


def _seen_from(primitives: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and colours of one camera's pixels that hit something."""
    traced = trace(*(primitives, pose, _INTRINSICS, PIXELS, PIXELS), rays_per_pixel=1, ambient=1.0)
    y, x = np.nonzero(traced.alpha)
    pixels = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], axis=1)
    rays = pixels @ np.linalg.inv(_INTRINSICS).T @ pose[:3, :3].T
    points = pose[:3, 3] + traced.depth[y, x, None] * rays
    return points.astype(np.float32), traced.colour[y, x]
