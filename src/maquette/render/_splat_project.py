"""Splats to the screen and gradients back, one splat at a time (Numba kernels).

Forward writes one record a splat and view, which holds all that a tile needs to know of it, in one
or two cache lines. Backward adds up the sums that the tiles left in a splat's own slots, in the
order of the slots, and carries them to the parameters: the same bits for any number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from maquette.render._splat_pixels import FAINTEST, FIELDS, TILE, next_item
from maquette.render.splat_torch import FRUSTUM_MARGIN

__all__ = ["BLOCK", "UNSEEN", "project_splats", "unproject_splats"]

BLOCK = 512  # Splats a thread takes at a time.
UNSEEN = np.uint64(0xFFFFFFFFFFFFFFFF)  # The sort key of what is not drawn: behind everything.
SLACK = np.float32(0.02)  # Pixels added to extents, against rounding: pixels decide for themselves.
HALF, ONE, TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)
# Reassociation is left out: sums must not depend on how a compiler likes to add.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


@njit(**OPTIONS)
def rotation(quats, i):
    """The rotation matrix of ``quats[i]``, row by row, then the unit quaternion and 1 / length."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = ONE / np.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    return (
        (ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)),
        (TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)),
        (TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)),
        (w, x, y, z, inverse),
    )


@njit(**OPTIONS)
def held_slope(slope, focal, principal, size):
    """The slope at which the Jacobian is taken: the nearest within the widened picture."""
    margin = np.float32(FRUSTUM_MARGIN * 0.5) * size / focal
    low, high = -principal / focal - margin, (size - principal) / focal + margin
    return min(max(slope, low), high)


@njit(**OPTIONS)
def in_camera(means, i, poses, b):
    """``means[i]`` in the frame of camera ``b``."""
    x, y, z = means[i, 0], means[i, 1], means[i, 2]
    return (
        poses[b, 0, 0] * x + poses[b, 0, 1] * y + poses[b, 0, 2] * z + poses[b, 0, 3],
        poses[b, 1, 0] * x + poses[b, 1, 1] * y + poses[b, 1, 2] * z + poses[b, 1, 3],
        poses[b, 2, 0] * x + poses[b, 2, 1] * y + poses[b, 2, 2] * z + poses[b, 2, 3],
    )


@njit(**OPTIONS)
def jacobian_row(pose, axis, on_axis, on_depth):
    """A row of Jacobian times world-to-camera rotation: a 3-vector in the world frame."""
    return (
        on_axis * pose[axis, 0] + on_depth * pose[2, 0],
        on_axis * pose[axis, 1] + on_depth * pose[2, 1],
        on_axis * pose[axis, 2] + on_depth * pose[2, 2],
    )


@njit(**OPTIONS)
def dot(a, b):
    """Inner product of two 3-tuples."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(**OPTIONS)
def along_axes(u, rows):
    """``u @ R``: a world vector in the splat's own frame."""
    return (
        u[0] * rows[0][0] + u[1] * rows[1][0] + u[2] * rows[2][0],
        u[0] * rows[0][1] + u[1] * rows[1][1] + u[2] * rows[2][1],
        u[0] * rows[0][2] + u[1] * rows[1][2] + u[2] * rows[2][2],
    )


@njit(**OPTIONS)
def conic_of(v0, v1, eps2d):
    """Covariance of the root ``(v0, v1)`` plus ``eps2d``, and its inverse.

    The determinant comes from the cross product, which keeps its digits for needle-like splats
    where ``a * c - b * b`` has lost them all.
    """
    a, b, c = dot(v0, v0), dot(v0, v1), dot(v1, v1)
    cross = (
        v0[1] * v1[2] - v0[2] * v1[1],
        v0[2] * v1[0] - v0[0] * v1[2],
        v0[0] * v1[1] - v0[1] * v1[0],
    )
    inverse = ONE / (dot(cross, cross) + eps2d * (a + c) + eps2d * eps2d)
    a, c = a + eps2d, c + eps2d
    return a, c, c * inverse, -b * inverse, a * inverse


@njit(**OPTIONS)
def project_splats(
    counter, means, quats, scales, opacities, features, offsets, poses, pinholes, size, limits,
    records, rects, keys, radii,
):  # fmt: skip
    """Fill records, tile rectangles, sort keys and radii, a block of splats after the other."""
    count, views = means.shape[0], poses.shape[0]
    width, height = np.float32(size[0]), np.float32(size[1])
    eps2d, near, far = limits
    while True:
        begin = next_item(counter) * BLOCK
        if begin >= count:
            return
        for i in range(begin, min(begin + BLOCK, count)):
            r0, r1, r2, _ = rotation(quats, i)
            faintness = -np.log(opacities[i])
            visible_s = np.float32(FAINTEST) - faintness
            for b in range(views):
                at = b * count + i
                keys[b, i] = UNSEEN
                radii[b, i, 0] = 0
                radii[b, i, 1] = 0
                rects[at, 2] = 0
                x, y, z = in_camera(means, i, poses, b)
                # Written so that a NaN is not drawn.
                if not (z >= near and z <= far and visible_s > 0):
                    continue
                fx, fy, cx, cy = pinholes[b, 0, 0], pinholes[b, 1, 1], pinholes[b, 0, 2], pinholes[b, 1, 2]
                px, py = fx * x / z + cx, fy * y / z + cy
                if offsets.shape[0] > 0:
                    px, py = px + offsets[b, i, 0], py + offsets[b, i, 1]
                hx, hy = held_slope(x / z, fx, cx, width), held_slope(y / z, fy, cy, height)
                u0 = jacobian_row(poses[b], 0, fx / z, -fx * hx / z)
                u1 = jacobian_row(poses[b], 1, fy / z, -fy * hy / z)
                p0, p1 = along_axes(u0, (r0, r1, r2)), along_axes(u1, (r0, r1, r2))
                v0 = (p0[0] * scales[i, 0], p0[1] * scales[i, 1], p0[2] * scales[i, 2])
                v1 = (p1[0] * scales[i, 0], p1[1] * scales[i, 1], p1[2] * scales[i, 2])
                a, c, xx, xy, yy = conic_of(v0, v1, eps2d)
                ex, ey = np.sqrt(TWO * visible_s * a), np.sqrt(TWO * visible_s * c)
                rx, ry = math.ceil(ex), math.ceil(ey)
                if not (px + rx > 0 and px - rx < width and py + ry > 0 and py - ry < height):
                    continue
                radii[b, i, 0] = min(rx, np.float32(1e9))
                radii[b, i, 1] = min(ry, np.float32(1e9))
                keys[b, i] = (np.uint64(np.float32(z).view(np.uint32)) << np.uint64(32)) | np.uint64(i)
                ex, ey = ex + SLACK, ey + SLACK
                record = records[at]
                record[0], record[1], record[2] = px, py, HALF * xx
                record[3], record[4], record[5] = xy, HALF * yy, faintness
                record[6], record[7], record[8] = ex, ey, -xy / xx * ey
                record[9], record[10] = ONE / yy, visible_s + np.float32(1e-3)
                own = features[b if features.shape[0] > 1 else 0, i]
                for k in range(own.shape[0]):
                    record[FIELDS + k] = own[k]
                rect = rects[at]
                left, right = max(px - ex, np.float32(0)), min(px + ex, width - ONE)
                top, bottom = max(py - ey, np.float32(0)), min(py + ey, height - ONE)
                rect[0], rect[1] = int(left) // TILE, int(top) // TILE
                rect[2], rect[3] = int(right) // TILE + 1, int(bottom) // TILE + 1


@njit(**OPTIONS)
def sum_slots(sums, begin, end, totals):
    """Add the rows ``begin .. end`` of the tiles' sums, in their order."""
    totals[:] = 0
    for slot in range(begin, end):
        for k in range(totals.shape[0]):
            totals[k] += sums[slot, k]


@njit(**OPTIONS)
def covariance_gradient(totals, xx, xy, yy):
    """Gradient of the 2D covariance ``(00, 01, 11)``: minus K G K, with K the conic, G its own."""
    ga, gb, gc = -HALF * totals[3], -HALF * totals[4], -HALF * totals[5]
    # K G, then (K G) K; gb already is half of the gradient of the entry that stands twice.
    m00, m01 = xx * ga + xy * gb, xx * gb + xy * gc
    m10, m11 = xy * ga + yy * gb, xy * gb + yy * gc
    return -(m00 * xx + m01 * xy), -(m00 * xy + m01 * yy), -(m10 * xy + m11 * yy)


@njit(**OPTIONS)
def quaternion_gradient(g, unit):
    """Gradient of an unnormalised quaternion from that of its rotation matrix, ``g[3, 3]``."""
    w, x, y, z, inverse = unit
    a, b, c = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
    d, e, f = g[0, 1] + g[1, 0], g[0, 2] + g[2, 0], g[1, 2] + g[2, 1]
    gw = TWO * (x * a + y * b + z * c)
    gx = TWO * (w * a + y * d + z * e - TWO * x * (g[1, 1] + g[2, 2]))
    gy = TWO * (w * b + x * d + z * f - TWO * y * (g[0, 0] + g[2, 2]))
    gz = TWO * (w * c + x * e + y * f - TWO * z * (g[0, 0] + g[1, 1]))
    radial = gw * w + gx * x + gy * y + gz * z
    return (
        (gw - radial * w) * inverse,
        (gx - radial * x) * inverse,
        (gy - radial * y) * inverse,
        (gz - radial * z) * inverse,
    )


@njit(**OPTIONS)
def unproject_view(
    totals, record, local, pose, pinhole, rows, scale, size, g_rotation, g_scale, g_mean
):
    """Carry one view's sums to rotation, scale and mean; return the screen gradient."""
    x, y, z = local
    fx, fy = pinhole[0, 0], pinhole[1, 1]
    xx, xy, yy = TWO * record[2], record[3], TWO * record[4]
    g_px, g_py = xx * totals[1] + xy * totals[2], xy * totals[1] + yy * totals[2]
    g00, g01, g11 = covariance_gradient(totals, xx, xy, yy)
    sx, sy = x / z, y / z
    hx = held_slope(sx, fx, pinhole[0, 2], np.float32(size[0]))
    hy = held_slope(sy, fy, pinhole[1, 2], np.float32(size[1]))
    u0 = jacobian_row(pose, 0, fx / z, -fx * hx / z)
    u1 = jacobian_row(pose, 1, fy / z, -fy * hy / z)
    p0, p1 = along_axes(u0, rows), along_axes(u1, rows)
    g_on_x = g_on_zx = g_on_y = g_on_zy = np.float32(0)
    for j in range(3):
        v0, v1 = p0[j] * scale[j], p1[j] * scale[j]
        g_v0, g_v1 = TWO * (g00 * v0 + g01 * v1), TWO * (g01 * v0 + g11 * v1)
        g_scale[j] += g_v0 * p0[j] + g_v1 * p1[j]
        g_p0, g_p1 = g_v0 * scale[j], g_v1 * scale[j]
        axis = (rows[0][j], rows[1][j], rows[2][j])
        for k in range(3):
            g_rotation[k, j] += g_p0 * u0[k] + g_p1 * u1[k]
            # The gradient of u, along the rows of the pose that the Jacobian mixes.
            g_on_x += g_p0 * axis[k] * pose[0, k]
            g_on_zx += g_p0 * axis[k] * pose[2, k]
            g_on_y += g_p1 * axis[k] * pose[1, k]
            g_on_zy += g_p1 * axis[k] * pose[2, k]
    # The Jacobian is (fx / z, -fx hx / z) and (fy / z, -fy hy / z); the centre is fx x / z + cx.
    inverse = ONE / z
    g_sx = fx * g_px - (fx * inverse * g_on_zx if hx == sx else np.float32(0))
    g_sy = fy * g_py - (fy * inverse * g_on_zy if hy == sy else np.float32(0))
    g_z = inverse * inverse * (
        fx * (hx * g_on_zx - g_on_x) + fy * (hy * g_on_zy - g_on_y)
    ) - inverse * (g_sx * sx + g_sy * sy)
    for k in range(3):
        g_mean[k] += (g_sx * pose[0, k] + g_sy * pose[1, k]) * inverse + g_z * pose[2, k]
    return g_px, g_py


@njit(**OPTIONS)
def unproject_splats(
    counter, means, quats, scales, opacities, poses, pinholes, size, records, sums, slots,
    g_means, g_quats, g_scales, g_opacities, g_features, g_offsets,
):  # fmt: skip
    """Carry the sums of all tiles to the inputs, a block of splats after the other."""
    count, views, channels = means.shape[0], poses.shape[0], g_features.shape[2]
    totals = np.empty(6 + channels, np.float32)
    g_rotation = np.empty((3, 3), np.float32)
    while True:
        begin = next_item(counter) * BLOCK
        if begin >= count:
            return
        for i in range(begin, min(begin + BLOCK, count)):
            r0, r1, r2, unit = rotation(quats, i)
            g_rotation[:] = 0
            for b in range(views):
                at = b * count + i
                if slots[at + 1] == slots[at]:
                    continue
                sum_slots(sums, slots[at], slots[at + 1], totals)
                g_offsets[b, i, 0], g_offsets[b, i, 1] = unproject_view(
                    totals, records[at], in_camera(means, i, poses, b), poses[b], pinholes[b],
                    (r0, r1, r2), scales[i], size, g_rotation, g_scales[i], g_means[i],
                )  # fmt: skip
                g_opacities[i] += totals[0] / opacities[i]
                own = g_features[b if g_features.shape[0] > 1 else 0, i]
                for k in range(channels):
                    own[k] += totals[6 + k]
            q = quaternion_gradient(g_rotation, unit)
            for k in range(4):
                g_quats[i, k] = q[k]
