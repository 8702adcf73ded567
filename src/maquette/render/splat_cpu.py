"""Gaussian splatting on the CPU: Numba kernels under ``torch.autograd``, float32.

The same function as :func:`maquette.render.splat_torch.rasterize`, some hundred times faster.
Splats are projected into records (``_splat_project``), sorted by depth, dropped into the lists of
64 x 64 tiles (``_splat_tiles``), and blended tile by tile in vector registers (``_splat_pixels``).
Backward walks each tile from front to back a second time. Every number is added up in an order that
does not depend on threads, so results are the same bits for any number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from maquette.errors import InputError
from maquette.render._splat_lanes import WIDTH
from maquette.render._splat_pixels import FIELDS, TILE
from maquette.render._splat_project import BLOCK, project_splats, unproject_splats
from maquette.render._splat_tiles import blend_tiles, fill_tiles, order_views, unblend_tiles
from maquette.render.splat_torch import FRUSTUM_MARGIN, Splatted

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
        (features if features.ndim == 3 else features[None]).float(),
        screen_offsets.float(),
        camera_from_world.detach().float().expand(views, 4, 4),
        _lenses(intrinsics.detach().float(), width, height),
        (width, height),
        (eps2d, near, far),
        max_alpha,
    )
    return Splatted(pictures, alpha, radii)


class _Splat(torch.autograd.Function):
    """The forward and backward pass over all views."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, size, limits, max_alpha = inputs
        arrays = _arrays(tensors)
        views, count, channels = len(arrays[6]), len(arrays[0]), arrays[4].shape[2]
        blocks = -(-count // BLOCK)
        stride = -(-(FIELDS + channels) // 16) * 16
        records = _empty(views * count, stride)
        rects = np.empty((views * count, 4), np.int16)
        depths = np.empty(views * count, np.float32)
        radii = torch.empty(views, count, 2, dtype=torch.int32)
        limits = tuple(np.float32(limit) for limit in limits)
        _share(blocks, project_splats, *arrays, size, limits, records, rects, depths, radii.numpy())
        tiles = (-(-size[0] // TILE), -(-size[1] // TILE))
        starts, pairs, slots = _list_tiles(views, tiles, rects, depths)
        pictures = torch.empty(views, size[1], size[0], channels)
        alpha = torch.empty(views, size[1], size[0])
        tail = ((0,) * channels, *tiles, size, starts, pairs, records, np.float32(max_alpha))
        _share(len(starts) - 1, blend_tiles, *tail, pictures.numpy(), alpha.numpy())
        ctx.tail, ctx.slots = tail, slots
        ctx.save_for_backward(*tensors, pictures, alpha)
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)  # Alpha is often unused: its zeros are made below, lazily.
        return pictures, alpha, radii

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        *inputs, pictures, alpha = _arrays(ctx.saved_tensors)
        means, quats, scales, opacities, features, _, poses, lenses = inputs
        starts, pairs, records = ctx.tail[4:7]
        sums = _empty(len(pairs), -(-(6 + features.shape[2]) // WIDTH) * WIDTH)
        # NumPy's zeros cost nothing until they are touched, and wake no threads of torch.
        blended = (pictures, alpha)
        downstream = [
            np.zeros(array.shape, np.float32) if g is None else _arrays([g])[0]
            for g, array in zip(gradients[:2], blended, strict=True)
        ]
        _share(len(starts) - 1, unblend_tiles, *ctx.tail, *blended, *downstream, sums)
        shapes = [array.shape for array in inputs[:5]]
        found = [np.zeros(shape, np.float32) for shape in (*shapes, (len(poses), len(means), 2))]
        _share(
            -(-len(means) // BLOCK), unproject_splats,
            means, quats, scales, opacities, poses, lenses, records, sums, ctx.slots, *found,
        )  # fmt: skip
        wanted = zip(found, ctx.needs_input_grad[:6], strict=True)
        tensors = [torch.from_numpy(array) if wants else None for array, wants in wanted]
        return *tensors, None, None, None, None, None


def _lenses(intrinsics: Tensor, width: int, height: int) -> Tensor:
    """``[B, 8]``: focal lengths, principal point, and the range of slopes along x, then along y."""
    focal = intrinsics.diagonal(dim1=-2, dim2=-1)[:, :2]
    principal, size = intrinsics[:, :2, 2], torch.tensor([width, height])
    margin = FRUSTUM_MARGIN * 0.5 * size / focal
    low, high = -principal / focal - margin, (size - principal) / focal + margin
    return torch.cat([focal, principal, torch.stack([low, high], dim=-1).flatten(1)], dim=-1)


def _list_tiles(
    views: int, tiles: tuple[int, int], rects: np.ndarray, depths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where tiles' lists begin, the lists of ``(splat, slot)``, where splats' slots begin."""
    count = len(rects) // views
    per_tile = np.empty((views, tiles[0] * tiles[1]), np.int64)
    order, seen = np.empty((views, count), np.int32), np.empty(views, np.int64)
    spans = np.empty(views * count, np.int32)
    _share(views, order_views, rects, depths, tiles[0], per_tile, order, seen, spans)
    starts, slots = (
        np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]) for sizes in (per_tile, spans)
    )
    pairs = np.empty((starts[-1], 2), np.int32)
    _share(views, fill_tiles, order, seen, rects, tiles[0], slots, starts, pairs)
    return starts, pairs, slots


def _empty(rows: int, columns: int) -> np.ndarray:
    """An uninitialised float32 array that starts on a cache line, as torch aligns its memory."""
    return torch.empty(rows, columns).numpy()


def _arrays(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Tensors as contiguous arrays, which share their memory where they can."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _share(items: int, kernel: Any, *arguments: Any) -> None:
    """Run a kernel on as many threads as torch uses; a shared counter hands out the work items."""
    counter = np.zeros(1, np.int64)
    helpers = min(torch.get_num_threads(), items) - 1
    if helpers < 1:
        kernel(counter, *arguments)
        return
    shares = [
        _pool(torch.get_num_threads() - 1).submit(kernel, counter, *arguments)
        for _ in range(helpers)
    ]
    kernel(counter, *arguments)
    for share in shares:
        # A helper that has not begun by now would find no work left.
        if not share.cancel():
            share.result()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="splat")


def _drop_outdated_caches() -> None:
    """Forget compiled kernels that are older than any file they are made from.

    Numba looks at a kernel's own file only, and would go on using the inner loops of yesterday.
    """
    newest = max(source.stat().st_mtime for source in Path(__file__).parent.glob("*splat*.py"))
    for kernel in (project_splats, blend_tiles):
        for index in Path(kernel.stats.cache_path or __file__).glob("_splat_*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)


_drop_outdated_caches()
