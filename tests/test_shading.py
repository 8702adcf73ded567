"""Shapes without colour: a ball is lit like a ball, whatever it is painted with."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from maquette.camera import pixel_rays
from maquette.errors import InputError
from maquette.metrics.shading import AMBIENT, GREY, depth_normals, textureless
from maquette.records import Render, Views
from test_truth import scan

WHITE = torch.ones(3)


def ball(views: Views, radius: float = 0.8) -> tuple[Render, Tensor]:
    """The exact render of a ball at the origin, and its true normals."""
    rays = pixel_rays(views.world_from_camera, views.intrinsics, views.width, views.height)
    centre = views.world_from_camera[:, None, None, :3, 3]
    a, b = rays.square().sum(-1), (rays * centre).sum(-1)
    root = b.square() - a * (centre.square().sum(-1) - radius**2)
    hit = root > 0
    depth = torch.where(hit, (-b - root.clamp(min=0).sqrt()) / a, 0.0)[..., None]
    alpha = hit[..., None].float()
    normals = (centre + depth * rays) / radius
    return Render(torch.zeros_like(rays), alpha, depth), normals


@pytest.mark.parametrize("size", [64, 256])
def test_normals_of_a_ball_are_those_of_a_ball(size: int) -> None:
    views = Views.ring(3, elevation_deg=25, size=size)
    render, true = ball(views)
    found = depth_normals(render, views)
    assert torch.allclose(found.norm(dim=-1), torch.ones(1), atol=1e-5)
    inside = render.alpha[..., 0] > 0
    # One-sided differences lag by half their step; at the rim a step is long.
    cosine = (found * true).sum(-1)[inside]
    assert float(cosine.quantile(0.1)) > 0.98
    assert float(cosine.median()) > 0.998


def test_the_light_stands_above_the_camera_of_every_view() -> None:
    views = Views.ring(4, elevation_deg=0, size=128)
    render, true = ball(views)
    picture = textureless(render, views, WHITE)
    assert picture.shape == (4, 128, 128, 3)
    assert bool((picture[..., :1] == picture).all())
    assert torch.allclose(picture[0], picture[1], atol=2e-3)
    angle = math.atan(0.6)
    light = torch.tensor([math.cos(angle), 0.0, math.sin(angle)])  # Azimuth 0 stands on +X.
    lambert = (true[0] @ light).clamp(min=0)
    expected = GREY * (AMBIENT + (1 - AMBIENT) * lambert)
    inside = render.alpha[0, ..., 0] > 0
    assert float((picture[0, ..., 0] - expected)[inside].abs().mean()) < 0.02
    assert float(picture[0, 40, 64, 0]) > float(picture[0, 88, 64, 0])


def test_what_is_not_covered_is_background_and_all_is_finite() -> None:
    views = Views.ring(2, size=32)
    nothing = Render(torch.zeros(2, 32, 32, 3), *[torch.zeros(2, 32, 32, 1)] * 2)
    colours = torch.tensor([[0.1, 0.2, 0.3], [1.0, 1.0, 1.0]])
    picture = textureless(nothing, views, colours)
    assert torch.equal(picture, colours[:, None, None].expand(2, 32, 32, 3))
    lone = torch.zeros(2, 32, 32, 1)
    lone[:, 16, 16] = 1.0
    lit = textureless(Render(nothing.colour, lone, 3 * lone), views, WHITE)
    assert bool(torch.isfinite(lit).all())
    assert GREY * AMBIENT < float(lit[0, 16, 16, 0]) <= GREY


def test_edges_keep_the_surfaces_apart() -> None:
    # A wall and a nearer one beside it, both straight before the camera.
    views = Views.ring(1, elevation_deg=0, size=32)
    depth = torch.full((1, 32, 32, 1), 3.5)
    depth[:, :, 16:] = 2.5
    normals = depth_normals(Render(torch.zeros(1, 32, 32, 3), torch.ones_like(depth), depth), views)
    assert torch.allclose(normals, torch.tensor([1.0, 0.0, 0.0]).expand_as(normals), atol=1e-4)


def test_paint_makes_no_difference() -> None:
    views = Views.ring(2, size=64)
    pictures = []
    for prompt in ("a red and blue mug", "a yellow and white mug"):
        with torch.no_grad():
            render = scan(prompt).render(views, torch.ones(2, 3), geometry=True)
        pictures.append(textureless(render, views, WHITE))
    assert torch.allclose(*pictures, atol=1e-6)
    assert float(pictures[0].std()) > 0.05


def test_without_depth_there_is_no_shape() -> None:
    views = Views.ring(1, size=8)
    with pytest.raises(InputError, match="no depth"):
        textureless(Render(torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 1)), views, WHITE)
