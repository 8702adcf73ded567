"""Splats to the screen and gradients back, one splat at a time (Numba kernels).

Forward writes one record a splat and view, which holds all that a tile needs to know of it, in one
or two cache lines. Backward adds up the sums that the tiles left in a splat's own slots, in the
order of the slots, and carries them to the parameters: the same bits for any number of threads.

A lens is a row of eight numbers: fx, fy, cx, cy, and the least and largest slopes along x and along
y at which the Jacobian is taken.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maquette.render._splat_pixels import (
    EXTENT_X,
    EXTENT_Y,
    FAINTEST,
    FAINTNESS,
    FIELDS,
    INVERSE_YY,
    LEAN,
    PIXEL_X,
    PIXEL_Y,
    REACH,
    REST_X,
    REST_Y,
    TILE,
    WHITE_XX,
    WHITE_YX,
    WHITE_YY,
    next_item,
)

__all__ = ["BLOCK", "OPTIONS", "SLACK", "project_splats", "unproject_splats"]

BLOCK = 512  # Splats a thread takes at a time.
SLACK = np.float32(0.02)  # Pixels added to extents, against rounding: pixels decide for themselves.
HALF, ONE, TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)
# Reassociation is left out: sums must not depend on how a compiler likes to add.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


@njit(**OPTIONS)
def rotation(quats, i):
    """The rows of the rotation of ``quats[i]``; the unit quaternion and 1 / length."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = ONE / np.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    rows = (
        (ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)),
        (TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)),
        (TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)),
    )
    return rows, (w, x, y, z, inverse)


@njit(**OPTIONS)
def in_camera(means, i, poses, b):
    """``means[i]`` in the frame of camera ``b``, in float64, since parts of a pixel count."""
    x, y, z = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
    return (
        poses[b, 0, 0] * x + poses[b, 0, 1] * y + poses[b, 0, 2] * z + poses[b, 0, 3],
        poses[b, 1, 0] * x + poses[b, 1, 1] * y + poses[b, 1, 2] * z + poses[b, 1, 3],
        poses[b, 2, 0] * x + poses[b, 2, 1] * y + poses[b, 2, 2] * z + poses[b, 2, 3],
    )


@njit(**OPTIONS)
def jacobian(local, pose, lens):
    """Rows of the projection's Jacobian times camera rotation, and the slopes it is held at."""
    inverse = ONE / np.float32(local[2])
    sx, sy = np.float32(local[0]) * inverse, np.float32(local[1]) * inverse
    hx, hy = min(max(sx, lens[4]), lens[5]), min(max(sy, lens[6]), lens[7])
    u0 = jacobian_row(pose, 0, lens[0] * inverse, hx)
    return u0, jacobian_row(pose, 1, lens[1] * inverse, hy), (inverse, sx, sy, hx, hy)


@njit(**OPTIONS)
def jacobian_row(pose, axis, gain, held):
    """``gain`` times the axis less ``held`` times the depth axis: a 3-vector in the world frame."""
    return (
        gain * (pose[axis, 0] - held * pose[2, 0]),
        gain * (pose[axis, 1] - held * pose[2, 1]),
        gain * (pose[axis, 2] - held * pose[2, 2]),
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
def whitening(v0, v1, eps2d):
    """Covariance ``(a, b, c)`` of the root ``(v0, v1)`` plus ``eps2d``, and L as ``(xx, yx, yy)``.

    The inverse covariance is 2 L^T L. The determinant comes from the cross product, which keeps its
    digits for needle-like splats where ``a c - b b`` has lost them all.
    """
    a, b, c = dot(v0, v0), dot(v0, v1), dot(v1, v1)
    cross = (
        v0[1] * v1[2] - v0[2] * v1[1],
        v0[2] * v1[0] - v0[0] * v1[2],
        v0[0] * v1[1] - v0[1] * v1[0],
    )
    determinant = dot(cross, cross) + eps2d * (a + c) + eps2d * eps2d
    a, c = a + eps2d, c + eps2d
    xx, yy = np.sqrt(HALF / a), np.sqrt(HALF * a / determinant)
    return (a, b, c), (xx, -b / a * yy, yy)


@njit(**OPTIONS)
def project_splats(
    counter, means, quats, scales, opacities, features, offsets, poses, lenses, size, limits,
    records, rects, depths, radii,
):  # fmt: skip
    """Fill records, tile rectangles, depths and radii, a block of splats after the other."""
    count, views = means.shape[0], poses.shape[0]
    width, height = np.float32(size[0]), np.float32(size[1])
    eps2d, near, far = limits
    while True:
        begin = next_item(counter) * BLOCK
        if begin >= count:
            return
        for i in range(begin, min(begin + BLOCK, count)):
            rows, _ = rotation(quats, i)
            scale = (scales[i, 0], scales[i, 1], scales[i, 2])
            faintness = -np.log(opacities[i])
            visible_s = np.float32(FAINTEST) - faintness
            for b in range(views):
                at = b * count + i
                radii[b, i, 0] = 0
                radii[b, i, 1] = 0
                rects[at, 2] = 0
                x, y, z = in_camera(means, i, poses, b)
                # Written so that a NaN is not drawn.
                if not (z >= near and z <= far and visible_s > 0):
                    continue
                px = lenses[b, 0] * (x / z) + lenses[b, 2]
                py = lenses[b, 1] * (y / z) + lenses[b, 3]
                if offsets.shape[0] > 0:
                    px, py = px + offsets[b, i, 0], py + offsets[b, i, 1]
                u0, u1, _ = jacobian((x, y, z), poses[b], lenses[b])
                v0 = times(along_axes(u0, rows), scale)
                v1 = times(along_axes(u1, rows), scale)
                covariance, white = whitening(v0, v1, eps2d)
                ex = np.sqrt(TWO * visible_s * covariance[0])
                ey = np.sqrt(TWO * visible_s * covariance[2])
                rx, ry = np.ceil(ex), np.ceil(ey)
                if not (px + rx > 0 and px - rx < width and py + ry > 0 and py - ry < height):
                    continue
                radii[b, i, 0] = min(rx, np.float32(1e9))
                radii[b, i, 1] = min(ry, np.float32(1e9))
                depths[at] = z
                fill_rect(rects[at], px, py, ex + SLACK, ey + SLACK, width, height)
                fill_record(records[at], px, py, ex, ey, covariance, white, faintness)
                view = b if features.shape[0] > 1 else 0
                for k in range(features.shape[2]):
                    records[at, FIELDS + k] = features[view, i, k]


@njit(**OPTIONS)
def fill_record(record, px, py, ex, ey, covariance, white, faintness):
    """What the tiles read of a splat; its channels excepted."""
    record[PIXEL_X], record[PIXEL_Y] = np.floor(px), np.floor(py)
    record[REST_X], record[REST_Y] = px - np.floor(px), py - np.floor(py)
    record[WHITE_XX], record[WHITE_YX], record[WHITE_YY] = white
    record[FAINTNESS], record[INVERSE_YY] = faintness, ONE / white[2]
    record[REACH] = np.float32(FAINTEST) - faintness + np.float32(1e-3)
    record[EXTENT_X], record[EXTENT_Y] = ex + SLACK, ey + SLACK
    record[LEAN] = covariance[1] / covariance[2] * ey


@njit(**OPTIONS)
def fill_rect(rect, px, py, ex, ey, width, height):
    """The tiles ``left, top, right, bottom`` (ends excluded) that a splat's extents touch."""
    left, right = max(px - ex, np.float32(0)), min(px + ex, width - ONE)
    top, bottom = max(py - ey, np.float32(0)), min(py + ey, height - ONE)
    rect[0], rect[1] = int(left) // TILE, int(top) // TILE
    rect[2], rect[3] = int(right) // TILE + 1, int(bottom) // TILE + 1


@njit(**OPTIONS)
def times(a, b):
    """Product of two 3-tuples, entry by entry."""
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@njit(**OPTIONS)
def mixed(s, a, t, b):
    """``s a + t b`` of 3-tuples."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@njit(**OPTIONS)
def plus(a, b):
    """Sum of two 3-tuples."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@njit(**OPTIONS)
def quaternion_gradient(g0, g1, g2, unit):
    """Gradient of an unnormalised quaternion from the rows of that of its rotation matrix."""
    w, x, y, z, inverse = unit
    a, b, c = g2[1] - g1[2], g0[2] - g2[0], g1[0] - g0[1]
    d, e, f = g0[1] + g1[0], g0[2] + g2[0], g1[2] + g2[1]
    gw = TWO * (x * a + y * b + z * c)
    gx = TWO * (w * a + y * d + z * e - TWO * x * (g1[1] + g2[2]))
    gy = TWO * (w * b + x * d + z * f - TWO * y * (g0[0] + g2[2]))
    gz = TWO * (w * c + x * e + y * f - TWO * z * (g0[0] + g1[1]))
    radial = gw * w + gx * x + gy * y + gz * z
    return (
        (gw - radial * w) * inverse,
        (gx - radial * x) * inverse,
        (gy - radial * y) * inverse,
        (gz - radial * z) * inverse,
    )


@njit(**OPTIONS)
def whitened_sums(sums, begin, end):
    """Sums over a splat's slots of v; of v (e, u); and of 4 v (ee, eu, uu)."""
    v = e = u = ee = eu = uu = np.float32(0)
    for slot in range(begin, end):
        row = sums[slot]
        v, e, u = v + row[0], e + row[1], u + row[2]
        ee, eu, uu = ee + row[3], eu + row[4], uu + row[5]
    four = TWO + TWO
    return v, e, u, four * ee, four * eu, four * uu


@njit(**OPTIONS)
def unproject_view(moments, white, local, pose, lens, rows, scale):
    """One view's gradients: on the screen, of rows of the rotation, of scale and of mean.

    Half the inverse covariance is L^T L, so d sigma / d centre = -2 L^T (e, u), and the gradient of
    the root is 4 L^T <v (e, u) (e, u)^T> L root: taken in this order, nothing cancels.
    """
    _, e, u, ee, eu, uu = moments
    xx, yx, yy = white
    g_px, g_py = TWO * (xx * e + yx * u), TWO * yy * u
    u0, u1, (inverse, sx, sy, hx, hy) = jacobian(local, pose, lens)
    p0, p1 = along_axes(u0, rows), along_axes(u1, rows)
    v0, v1 = times(p0, scale), times(p1, scale)
    white_u = mixed(yx, v0, yy, v1)
    along_e, along_u = mixed(ee * xx, v0, eu, white_u), mixed(eu * xx, v0, uu, white_u)
    g_v0 = mixed(xx, along_e, yx, along_u)
    g_v1 = (yy * along_u[0], yy * along_u[1], yy * along_u[2])
    g_scale = plus(times(g_v0, p0), times(g_v1, p1))
    g_p0, g_p1 = times(g_v0, scale), times(g_v1, scale)
    g_rows = (
        mixed(u0[0], g_p0, u1[0], g_p1),
        mixed(u0[1], g_p0, u1[1], g_p1),
        mixed(u0[2], g_p0, u1[2], g_p1),
    )
    g_u0 = (dot(rows[0], g_p0), dot(rows[1], g_p0), dot(rows[2], g_p0))
    g_u1 = (dot(rows[0], g_p1), dot(rows[1], g_p1), dot(rows[2], g_p1))
    # u0 = fx / z (right - hx forward) and the centre is fx x / z + cx; likewise along y.
    right, down, forward = axes_of(pose)
    fx, fy = lens[0], lens[1]
    forward_0, forward_1 = dot(g_u0, forward), dot(g_u1, forward)
    g_sx = fx * (g_px - (inverse * forward_0 if hx == sx else np.float32(0)))
    g_sy = fy * (g_py - (inverse * forward_1 if hy == sy else np.float32(0)))
    shrink = fx * (hx * forward_0 - dot(g_u0, right)) + fy * (hy * forward_1 - dot(g_u1, down))
    g_z = inverse * (inverse * shrink - (g_sx * sx + g_sy * sy))
    across = mixed(g_sx * inverse, right, g_sy * inverse, down)
    return (g_px, g_py), g_rows, g_scale, mixed(ONE, across, g_z, forward)


@njit(**OPTIONS)
def axes_of(pose):
    """The camera's right, down and forward axes in the world frame."""
    return (
        (pose[0, 0], pose[0, 1], pose[0, 2]),
        (pose[1, 0], pose[1, 1], pose[1, 2]),
        (pose[2, 0], pose[2, 1], pose[2, 2]),
    )


@njit(**OPTIONS)
def unproject_splats(
    counter, means, quats, scales, opacities, poses, lenses, records, sums, slots,
    g_means, g_quats, g_scales, g_opacities, g_features, g_offsets,
):  # fmt: skip
    """Carry the sums of all tiles to the inputs, a block of splats after the other."""
    count, views = means.shape[0], poses.shape[0]
    zero = (np.float32(0), np.float32(0), np.float32(0))
    while True:
        begin = next_item(counter) * BLOCK
        if begin >= count:
            return
        for i in range(begin, min(begin + BLOCK, count)):
            rows, unit = rotation(quats, i)
            scale = (scales[i, 0], scales[i, 1], scales[i, 2])
            g0 = g1 = g2 = g_scale = g_mean = zero
            g_opacity = np.float32(0)
            for b in range(views):
                at = b * count + i
                if slots[at + 1] == slots[at]:
                    continue
                moments = whitened_sums(sums, slots[at], slots[at + 1])
                record = records[at]
                white = (record[WHITE_XX], record[WHITE_YX], record[WHITE_YY])
                on_screen, g_rows, of_scale, of_mean = unproject_view(
                    moments, white, in_camera(means, i, poses, b), poses[b], lenses[b],
                    rows, scale,
                )  # fmt: skip
                g_offsets[b, i, 0], g_offsets[b, i, 1] = on_screen
                g0, g1, g2 = plus(g0, g_rows[0]), plus(g1, g_rows[1]), plus(g2, g_rows[2])
                g_scale, g_mean = plus(g_scale, of_scale), plus(g_mean, of_mean)
                g_opacity += moments[0]
                own = g_features[b if g_features.shape[0] > 1 else 0, i]
                for slot in range(slots[at], slots[at + 1]):
                    for k in range(own.shape[0]):
                        own[k] += sums[slot, 6 + k]
            g_means[i, 0], g_means[i, 1], g_means[i, 2] = g_mean
            g_scales[i, 0], g_scales[i, 1], g_scales[i, 2] = g_scale
            g_opacities[i] = g_opacity / opacities[i] if g_opacity != 0 else np.float32(0)
            q = quaternion_gradient(g0, g1, g2, unit)
            g_quats[i, 0], g_quats[i, 1], g_quats[i, 2], g_quats[i, 3] = q
