"""Gaussian splatting on the CPU: Numba kernels under ``torch.autograd``, float32.

The same function as :func:`maquette.render.splat_torch.rasterize`, about a thousand times faster.
Splats are projected into records (``_splat_project``), sorted by depth, dropped into the lists of
32 x 32 tiles (``_splat_tiles``), and blended tile by tile in vector registers (``_splat_pixels``).
Backward walks each tile from front to back a second time. Every number is added up in an order that
does not depend on threads, so results are the same bits for any number of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.render._splat_lanes import WIDTH
from maquette.render._splat_pixels import FIELDS, TILE
from maquette.render._splat_project import project_splats, unproject_splats
from maquette.render._splat_tiles import blend_tiles, count_tiles, fill_tiles, unblend_tiles
from maquette.render.splat_torch import Splatted

__all__ = ["MAX_CHANNELS", "rasterize"]

MAX_CHANNELS = 32


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    camera_from_world: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    *,
    screen_offsets: Tensor | None = None,
    max_alpha: float = 0.99,
    eps2d: float = 0.3,
    near: float = 0.01,
    far: float = 1e10,
) -> Splatted:
    """Blend the features of Gaussians into pictures: see the twin for arguments and formulas.

    Everything is computed in float32, whatever comes in. Cameras get no gradients.

    Raises:
        InputError: if the tensors are not on the CPU, or there are more than 32 channels.
    """
    if means.device.type != "cpu":
        raise InputError(
            f"the CPU renderer was given tensors on {means.device}",
            "move the scene to the CPU, or let render_gaussians choose the renderer",
        )
    if not 1 <= features.shape[-1] <= MAX_CHANNELS:
        raise InputError(
            f"{features.shape[-1]} channels cannot be blended at once",
            f"give 1 to {MAX_CHANNELS} of them",
        )
    views = len(camera_from_world)
    if screen_offsets is None:
        screen_offsets = means.new_zeros(0, 0, 2)
    pictures, alpha, radii = _Splat.apply(
        means.float(),
        quats.float(),
        scales.float(),
        opacities.float(),
        features.float().reshape(-1, *features.shape[-2:]),
        screen_offsets.float(),
        camera_from_world.detach().float().expand(views, 4, 4),
        intrinsics.detach().float(),
        (width, height),
        (eps2d, near, far),
        max_alpha,
    )
    return Splatted(pictures, alpha, radii)


class _Splat(torch.autograd.Function):
    """The forward and backward pass over all views."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        *inputs: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, size, limits, max_alpha = inputs
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        means, quats, scales, opacities, features, _, poses, pinholes = arrays
        views, count, channels = len(poses), len(means), features.shape[2]
        stride = -(-(FIELDS + channels) // 16) * 16
        records = _empty(views * count, stride)
        rects = np.empty((views * count, 4), np.int16)
        keys = np.empty((views, count), np.uint64)
        radii = torch.empty(views, count, 2, dtype=torch.int32)
        limits = tuple(np.float32(limit) for limit in limits)
        _share(project_splats, *arrays, size, limits, records, rects, keys, radii.numpy())
        tiles = (-(-size[0] // TILE), -(-size[1] // TILE))
        slots = np.empty(views * count + 1, np.int64)
        starts = np.empty(views * tiles[0] * tiles[1] + 1, np.int64)
        pairs = np.empty((count_tiles(rects, views, *tiles, slots, starts), 2), np.int32)
        keys.sort(axis=1)
        fill_tiles(keys, rects, *tiles, slots, starts, pairs)
        pictures = torch.empty(views, size[1], size[0], channels)
        alpha = torch.empty(views, size[1], size[0])
        tail = ((0,) * channels, *tiles, size, starts, pairs, records, np.float32(max_alpha))
        _share(blend_tiles, *tail, pictures.numpy(), alpha.numpy())
        ctx.tail, ctx.slots, ctx.arrays = tail, slots, arrays
        ctx.save_for_backward(pictures, alpha)
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(True)
        return pictures, alpha, radii

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:  # noqa: D102
        g_pictures, g_alpha = (g.float().contiguous().numpy() for g in gradients[:2])
        means, quats, scales, opacities, features, _, poses, pinholes = ctx.arrays
        size, pairs, records = ctx.tail[3], ctx.tail[5], ctx.tail[6]
        forward = [tensor.numpy() for tensor in ctx.saved_tensors]
        sums = _empty(len(pairs), -(-(6 + features.shape[2]) // WIDTH) * WIDTH)
        _share(unblend_tiles, *ctx.tail, *forward, g_pictures, g_alpha, sums)
        shapes = [array.shape for array in ctx.arrays[:5]]
        found = [torch.zeros(shape) for shape in shapes]
        offsets = torch.zeros(len(poses), len(means), 2)
        _share(
            unproject_splats, means, quats, scales, opacities, poses, pinholes, size, records,
            sums, ctx.slots, *(tensor.numpy() for tensor in found), offsets.numpy(),
        )  # fmt: skip
        return *found, offsets if ctx.needs_input_grad[5] else None, None, None, None, None, None


def _empty(rows: int, columns: int) -> np.ndarray:
    """An uninitialised float32 array that starts on a cache line, as torch aligns its memory."""
    return torch.empty(rows, columns).numpy()


def _share(kernel: Any, *arguments: Any) -> None:
    """Run a kernel on as many threads as torch uses; a shared counter hands out the work items."""
    counter = np.zeros(1, np.int64)
    helpers = torch.get_num_threads() - 1
    if helpers == 0:
        kernel(counter, *arguments)
        return
    shares = [_pool(helpers).submit(kernel, counter, *arguments) for _ in range(helpers)]
    kernel(counter, *arguments)
    for share in shares:
        share.result()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="splat")
