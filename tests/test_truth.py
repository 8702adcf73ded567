"""An asset beside the true object: a true one is near, others are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maquette.errors import InputError
from maquette.metrics.truth import FIRST, asset_points, compare_with_truth
from maquette.scenes.gaussians import Gaussians
from maquette.toybox.captions import parse
from maquette.toybox.surface import surface_points
from maquette.toybox.world import specimen

PROMPT = "a red and blue mug"


def scan(prompt: str, variation: int = FIRST, *, moved: float = 0.0) -> Gaussians:
    """A true object as small opaque Gaussians on its surface."""
    random = np.random.Generator(np.random.Philox(key=9))
    points, colours = surface_points(specimen(parse(prompt), variation), 6000, random)
    places = torch.from_numpy(points) + torch.tensor([moved, 0.0, 0.0])
    scene = Gaussians.from_points(places, torch.from_numpy(colours), opacity=0.95)
    with torch.no_grad():
        scene.parameters()["log_scales"].fill_(float(np.log(0.02)))
    return scene


def test_a_true_object_is_near_to_itself() -> None:
    # Half of what is left is the points' own spacing, and the pictures of a scan have no light.
    found = compare_with_truth(scan(PROMPT, FIRST + 3), parse(PROMPT))
    assert found.chamfer < 0.04
    assert found.f_score > 0.85
    assert found.psnr > 15


def test_other_objects_and_moved_ones_are_farther() -> None:
    own = compare_with_truth(scan(PROMPT), parse(PROMPT))
    moved = compare_with_truth(scan(PROMPT, moved=0.2), parse(PROMPT))
    other = compare_with_truth(scan("a red and blue duck"), parse(PROMPT))
    painted = compare_with_truth(scan("a green and yellow mug"), parse(PROMPT))
    for found in (moved, other):
        assert found.chamfer > 2 * own.chamfer
        assert found.f_score < own.f_score - 0.1
        assert found.psnr < own.psnr - 1
    # Paint changes pictures and no shape.
    assert painted.chamfer == pytest.approx(own.chamfer, rel=0.2)
    assert painted.psnr < own.psnr - 2


def test_points_are_evenly_on_the_surface() -> None:
    points = asset_points(scan("a red ball"), 500)
    assert points.shape == (500, 3)
    radius = points.norm(dim=-1)
    assert float(radius.std() / radius.mean()) < 0.03


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="colours open"):
        compare_with_truth(scan(PROMPT), parse("a mug"))
    faint = scan(PROMPT)
    with torch.no_grad():
        faint.parameters()["logit_opacities"].fill_(-9.0)
    with pytest.raises(InputError, match="no surface"):
        asset_points(faint)
