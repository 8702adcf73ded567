"""How near is an asset to the true object? Asked where the truth is known: in the toy world.

A prompt leaves the proportions of its object open, within what is natural for the kind. So the
asset is compared with several true objects of the prompt, and the nearest counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maquette.camera import pixel_rays
from maquette.errors import InputError
from maquette.metrics.pictures import psnr
from maquette.metrics.shape import chamfer, f_score
from maquette.records import Views
from maquette.scenes.base import Scene
from maquette.toybox.captions import Description
from maquette.toybox.colours import clear_background
from maquette.toybox.judge import true_pictures
from maquette.toybox.surface import cameras, evenly, surface_points
from maquette.toybox.world import specimen

__all__ = ["Truth", "asset_points", "compare_with_truth"]

POINTS, VARIATIONS, FIRST = 2048, 8, 70_000
THRESHOLD = 0.05
COVERED = 0.5


@dataclass(frozen=True)
class Truth:
    """An asset beside the nearest true object.

    Attributes:
        chamfer: mean distance between the surfaces, world units; objects have radius 0.9.
        f_score: harmonic mean of the shares that lie within ``THRESHOLD`` of the other surface.
        psnr: of pictures from cameras that no run has, against the true ones, in decibels.
        variation: which of the world's objects was nearest.
    """

    chamfer: float
    f_score: float
    psnr: float
    variation: int


def compare_with_truth(
    scene: Scene, description: Description, views: Views | None = None, variations: int = VARIATIONS
) -> Truth:
    """Surfaces and pictures of ``scene`` beside those of true objects of ``description``.

    Args:
        scene: must be able to render depth.
        description: with all colours told, or the pictures would not be comparable.
        views: for the pictures; by default eight at 25 degrees of elevation.
        variations: how many true objects are tried.

    Raises:
        InputError: colours are left open, or the scene has no surface.
    """
    told = [description] if description.other is None else [description, description.other]
    if not all(one.colours for one in told):
        raise InputError("The prompt leaves colours open, so no true picture is known")
    made = asset_points(scene)
    found = []
    for variation in range(FIRST, FIRST + variations):
        random = np.random.Generator(np.random.Philox(key=variation))
        true, _ = surface_points(specimen(description, variation), POINTS, random)
        found.append((chamfer(made, true), variation, true))
    distance, variation, true = min(found, key=lambda one: one[0])
    views = views or Views.ring(8, elevation_deg=25.0, size=64, start_deg=11.25)
    behind = torch.tensor(clear_background(description.colour_words)).expand(len(views), 3)
    with torch.no_grad():
        pictures = scene.render(views, behind).colour.clamp(0, 1)
    likeness = psnr(pictures, true_pictures(description, views, variation)).mean()
    return Truth(distance, f_score(made, true, THRESHOLD).value, float(likeness), variation)


def asset_points(scene: Scene, count: int = POINTS) -> Tensor:
    """``[count, 3]`` points on the surface that cameras all around see: where rays are half spent.

    Raises:
        InputError: nothing is opaque enough to have a surface.
    """
    views = cameras()
    with torch.no_grad():
        render = scene.render(views, torch.ones(len(views), 3), geometry=True)
    if render.depth is None:
        raise InputError("The scene renders no depth, so that its surface is not known")
    rays = pixel_rays(views.world_from_camera, views.intrinsics, views.width, views.height)
    places = views.world_from_camera[:, None, None, :3, 3] + render.depth * rays
    seen = places[render.alpha[..., 0] > COVERED]
    if len(seen) == 0:
        raise InputError("The asset is nowhere opaque, so that it has no surface")
    random = np.random.Generator(np.random.Philox(key=0))
    return seen[torch.from_numpy(evenly(seen.numpy(), count, random))]
