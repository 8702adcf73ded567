"""The shape alone, grey and lit: what DreamFusion calls textureless.

A colour can hide a bad shape: a face that is painted on a ball looks like a face. So table 1 of
DreamFusion (Poole et al. 2022) also measures renders without colour. Normals are taken here from
differences of the rendered depth, because those of single splats say nothing where a surface is
made of round ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from maquette.camera import pixel_rays
from maquette.errors import InputError
from maquette.metrics.pictures import COVERED
from maquette.records import Render, Views

__all__ = ["depth_normals", "textureless"]

GREY, AMBIENT, RISE = 0.8, 0.3, 0.6
"""The surface's brightness in full light, the share of it where no light arrives, and how much
higher than the camera the light stands, along +Z in units of the camera's view direction."""

FINEST = 128
"""Differences are taken over this part of the picture's height: finer ones show the splats."""


def textureless(render: Render, views: Views, background: Tensor) -> Tensor:
    """The shape of a render in grey, ``[B, H, W, 3]`` in [0, 1].

    ``grey (ambient + (1 - ambient) max(n . l, 0))`` with one light behind and above the camera, so
    that every view is lit alike; blended over the background by the render's own coverage.

    Args:
        render: with depth.
        views: its cameras.
        background: ``[3]`` or ``[B, 3]``.

    Raises:
        InputError: the render has no depth.
    """
    forward = views.world_from_camera[:, :3, 2]
    light = normalize(forward.new_tensor([0.0, 0.0, RISE]) - forward, dim=-1)
    normals = depth_normals(render, views)
    lambert = (normals * light.to(normals)[:, None, None]).sum(-1, keepdim=True).clamp(min=0)
    grey = GREY * (AMBIENT + (1 - AMBIENT) * lambert)
    behind = background.to(grey).reshape(-1, 1, 1, 3)
    return render.alpha * grey + (1 - render.alpha) * behind


def depth_normals(render: Render, views: Views) -> Tensor:
    """Unit normals ``[B, H, W, 3]`` in the world frame, of the surface where the depth lies.

    They turn to the camera. Where no neighbour is covered, and off the object, they look straight
    at it.

    Args:
        render: with depth.
        views: its cameras.

    Raises:
        InputError: the render has no depth.
    """
    if render.depth is None:
        raise InputError("The scene renders no depth, so that its shape cannot be lit")
    rays = pixel_rays(views.world_from_camera, views.intrinsics, views.width, views.height)
    rays = rays.to(render.depth)
    places = render.depth * rays  # From the camera's centre, which differences do not need.
    covered = render.alpha >= COVERED
    step = max(1, views.height // FINEST)
    across, down = (_difference(places, covered, step, dim) for dim in (2, 1))
    # x right, y down and z forward are right-handed: down times across comes towards the camera.
    normals = torch.linalg.cross(down, across)
    known = normals.norm(dim=-1, keepdim=True) > 0
    towards = -normalize(rays, dim=-1)
    normals = torch.where(known, normalize(normals, dim=-1, eps=1e-30), towards)
    away = (normals * towards).sum(-1, keepdim=True) < 0
    return torch.where(away, -normals, normals)


def _difference(places: Tensor, covered: Tensor, step: int, dim: int) -> Tensor:
    """How the surface goes on along an axis of the picture; 0 where no neighbour is covered.

    Of the two neighbours the nearer one counts: beyond an edge lies another surface.
    """
    shape = list(places.shape)
    shape[dim] = min(step, shape[dim])
    gap = places.new_zeros(shape)
    size = places.shape[dim] - shape[dim]
    first, last = places.narrow(dim, 0, size), places.narrow(dim, shape[dim], size)
    both = covered.narrow(dim, 0, size) & covered.narrow(dim, shape[dim], size)
    # A step between what is not covered is too long to be chosen, and is taken back below.
    change = torch.where(both, last - first, torch.full_like(first, torch.inf))
    ahead = torch.cat([change, torch.full_like(gap, torch.inf)], dim)
    behind = torch.cat([torch.full_like(gap, torch.inf), change], dim)
    nearer = torch.where(ahead.norm(dim=-1, keepdim=True) <= behind.norm(dim=-1, keepdim=True),
                         ahead, behind)  # fmt: skip
    return torch.where(torch.isfinite(nearer), nearer, torch.zeros_like(nearer))
