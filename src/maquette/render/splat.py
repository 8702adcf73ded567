"""Pictures of Gaussians: colour, alpha, depth and normals, by whichever rasteriser fits.

A rasteriser is a module with the function ``rasterize`` of the readable twin, ``splat_torch``; it
blends any channels that it is given. Everything that is not blending happens here, once, in
PyTorch: colours from spherical harmonics, depths and normals as channels, the background.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from maquette.camera import camera_from_world as invert_pose
from maquette.errors import InputError
from maquette.records import Render
from maquette.render.spherical_harmonics import sh_colour
from maquette.render.splat_torch import rotation_from_quaternion

__all__ = ["Backend", "facing_normals", "render_gaussians"]

Backend = Literal["cpu", "torch"]
LEAST_ALPHA = 1e-10  # Keeps the depth of an empty pixel at 0 instead of 0 / 0.


def render_gaussians(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    sh: Tensor,
    world_from_camera: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    *,
    background: Tensor | None = None,
    depth: bool = False,
    normals: bool = False,
    screen_offsets: Tensor | None = None,
    max_alpha: float = 0.99,
    backend: Backend | None = None,
) -> Render:
    """Render Gaussians from several cameras.

    Args:
        means: ``[N, 3]`` centres in world units.
        quats: ``[N, 4]`` orientations, w x y z, of any length.
        scales: ``[N, 3]`` standard deviations along the axes, world units, above 0.
        opacities: ``[N]`` in (0, 1).
        sh: ``[N, K, 3]`` spherical harmonics, K = 1, 4, 9 or 16; colour is max(SH + 0.5, 0).
        world_from_camera: ``[B, 4, 4]`` poses, OpenCV camera axes.
        intrinsics: ``[B, 3, 3]`` in pixels.
        width: picture width in pixels.
        height: picture height in pixels.
        background: ``[3]``, ``[B, 3]`` or ``[B, H, W, 3]``; black where not given.
        depth: whether to blend z-depths too: mean and variance over what a pixel sees, 0 where
            nothing is.
        normals: whether to blend normals too; they are not made unit vectors again afterwards.
        screen_offsets: ``[B, N, 2]`` zeros whose gradient growth reads; returned as given.
        max_alpha: the most that one splat may cover.
        backend: ``cpu`` (fast, float32) or ``torch`` (readable, any type and device); by default
            the fastest that keeps the type of ``means``.

    Raises:
        InputError: if K is no whole degree, or the backend cannot take these tensors.
    """
    camera_from_world = invert_pose(world_from_camera)
    views = len(world_from_camera)
    directions = means - world_from_camera[:, None, :3, 3]  # [B, N, 3]
    # Without view dependence the views share one copy of the colours.
    colours = sh_colour(sh, directions[:1] if sh.shape[1] == 1 else directions)
    channels = [torch.relu(colours + 0.5)]
    if depth:
        # Measured from the plane through the origin, where squares of depths cost no digits.
        beyond = camera_from_world[:, 2, :3] @ means.T
        channels.append(torch.stack([beyond, beyond.square()], dim=-1))
    if normals:
        channels.append(facing_normals(quats, scales, directions))
    features = channels[0]
    if len(channels) > 1:
        features = torch.cat([c.expand(views, *c.shape[1:]) for c in channels], dim=-1)
    splatted = _module(backend, means).rasterize(
        means, quats, scales, opacities, features, camera_from_world, intrinsics, width, height,
        screen_offsets=screen_offsets, max_alpha=max_alpha,
    )  # fmt: skip
    colour, alpha = splatted.features[..., :3], splatted.alpha[..., None]
    if background is not None:
        if background.ndim < 4:
            background = background.reshape(-1, 1, 1, 3)
        colour = colour + (1 - alpha) * background
    mean_depth, variance = None, None
    if depth:
        origin = camera_from_world[:, 2, 3].reshape(-1, 1, 1, 1)
        mean_depth, variance = _moments(splatted.features[..., 3:5], alpha, origin)
    return Render(
        colour=colour,
        alpha=alpha,
        depth=mean_depth,
        depth_variance=variance,
        normals=splatted.features[..., -3:] if normals else None,
        screen_offsets=screen_offsets,
        radii=splatted.radii,
        scales=scales.detach(),
    )


def facing_normals(quats: Tensor, scales: Tensor, directions: Tensor) -> Tensor:
    """World normals ``[B, N, 3]``: each splat's shortest axis, turned against the view directions.

    Args:
        quats: ``[N, 4]`` orientations, w x y z.
        scales: ``[N, 3]`` standard deviations along the axes.
        directions: ``[B, N, 3]`` from the camera towards each splat, of any length.
    """
    shortest = scales.argmin(dim=-1)[:, None, None].expand(-1, 3, 1)
    axes = torch.gather(rotation_from_quaternion(quats), -1, shortest)[..., 0]  # [N, 3]
    away = (axes * directions).sum(-1, keepdim=True) > 0
    return torch.where(away, -axes, axes)


def _moments(blended: Tensor, alpha: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of depth ``[B, H, W, 1]`` from what was blended of it and of its square."""
    first, second = (blended / alpha.clamp(min=LEAST_ALPHA)).split(1, dim=-1)
    seen = alpha > LEAST_ALPHA
    # Rounding may leave a variance of zero a little below it.
    return (first + origin) * seen, (second - first.square()).clamp(min=0.0)


def _module(backend: Backend | None, means: Tensor) -> ModuleType:
    """The rasteriser for these tensors; imported on demand, since Numba takes a second to load."""
    if backend is None:
        backend = "cpu" if means.device.type == "cpu" and means.dtype == torch.float32 else "torch"
    if backend == "cpu":
        from maquette.render import splat_cpu

        return splat_cpu
    if backend == "torch":
        from maquette.render import splat_torch

        return splat_torch
    raise InputError(f"there is no splat renderer called {backend!r}", "choose 'cpu' or 'torch'")
