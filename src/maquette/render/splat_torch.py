"""Gaussian splatting in plain PyTorch: every splat against every pixel, gradients by autograd.

This is the readable twin of the fast renderers and the oracle of their tests. A 3D Gaussian becomes
a 2D Gaussian on the screen (EWA splatting, Zwicker et al. 2001), splats are sorted by camera depth
and blended from front to back (3D Gaussian Splatting, Kerbl et al. 2023, equations 2 to 6). Where
those papers leave a choice, the main branch of gsplat is followed: see ``rasterize``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "FRUSTUM_MARGIN",
    "MIN_ALPHA",
    "MIN_TRANSMITTANCE",
    "Splatted",
    "rasterize",
    "rotation_from_quaternion",
]

MIN_ALPHA = 1.0 / 255.0  # Fainter contributions are skipped: they would not move an 8-bit picture.
MIN_TRANSMITTANCE = 1e-4  # A pixel is finished before the splat that would bring it down to this.
FRUSTUM_MARGIN = 0.3  # The Jacobian is taken at most this share of the half picture outside it.
PAIRS_AT_ONCE = 4_000_000  # Splat-pixel pairs held in memory at a time.


class Splatted(NamedTuple):
    """What a rasteriser returns.

    Attributes:
        features: ``[B, H, W, D]`` blended features, without any background.
        alpha: ``[B, H, W]`` coverage, one minus the transmittance that is left.
        radii: int32 ``[B, N, 2]`` half extents in pixels along x and y, 0 where not seen.
    """

    features: Tensor
    alpha: Tensor
    radii: Tensor


def rotation_from_quaternion(quats: Tensor) -> Tensor:
    """Rotation matrices ``[..., 3, 3]`` of quaternions ``[..., 4]`` (w x y z, not 0)."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


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
    """Blend the features of Gaussians into pictures.

    A splat contributes ``alpha = min(max_alpha, opacity * exp(-sigma))`` to a pixel, where sigma is
    half the squared Mahalanobis distance of the pixel's centre. Alphas under 1/255 are skipped, and
    a pixel ends before the splat that would take its transmittance to 1e-4 or below. A clamped
    alpha passes gradients to the features only.

    Args:
        means: ``[N, 3]`` centres in world units.
        quats: ``[N, 4]`` orientations, w x y z, of any length.
        scales: ``[N, 3]`` standard deviations along the three axes, world units, above 0.
        opacities: ``[N]`` in (0, 1).
        features: ``[N, D]``, or ``[B, N, D]`` where they differ between views.
        camera_from_world: ``[B, 4, 4]`` rigid, OpenCV camera axes.
        intrinsics: ``[B, 3, 3]`` pinhole matrices in pixels.
        width: picture width in pixels.
        height: picture height in pixels.
        screen_offsets: ``[B, N, 2]`` pixels, added to the projected centres. Zeros that require a
            gradient read the one on the screen, which density control needs.
        max_alpha: the clamp above; gsplat 1.5.3 has 0.999, its main branch 0.99.
        eps2d: variance in square pixels added to every splat, so that none falls between pixels.
        near: splats with a camera depth below this are not drawn.
        far: likewise above this.
    """
    features = features.expand(len(camera_from_world), *features.shape[-2:])
    views = []
    for view, (pose, pinhole) in enumerate(zip(camera_from_world, intrinsics, strict=True)):
        centres, covariances, depths = _project(
            means, quats, scales, pose, pinhole, (width, height), near
        )
        if screen_offsets is not None:
            centres = centres + screen_offsets[view]
        covariances = covariances + eps2d * torch.eye(2).to(covariances)
        radii = _extents(centres, covariances, opacities, (width, height))
        radii = radii * ((depths >= near) & (depths <= far))[:, None]
        order = torch.argsort(depths, stable=True)
        order = order[(radii[order] > 0).all(-1)]
        picture = _blend(
            centres[order],
            torch.linalg.inv(covariances[order]),
            opacities[order],
            features[view][order],
            (width, height),
            max_alpha,
        )
        views.append((picture[..., :-1], picture[..., -1], radii))
    return Splatted(*(torch.stack(parts) for parts in zip(*views, strict=True)))


def _project(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    pose: Tensor,
    pinhole: Tensor,
    size: tuple[int, int],
    near: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres ``[N, 2]`` and covariances ``[N, 2, 2]`` in pixels, and camera depths ``[N]``."""
    focal, principal = pinhole.diagonal()[:2], pinhole[:2, 2]
    local = means @ pose[:3, :3].T + pose[:3, 3]
    depths = local[:, 2]
    # What lies behind the camera is not drawn; a harmless depth keeps its dead gradient finite.
    z = torch.where(depths >= near, depths, torch.ones_like(depths))[:, None]
    slopes = local[:, :2] / z
    centres = focal * slopes + principal
    # Far outside the picture the linearisation of the projection is worthless: it is held there.
    extent = torch.tensor(size).to(focal)
    margin = FRUSTUM_MARGIN * 0.5 * extent / focal
    held = torch.clamp(slopes, -principal / focal - margin, (extent - principal) / focal + margin)
    jacobian = torch.cat([torch.diag_embed(focal / z), (-focal * held / z)[:, :, None]], dim=-1)
    root = jacobian @ pose[:3, :3] @ (rotation_from_quaternion(quats) * scales[:, None, :])
    return centres, root @ root.transpose(-1, -2), depths


def _extents(
    centres: Tensor, covariances: Tensor, opacities: Tensor, size: tuple[int, int]
) -> Tensor:
    """Half extents int32 ``[N, 2]`` of where alpha reaches 1/255; 0 off the picture."""
    sigmas = torch.sqrt(2 * torch.log((opacities / MIN_ALPHA).clamp(min=1.0)))
    radii = torch.ceil(sigmas[:, None] * covariances.diagonal(dim1=-2, dim2=-1).sqrt())
    on_screen = (centres + radii > 0) & (centres - radii < torch.tensor(size).to(centres))
    seen = (on_screen & (radii > 0)).all(-1, keepdim=True)
    return torch.where(seen, radii, torch.zeros_like(radii)).to(torch.int32)


def _blend(
    centres: Tensor,
    conics: Tensor,
    opacities: Tensor,
    features: Tensor,
    size: tuple[int, int],
    max_alpha: float,
) -> Tensor:
    """Blend splats, sorted from near to far: ``[H, W, D + 1]``, alpha last."""
    width, height = size
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([xs, ys], dim=-1).reshape(-1, 2).to(centres) + 0.5
    features = torch.cat([features, torch.ones_like(features[:, :1])], dim=-1)
    pictures = []
    for part in pixels.split(max(1, PAIRS_AT_ONCE // max(1, len(centres)))):
        offsets = part[:, None] - centres  # [P, N, 2]
        sigma = 0.5 * torch.einsum("pni,nij,pnj->pn", offsets, conics, offsets)
        alpha = opacities * torch.exp(-sigma)
        alpha = torch.where(alpha >= MIN_ALPHA, alpha.clamp(max=max_alpha), 0.0)
        behind = torch.cumprod(1 - alpha, dim=1)  # [P, N], the transmittance behind each splat.
        before = torch.cat([torch.ones_like(behind[:, :1]), behind], dim=1)[:, :-1]
        weights = alpha * before * (behind > MIN_TRANSMITTANCE)
        pictures.append(weights @ features)
    return torch.cat(pictures).reshape(height, width, -1)
