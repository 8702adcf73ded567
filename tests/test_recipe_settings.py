"""The numbers of the recipes, against the tables of the papers and of their public code.

The tables are in ``paper_numbers.py``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from maquette import lookup, serial, store
from maquette.cameras.uniform import Uniform
from maquette.errors import InputError
from maquette.generation import generate
from maquette.lookup import Size, citation, find_recipe, recipe_for, recipe_names
from maquette.priors.analytic import GaussianMixture
from maquette.ramps import Ramp, constant
from maquette.recipe import Recipe
from maquette.recipes._small import GUIDANCE_SCALE
from paper_numbers import PAPER

OWN = ("maquette",)
"""Recipes that follow no single paper, so that no table of one can pin them."""

MAY_SHRINK = (
    *("cameras", "init", "rates", "growth"),
    *("steps", "views", "size"),
    *("objective.guidance_scale", "timesteps.regions", "fusion.regions"),
    *("path.forming.steps", "path.forming.adapter.learning_rate"),
)
"""What the small size may change: resolution, counts, learning rates, cameras and guidance."""

OWN_SMALL = {"hifa": ("losses.0.weight",)}
"""Where it changes more: HiFA's regulariser goes with the guidance, by which its gradient falls."""


def value_at(recipe: Recipe, path: str) -> Any:
    path, _, progress = path.partition("@")
    place: Any = recipe
    for word in path.split("."):
        if isinstance(place, dict):
            place = place[word]
        else:
            place = place[int(word)] if isinstance(place, tuple) else getattr(place, word)
    if progress:
        ramp = place if isinstance(place, Ramp) else constant(place)
        values = [ramp(float(p)) for p in progress.split(",")]
        return tuple(values) if len(values) > 1 else values[0]
    return serial.name_of(type(place)) if hasattr(place, "__dataclass_fields__") else place


@pytest.mark.parametrize("name", PAPER)
def test_paper_size_has_the_numbers_of_its_source(name: str) -> None:
    section, expected = PAPER[name]
    recipe = find_recipe(name, "paper")
    for path, value in expected.items():
        found = value_at(recipe, path)
        is_exact = isinstance(value, str | int | tuple) and "@" not in path
        assert found == (value if is_exact else pytest.approx(value)), (section, path)


def test_every_recipe_is_pinned() -> None:
    assert {*PAPER, *OWN} == set(recipe_names())


def test_views_of_lucid_dreamer_come_nearer_every_500_steps() -> None:
    recipe = find_recipe("luciddreamer", "paper")
    for step, near, far, long_lens in (
        (0, 5.2, 5.5, 0.32),
        (499, 5.2, 5.5, 0.32),
        (501, 4.94, 5.225, 0.24),
        (1001, 4.693, 5.0, 0.18),
        (1501, 4.45835, 5.0, 0.16),
        (4001, 3.5, 5.0, 0.16),
    ):
        cameras = recipe.at(step).cameras
        assert isinstance(cameras, Uniform)
        assert cameras.distance == pytest.approx((near, far))
        assert cameras.fov_y_deg == pytest.approx((math.degrees(long_lens), math.degrees(0.6)))


def test_fields_of_view_of_pgc_are_its_focal_lengths() -> None:
    cameras = find_recipe("pgc", "paper").cameras
    assert isinstance(cameras, Uniform)
    expected = [math.degrees(2 * math.atan(0.5 / focal)) for focal in (1.35, 0.7)]
    assert list(cameras.fov_y_deg) == pytest.approx(expected, abs=0.05)


def leaves(data: Any, path: str = "") -> dict[str, Any]:
    """Plain data by path, ramps and numbers alike."""
    if not isinstance(data, dict | list) or (isinstance(data, dict) and "ramp" in data):
        return {path: data}
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    found = {}
    for key, value in pairs:
        found |= leaves(value, f"{path}.{key}" if path else str(key))
    return found


@pytest.mark.parametrize("name", sorted({*recipe_names()} - {*OWN}))
def test_small_size_changes_no_formula(name: str) -> None:
    paper, small = (
        leaves(serial.recipe_to(find_recipe(name, size))) for size in ("paper", "small")
    )
    differing = {key for key in {*paper, *small} if paper.get(key) != small.get(key)}
    allowed = (*MAY_SHRINK, *OWN_SMALL.get(name, ()))
    for path in differing:
        is_allowed = any(path == own or path.startswith(f"{own}.") for own in allowed)
        # Where the overhead view begins belongs to the cameras and captions of the toy world.
        assert is_allowed or path.endswith("overhead_above_deg"), path
    assert small["size"] == 64
    assert small["steps"] < paper["steps"]


def test_small_sizes_share_all_but_their_formulas() -> None:
    shared = ("init", "rates", "steps", "views", "size", "growth", "negative_prompt")
    sizes = [find_recipe(name) for name in recipe_names() if name not in OWN]
    for field in shared:
        assert all(getattr(size, field) == getattr(sizes[0], field) for size in sizes), field
    cameras = {serial.name_of(type(size.cameras)): size.cameras for size in sizes}
    assert set(cameras) == {"cameras.Uniform", "cameras.AdaptiveRegions"}
    for size in sizes:
        if isinstance(size.cameras, Uniform):
            assert size.cameras == cameras["cameras.Uniform"]


@pytest.mark.parametrize("name", recipe_names())
def test_citation_is_bibtex_of_the_paper(name: str) -> None:
    text = citation(name)
    match = re.fullmatch(r"@(\w+)\{[a-z0-9]+,\n(.*)\n\}", text, re.DOTALL)
    assert match
    fields = dict(re.findall(r"  (\w+) = \{((?:[^{}]|\n)*)\},\n?", match[2]))
    kind = {"inproceedings": "booktitle", "misc": "eprint"}[match[1]]
    assert {"title", "author", "year", kind} <= set(fields) or "note" in fields
    assert text.count("{") == text.count("}")
    recipe = find_recipe(name, "paper")
    if name not in OWN and "year" in fields:
        assert fields["year"] in recipe.paper
    first_author = fields["author"].split(",")[0]
    assert first_author in recipe.paper
    if "eprint" in fields:
        assert fields["eprint"] in recipe.paper


def test_what_is_no_recipe_of_the_package_has_no_citation() -> None:
    with pytest.raises(InputError, match="tells no paper"):
        citation("mine.py:mine")
    with pytest.raises(InputError, match="nearest is hifa"):
        citation("hiffa")


def pictures(pixels: int) -> GaussianMixture:
    """A prior that says its pictures have this size, and looks at four by four pixels."""
    prior = GaussianMixture.from_pictures({tiny.PROMPT: torch.full((4, 4, 3), 0.5)})
    prior.image_size = pixels
    return prior


@pytest.mark.parametrize(
    ("pixels", "size"), [(64, "small"), (128, "small"), (129, "paper"), (512, "paper")]
)
def test_recipe_fits_the_pictures_of_the_prior(pixels: int, size: Size) -> None:
    prior = pictures(pixels)
    recipe, same = recipe_for("dreamfusion", prior)
    assert recipe == find_recipe("dreamfusion", size)
    assert same is prior
    other: Size = "paper" if size == "small" else "small"
    assert recipe_for("dreamfusion", prior, other)[0] == find_recipe("dreamfusion", other)


def test_prior_by_name_is_loaded_only_where_it_must_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = pictures(512)
    monkeypatch.setattr(lookup, "find_prior", lambda *_: loaded)
    assert recipe_for("dreamfusion", "embedded") == (find_recipe("dreamfusion"), "embedded")
    assert recipe_for("dreamfusion", "some/folder", "small")[1] == "some/folder"
    assert recipe_for("dreamfusion", "some/folder") == (find_recipe("dreamfusion", "paper"), loaded)
    outside = f"{tiny.__file__}:recipe"
    assert recipe_for(outside, "some/folder") == (tiny.recipe(), "some/folder")


def test_unknown_size_is_refused() -> None:
    with pytest.raises(InputError, match="no size 'large'"):
        find_recipe("dreamfusion", "large")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("pixels", "scale"), [(32, GUIDANCE_SCALE), (160, 101.0)])
def test_generate_takes_the_size_that_fits(tmp_path: Path, pixels: int, scale: float) -> None:
    few = ("size=4", "init.count=20", "views=1")
    done = generate(
        tiny.PROMPT,
        recipe="dreamfusion",
        prior=pictures(pixels),
        out=tmp_path,
        steps=1,
        settings=few,
        watch=tiny.watch(),
    )
    kept = store.read_json(done.folder / "recipe.json")["recipe"]
    assert kept["objective"]["guidance_scale"] == scale
    forced = generate(
        tiny.PROMPT,
        recipe="dreamfusion",
        prior=pictures(pixels),
        out=tmp_path,
        size="small",
        steps=1,
        settings=few,
        watch=tiny.watch(),
    )
    assert (forced.folder == done.folder) == (scale == GUIDANCE_SCALE)
