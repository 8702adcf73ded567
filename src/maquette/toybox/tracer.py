"""A small exact ray tracer for packed primitives, fast enough to draw training pictures on the fly.

Each primitive is traced only inside the rectangle that its bounding box covers in the picture, and
every sub-pixel keeps the nearest hit. Rays are moved into the canonical solid's frame by one 3x3
matrix per primitive and start level with its centre, so float32 loses nothing to cancellation.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from maquette.toybox.shapes import FEATURES

__all__ = ["Traced", "trace"]

# A depth no scene reaches. Fast maths may assume that infinities do not occur.
_FAR = np.float32(1e30)
_TINY = np.float32(1e-12)
_NEAR = np.float32(1e-4)


@dataclass(frozen=True)
class Traced:
    """A traced picture.

    Attributes:
        colour: ``[H, W, 3]`` float32, shaded sRGB premultiplied by alpha.
        alpha: ``[H, W]`` float32, the share of the pixel's rays that hit.
        depth: ``[H, W]`` float32, mean camera z of where its rays hit first; 0 where none did.
        normals: ``[H, W, 3]`` float32, unit outward normals in the world, 0 where no ray hit.
    """

    colour: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    normals: np.ndarray


@njit(cache=True, nogil=True, fastmath=True)
def _hit_ellipsoid(o, d, n):
    """Nearest t of the line o + t d with the unit sphere, or _FAR; writes the normal to n."""
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - np.float32(1)
    root = b * b - a * c
    if root < 0:
        return _FAR
    t = (-b - math.sqrt(root)) / a
    for axis in range(3):
        n[axis] = o[axis] + t * d[axis]
    return np.float32(t)


@njit(cache=True, nogil=True, fastmath=True)
def _hit_box(o, d, taper, n):
    """Nearest t of the line o + t d with the tapered box: six half-spaces clip the line."""
    enter, leave = -_FAR, _FAR
    plane, sign, slope = 0, np.float32(1), np.float32(0)
    for axis in range(3):
        shrink = np.float32(0)
        level = np.float32(1)
        if axis < 2:
            shrink = (taper[axis] - np.float32(1)) * np.float32(0.5)
            level = (taper[axis] + np.float32(1)) * np.float32(0.5)
        for side in (np.float32(-1), np.float32(1)):
            speed = side * d[axis] - shrink * d[2]
            gap = level - (side * o[axis] - shrink * o[2])
            if abs(speed) < _TINY:
                if gap < 0:
                    return _FAR
            elif speed < 0:
                if gap / speed > enter:
                    enter, plane, sign, slope = gap / speed, axis, side, shrink
            elif gap / speed < leave:
                leave = gap / speed
    if enter >= leave:
        return _FAR
    n[0], n[1], n[2] = np.float32(0), np.float32(0), np.float32(0)
    if plane < 2:
        n[2] = -slope
    n[plane] = sign
    return np.float32(enter)


@njit(cache=True, nogil=True, fastmath=True)
def _hit_cone(o, d, taper, n):
    """Nearest t of the line o + t d with the canonical tapered cylinder, mantle and both caps."""
    shrink = (taper - np.float32(1)) * np.float32(0.5)
    level = (taper + np.float32(1)) * np.float32(0.5) + shrink * o[2]
    fall = shrink * d[2]
    a = d[0] * d[0] + d[1] * d[1] - fall * fall
    b = o[0] * d[0] + o[1] * d[1] - fall * level
    c = o[0] * o[0] + o[1] * o[1] - level * level
    best = _FAR
    root = b * b - a * c
    if root >= 0:
        # This form of the quadratic's roots is stable for a near zero, a ray along the mantle.
        q = -(b + math.copysign(math.sqrt(root), b))
        for which in range(2):
            top, bottom = (q, a) if which == 0 else (c, q)
            if abs(bottom) > _TINY:
                t = top / bottom
                if t < best and abs(o[2] + t * d[2]) <= 1:
                    best = t
                    n[0], n[1] = o[0] + t * d[0], o[1] + t * d[1]
                    n[2] = -shrink * (level + t * fall)
    if abs(d[2]) > _TINY:
        # Only the cap that faces the ray can be the nearest hit of a convex solid.
        side = -math.copysign(np.float32(1), d[2])
        t = (side - o[2]) / d[2]
        x, y = o[0] + t * d[0], o[1] + t * d[1]
        radius = np.float32(1) if side < 0 else taper
        if t < best and x * x + y * y <= radius * radius:
            best = t
            n[0], n[1], n[2] = np.float32(0), np.float32(0), side
    return np.float32(best)


@njit(cache=True, nogil=True, fastmath=True)
def _frame(row, pose, grid, origin):
    """Fill the canonical solid's ray matrix and camera position; return the centre's camera z."""
    depth = np.float32(0)
    for i in range(3):
        depth += pose[i, 2] * (row[1 + i] - pose[i, 3])
        scale = np.float32(1) / row[13 + i]
        position = np.float32(0)
        for j in range(3):
            position += row[4 + 3 * j + i] * (pose[j, 3] - row[1 + j])
            total = np.float32(0)
            for k in range(3):
                total += row[4 + 3 * k + i] * pose[k, j]
            grid[i, j] = total * scale
        origin[i] = position * scale
    return depth


@njit(cache=True, nogil=True, fastmath=True)
def _rectangle(row, pose, k, width, height):
    """Pixels (x0, x1, y0, y1) that the bounding box can touch; all if it is too near."""
    x0, x1, y0, y1 = _FAR, -_FAR, _FAR, -_FAR
    camera = np.empty(3, np.float32)
    for corner in range(8):
        for i in range(3):
            camera[i] = np.float32(0)
        for j in range(3):
            world = row[1 + j] - pose[j, 3]
            for axis in range(3):
                side = np.float32(1) if (corner >> axis) & 1 else np.float32(-1)
                world += row[4 + 3 * j + axis] * side * row[13 + axis]
            for i in range(3):
                camera[i] += pose[j, i] * world
        if camera[2] < _NEAR:
            return 0, width, 0, height
        x = k[0, 0] * camera[0] / camera[2] + k[0, 2]
        y = k[1, 1] * camera[1] / camera[2] + k[1, 2]
        x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
    return (
        int(min(max(x0, np.float32(0)), np.float32(width))),
        int(min(max(x1 + 1, np.float32(0)), np.float32(width))),
        int(min(max(y0, np.float32(0)), np.float32(height))),
        int(min(max(y1 + 1, np.float32(0)), np.float32(height))),
    )


@njit(cache=True, nogil=True, fastmath=True)
def _is_marked(row, o, d, t):
    """Whether the pattern of a primitive marks the point o + t d of its canonical solid."""
    pattern = int(row[21])
    if pattern == 0:
        return False
    x = (o[0] + t * d[0]) * row[13] / row[25]
    y = (o[1] + t * d[1]) * row[14] / row[25]
    z = (o[2] + t * d[2]) * row[15] / row[25]
    if pattern == 1:
        return math.floor(2 * z + np.float32(0.5)) % 2 != 0
    if pattern == 3:
        # Off the middle, so that a flat face does not lie on the border of two cells.
        parity = math.floor(2 * x + np.float32(0.37)) + math.floor(2 * y + np.float32(0.37))
        return int(parity + math.floor(2 * z + np.float32(0.37))) % 2 != 0
    # Balls on a body-centred lattice, as whichever of its two cubic halves is nearer has them.
    first = (x - math.floor(x + np.float32(0.5))) ** 2
    first += (y - math.floor(y + np.float32(0.5))) ** 2 + (z - math.floor(z + np.float32(0.5))) ** 2
    second = (x - math.floor(x) - np.float32(0.5)) ** 2
    second += (y - math.floor(y) - np.float32(0.5)) ** 2
    second += (z - math.floor(z) - np.float32(0.5)) ** 2
    return min(first, second) < np.float32(0.36) ** 2


@njit(cache=True, nogil=True, fastmath=True)
def _nearest(primitives, pose, k, width, height, side, depth, owner, normals, marked):
    """Fill each sub-pixel's nearest depth, its primitive, its unit normal, and whether marked."""
    grid, origin = np.empty((3, 3), np.float32), np.empty(3, np.float32)
    o, d, n = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    world = np.empty(3, np.float32)
    for index in range(primitives.shape[0]):
        row = primitives[index]
        centre_depth = _frame(row, pose, grid, origin)
        x0, x1, y0, y1 = _rectangle(row, pose, k, width, height)
        for sub_y in range(y0 * side, y1 * side):
            y = ((sub_y + np.float32(0.5)) / side - k[1, 2]) / k[1, 1]
            for sub_x in range(x0 * side, x1 * side):
                x = ((sub_x + np.float32(0.5)) / side - k[0, 2]) / k[0, 0]
                for i in range(3):
                    d[i] = grid[i, 0] * x + grid[i, 1] * y + grid[i, 2]
                    o[i] = origin[i] + centre_depth * d[i]
                if row[0] == 0:
                    t = _hit_ellipsoid(o, d, n)
                elif row[0] == 1:
                    t = _hit_box(o, d, row[16:18], n)
                else:
                    t = _hit_cone(o, d, row[16], n)
                z = t + centre_depth
                if z < _NEAR or z >= depth[sub_y, sub_x]:
                    continue
                depth[sub_y, sub_x], owner[sub_y, sub_x] = z, index
                marked[sub_y, sub_x] = _is_marked(row, o, d, t)
                # A normal maps with the inverse stretch, then turns with the primitive.
                total = np.float32(0)
                for i in range(3):
                    n[i] /= row[13 + i]
                    total += n[i] * n[i]
                scale = np.float32(1) / math.sqrt(max(total, _TINY))
                for i in range(3):
                    world[i] = row[4 + 3 * i] * n[0] + row[5 + 3 * i] * n[1] + row[6 + 3 * i] * n[2]
                    normals[sub_y, sub_x, i] = world[i] * scale


@njit(cache=True, nogil=True, fastmath=True)
def _highlight(n, light, pose, x, y):
    """Blinn's highlight for a normal seen along the ray (x, y, 1) of the camera."""
    length, total = np.float32(0), np.float32(0)
    for i in range(3):
        ray = pose[i, 0] * x + pose[i, 1] * y + pose[i, 2]
        length += ray * ray
    scale = np.float32(1) / math.sqrt(length)
    cosine = np.float32(0)
    for i in range(3):
        ray = pose[i, 0] * x + pose[i, 1] * y + pose[i, 2]
        half = light[i] - ray * scale
        cosine += n[i] * half
        total += half * half
    cosine = max(cosine / math.sqrt(max(total, _TINY)), np.float32(0))
    return cosine**24


@njit(cache=True, nogil=True, fastmath=True)
def _resolve(
    primitives,
    pose,
    k,
    side,
    light,
    ambient,
    sub_depth,
    owner,
    sub_normals,
    marked,
    colour,
    alpha,
    depth,
    normals,
):
    """Shade the sub-pixels and average them into pixels."""
    share = np.float32(1) / (side * side)
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            hits = 0
            for sub in range(side * side):
                v, u = y * side + sub // side, x * side + sub % side
                if owner[v, u] < 0:
                    continue
                n = sub_normals[v, u]
                lambert = max(n[0] * light[0] + n[1] * light[1] + n[2] * light[2], np.float32(0))
                sky = np.float32(0.5) + np.float32(0.5) * n[2]
                lit = np.float32(0.8) * lambert + np.float32(0.2) * sky
                shade = ambient + (np.float32(1) - ambient) * lit
                hits += 1
                depth[y, x] += sub_depth[v, u]
                row = primitives[owner[v, u]]
                gloss = row[26]
                if gloss > 0:
                    ray_y = ((v + np.float32(0.5)) / side - k[1, 2]) / k[1, 1]
                    ray_x = ((u + np.float32(0.5)) / side - k[0, 2]) / k[0, 0]
                    gloss *= _highlight(n, light, pose, ray_x, ray_y)
                base = 22 if marked[v, u] else 18
                for i in range(3):
                    lit_colour = shade * row[base + i]
                    colour[y, x, i] += (lit_colour + gloss * (np.float32(1) - lit_colour)) * share
                    normals[y, x, i] += n[i]
            if hits > 0:
                alpha[y, x] = hits * share
                depth[y, x] /= hits
                m = normals[y, x]
                length = math.sqrt(max(m[0] * m[0] + m[1] * m[1] + m[2] * m[2], _TINY))
                for i in range(3):
                    normals[y, x, i] /= length


def trace(
    primitives: np.ndarray,
    world_from_camera: np.ndarray,
    intrinsics: np.ndarray,
    width: int,
    height: int,
    *,
    rays_per_pixel: int = 4,
    light_direction_world: tuple[float, float, float] | np.ndarray = (0.5, 0.3, 0.8),
    ambient: float = 0.6,
) -> Traced:
    """Trace packed primitives from one camera.

    The shaded value of a base colour is ``ambient + (1 - ambient) * (0.8 * lambert + 0.2 * sky)``,
    with ``lambert = max(normal . light, 0)`` and ``sky = (1 + normal_z) / 2``. A highlight goes
    ``shine cosine^24`` of the way from there to white, by the normal's cosine to the half vector.

    Args:
        primitives: ``[P, FEATURES]`` float32 from ``shapes.pack``.
        world_from_camera: ``[4, 4]``, a rigid pose in the conventions of ``maquette.camera``.
        intrinsics: ``[3, 3]`` in pixels, without skew.
        rays_per_pixel: a square number; the rays form a fixed regular grid in the pixel.
        light_direction_world: points towards the light; need not have unit length.
        ambient: the shaded value, in [0, 1], where no light arrives.

    Raises:
        ValueError: if an array has the wrong shape or ``rays_per_pixel`` is not a square.
    """
    if primitives.ndim != 2 or primitives.shape[1] != FEATURES:
        raise ValueError(f"trace needs primitives [P, {FEATURES}], got {primitives.shape}.")
    side = math.isqrt(rays_per_pixel)
    if side < 1 or side * side != rays_per_pixel:
        raise ValueError(f"rays_per_pixel must be a square such as 1, 4, 9, got {rays_per_pixel}.")
    rows = np.ascontiguousarray(primitives, np.float32)
    pose = np.ascontiguousarray(world_from_camera, np.float32)
    k = np.ascontiguousarray(intrinsics, np.float32)
    light = np.asarray(light_direction_world, np.float64)
    light = np.ascontiguousarray(light / np.linalg.norm(light), np.float32)
    sub_depth = np.full((height * side, width * side), _FAR, np.float32)
    owner = np.full((height * side, width * side), -1, np.int32)
    sub_normals = np.empty((height * side, width * side, 3), np.float32)
    marked = np.zeros((height * side, width * side), np.bool_)
    _nearest(rows, pose, k, width, height, side, sub_depth, owner, sub_normals, marked)
    colour, normals = (np.zeros((height, width, 3), np.float32) for _ in range(2))
    alpha, depth = (np.zeros((height, width), np.float32) for _ in range(2))
    _resolve(
        *(rows, pose, k, side, light, np.float32(ambient), sub_depth, owner, sub_normals),
        *(marked, colour, alpha, depth, normals),
    )
    return Traced(colour, alpha, depth, normals)
