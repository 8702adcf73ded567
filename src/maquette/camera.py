"""Poses on a sphere, projection and rays: the only place where a frame convention lives.

The world is right-handed with +Z up, and an object's front faces +X. A camera at azimuth 0 looks
at that front; azimuth grows counter-clockwise seen from above, elevation is measured above the
horizon. Camera axes are those of OpenCV (x right, y down, z forward). Pixel centres lie at +0.5.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "FOV_Y_DEG",
    "camera_from_world",
    "intrinsics_from_fov",
    "orbit_pose",
    "pixel_rays",
    "view_word",
]

FOV_Y_DEG = 36.5
"""The usual vertical field of view: from 3.3 units away, an object of radius 1 just fits."""


def orbit_pose(azimuth_deg: Tensor, elevation_deg: Tensor, distance: Tensor) -> Tensor:
    """The pose of a camera on a sphere that looks at the origin.

    Args:
        azimuth_deg: ``[B]``, degrees; 0 looks at the front.
        elevation_deg: ``[B]``, degrees above the horizon, inside (-90, 90).
        distance: ``[B]``, world units from the origin.

    Returns:
        ``world_from_camera`` as ``[B, 4, 4]``, in the dtype of ``azimuth_deg``.
    """
    azimuth, elevation = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
    outward = torch.stack(
        [
            torch.cos(elevation) * torch.cos(azimuth),
            torch.cos(elevation) * torch.sin(azimuth),
            torch.sin(elevation),
        ],
        dim=-1,
    )  # [B, 3]
    # The right axis is horizontal, so that no roll can creep in near the poles.
    zero = torch.zeros_like(azimuth)
    right = torch.stack([-torch.sin(azimuth), torch.cos(azimuth), zero], dim=-1)
    forward = -outward
    down = torch.linalg.cross(forward, right)
    pose = torch.zeros(*azimuth.shape, 4, 4, dtype=azimuth.dtype, device=azimuth.device)
    pose[..., :3, 0], pose[..., :3, 1], pose[..., :3, 2] = right, down, forward
    pose[..., :3, 3] = outward * distance[..., None]
    pose[..., 3, 3] = 1.0
    return pose


def camera_from_world(world_from_camera: Tensor) -> Tensor:
    """Invert rigid poses ``[B, 4, 4]`` exactly, without a general matrix inverse."""
    rotation, centre = world_from_camera[..., :3, :3], world_from_camera[..., :3, 3]
    inverse = torch.zeros_like(world_from_camera)
    inverse[..., :3, :3] = rotation.transpose(-1, -2)
    inverse[..., :3, 3] = -(rotation.transpose(-1, -2) @ centre[..., None])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def intrinsics_from_fov(fov_y_deg: Tensor, width: int, height: int) -> Tensor:
    """Pinhole matrices ``[B, 3, 3]`` in pixels, from vertical fields of view ``[B]`` in degrees."""
    focal = 0.5 * height / torch.tan(torch.deg2rad(fov_y_deg) / 2)
    matrix = torch.zeros(*fov_y_deg.shape, 3, 3, dtype=fov_y_deg.dtype, device=fov_y_deg.device)
    matrix[..., 0, 0], matrix[..., 1, 1] = focal, focal
    matrix[..., 0, 2], matrix[..., 1, 2] = width / 2, height / 2
    matrix[..., 2, 2] = 1.0
    return matrix


def pixel_rays(world_from_camera: Tensor, intrinsics: Tensor, width: int, height: int) -> Tensor:
    """World-space ray directions ``[B, H, W, 3]`` through the pixel centres, with camera depth 1.

    A point at z-depth ``d`` is ``centre + d * direction``; directions are not unit vectors.
    """
    options = {"dtype": intrinsics.dtype, "device": intrinsics.device}
    ys, xs = torch.meshgrid(
        torch.arange(height, **options) + 0.5, torch.arange(width, **options) + 0.5, indexing="ij"
    )
    x = (xs - intrinsics[..., 0, 2, None, None]) / intrinsics[..., 0, 0, None, None]
    y = (ys - intrinsics[..., 1, 2, None, None]) / intrinsics[..., 1, 1, None, None]
    local = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # [B, H, W, 3]
    return torch.einsum("...ij,...hwj->...hwi", world_from_camera[..., :3, :3], local)


def view_word(azimuth_deg: float, elevation_deg: float, *, overhead_above_deg: float = 50.0) -> str:
    """The field's view word for a direction: ``front``, ``side``, ``back`` or ``overhead``.

    Front lies within 45 degrees of azimuth 0 and back beyond 135, as in threestudio.
    """
    if elevation_deg > overhead_above_deg:
        return "overhead"
    off_front = abs(math.remainder(azimuth_deg, 360.0))
    if off_front < 45.0:
        return "front"
    return "back" if off_front > 135.0 else "side"
