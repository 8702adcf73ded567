"""Every recipe does two steps in its tiny form, in both sizes, and the same ones every time."""

from __future__ import annotations

import math

import pytest
import torch

from adapters import adapts, attending
from maquette.distill import distill
from maquette.lookup import Size, find_recipe, recipe_names
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Prior
from maquette.recipe import Recipe
from maquette.records import Report
from maquette.run import Run

PROMPT = "a mug"

pytestmark = [
    pytest.mark.parametrize("name", recipe_names()),
    pytest.mark.parametrize("size", ["paper", "small"]),
]


def prior_for(recipe: Recipe) -> Prior:
    """The analytic prior, or a small network for a student or a path that adapts one."""
    if adapts(recipe):
        return attending(torch.float32)
    generator = torch.Generator().manual_seed(0)
    front, back = torch.rand(2, 16, 16, 3, generator=generator)
    return GaussianMixture.from_pictures({PROMPT: front, f"{PROMPT}, back view": back})


def distilled(recipe: Recipe, seed: int = 0) -> tuple[Run, list[Report]]:
    run = Run.start(PROMPT, recipe, prior_for(recipe), seed)
    return run, list(distill(run))


def test_it_is_called_as_its_file_and_names_its_paper(name: str, size: Size) -> None:
    recipe = find_recipe(name, size)
    assert recipe.name == name
    assert recipe.paper
    assert recipe == find_recipe(name, size)


def test_its_tiny_form_has_the_same_parts(name: str, size: Size) -> None:
    recipe = find_recipe(name, size)
    tiny = recipe.tiny()
    assert (tiny.steps, tiny.views, tiny.size) == (2, 2, 16)
    for part in ("objective", "cameras", "timesteps", "background", "losses", "gradients"):
        assert getattr(tiny, part) == getattr(recipe, part)
    assert tiny.init == recipe.init.tiny()
    assert tiny.rates == recipe.rates


def test_two_steps_move_every_named_parameter_and_stay_finite(name: str, size: Size) -> None:
    recipe = find_recipe(name, size).tiny()
    run = Run.start(PROMPT, recipe, prior_for(recipe))
    before = {key: value.detach().clone() for key, value in run.scene.parameters().items()}
    reports = list(distill(run))
    assert [report.step for report in reports] == [1, 2]
    for report in reports:
        assert not report.skipped
        assert math.isfinite(report.loss)
        assert report.pixel_gradient_norm > 0
        assert all(math.isfinite(value) for value in report.losses.values())
    assert reports[1].evaluations > reports[0].evaluations > 0
    for key, value in run.scene.parameters().items():
        assert torch.isfinite(value).all(), key
        assert torch.equal(value, before[key]) == (key not in recipe.rates), key


def test_two_runs_are_the_same_bytes_and_another_seed_is_not(name: str, size: Size) -> None:
    recipe = find_recipe(name, size).tiny()
    (one, first), (other, second) = distilled(recipe), distilled(recipe)
    for key, value in one.scene.parameters().items():
        assert torch.equal(value, other.scene.parameters()[key]), key
    assert [report.loss for report in first] == [report.loss for report in second]
    another, _ = distilled(recipe, seed=1)
    assert not torch.equal(one.scene.parameters()["means"], another.scene.parameters()["means"])
