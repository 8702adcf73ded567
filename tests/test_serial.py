"""Recipes as plain data: there and back, complete, typed, and never running anything."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
from typing import Any

import pytest

import maquette
import tiny
from maquette import ramps, serial
from maquette.errors import InputError
from maquette.lookup import Size, find_recipe, recipe_names
from maquette.losses import AlphaEntropy
from maquette.objectives.csd import CSD
from maquette.objectives.ism import ISM
from maquette.overrides import override, settings
from maquette.recipe import Recipe
from maquette.scenes.growth import Growth

ROLES = (
    *("cameras", "gradients", "history", "inits", "losses", "objectives"),
    *("priors.lora", "priors.path", "priors.students", "priors.text", "scenes", "timesteps"),
)


def part_classes() -> dict[str, str]:
    """All concrete frozen dataclasses of the part folders, as the table names them."""
    found = {}
    for role in ROLES:
        package = importlib.import_module(f"maquette.{role}")
        names = [package.__name__]
        if hasattr(package, "__path__"):
            names = [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
        for name in names:
            for thing in vars(importlib.import_module(name)).values():
                if (
                    inspect.isclass(thing)
                    and thing.__module__ == name
                    and dataclasses.is_dataclass(thing)
                    and not inspect.isabstract(thing)
                    and not thing.__name__.startswith("_")
                    and vars(thing)["__dataclass_params__"].frozen
                ):
                    found[f"{role}.{thing.__name__}"] = name
    return found


def test_table_holds_every_part() -> None:
    assert {"Recipe": "maquette.recipe", **part_classes()} == serial.PARTS


@pytest.mark.parametrize("name", serial.PARTS)
def test_every_part_of_the_table_has_plain_fields(name: str) -> None:
    part = serial.part_class(name)
    assert serial.name_of(part) == name
    assert serial.fields_of(part) is not None


@pytest.mark.parametrize("size", ["paper", "small"])
@pytest.mark.parametrize("name", recipe_names())
def test_recipe_comes_back_equal_through_json(name: str, size: Size) -> None:
    recipe = find_recipe(name, size)
    text = json.dumps(serial.recipe_to(recipe))
    assert serial.recipe_from(json.loads(text)) == recipe
    assert json.dumps(serial.recipe_to(serial.recipe_from(json.loads(text)))) == text


def test_tiny_recipe_with_ramps_growth_and_losses_comes_back() -> None:
    recipe = tiny.recipe()
    data = serial.recipe_to(recipe)
    assert data["objective"]["guidance_scale"] == {
        "ramp": "linear",
        "knots": [[0.0, 2.0], [1.0, 4.0]],
    }
    assert data["growth"]["prune_scale"] == "inf"
    assert serial.recipe_from(json.loads(json.dumps(data))) == recipe


def test_equal_recipes_are_equal_data() -> None:
    whole = override(find_recipe("luciddreamer"), ["objective.guidance_scale=7", "size=32"])
    real = override(find_recipe("luciddreamer"), ["objective.guidance_scale=7.0", "size=32.0"])
    assert serial.recipe_to(whole) == serial.recipe_to(real)
    assert json.dumps(serial.recipe_to(whole)) == json.dumps(serial.recipe_to(real))


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(serial.recipe_to(tiny.recipe()))
    place = data
    *way, last = path.split(".")
    for word in way:
        place = place[word]
    place[last] = value
    return data


BAD = {
    "an unknown part": (changed("objective.part", "objectives.ISN"), "nearest is objectives.ISM"),
    "a class that is no part": (changed("objective.part", "builtins.eval"), "no part of Maquette"),
    "a part of another role": (changed("objective.part", "cameras.Uniform"), "must be a Objective"),
    "a part without a name": (changed("objective.part", ["ISM"]), "no part of Maquette"),
    "an unknown field": (changed("objective.guidance", 1.0), "guidance_scale"),
    "a text for a number": (changed("objective.guidance_scale", "7"), "must be a number or Ramp"),
    "true for a number": (changed("objective.guidance_scale", True), "must be a number or Ramp"),
    "a real for a whole number": (changed("steps", 40.5), "recipe.steps must be a whole number"),
    "a number for a text": (changed("name", 3), "recipe.name must be a text"),
    "nothing for a number": (changed("steps", None), "must be a whole number"),
    "not a number": (changed("objective.strength", math.nan), "must be a number"),
    "an unknown shape of ramp": (
        changed("objective.strength", {"ramp": "wild", "knots": [[0, 1]]}),
        "must be a ramp",
    ),
    "knots out of order": (
        changed("objective.strength", {"ramp": "linear", "knots": [[1, 1], [0, 1]]}),
        "rising order",
    ),
    "a ramp without knots": (
        changed("objective.strength", {"ramp": "linear", "knots": []}),
        "rising order",
    ),
    "a list for a map": (changed("rates", [1]), "must be a map"),
    "a map for a list": (changed("losses", {}), "must be a list"),
    "a pair that is none": (changed("cameras.distance", [1.0]), "a list of 2"),
    "an unknown word": (changed("objective.weight", "heavy"), "'heavy'"),
    "a value that the part refuses": (changed("growth.every", 0), "cannot act every 0"),
    "no recipe": (None, "must be a part that is a Recipe"),
    "another part": ({"part": "inits.Sphere"}, "must be a Recipe"),
    "a part from elsewhere": (changed("objective.from", "os"), "Pass that file again"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_in_a_sentence(name: str) -> None:
    data, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence):
        serial.recipe_from(data)


def test_missing_fields_take_their_defaults_and_required_ones_are_missed() -> None:
    data = serial.recipe_to(tiny.recipe())
    del data["losses"]
    assert serial.recipe_from(data).losses == ()
    del data["objective"]
    with pytest.raises(InputError, match="lacks a field"):
        serial.recipe_from(data)


@dataclasses.dataclass(frozen=True)
class Mine(ISM):
    """A part from outside the package."""

    extra: float = 2.0


def test_part_from_outside_needs_its_recipe_to_come_back() -> None:
    recipe = dataclasses.replace(tiny.recipe(), objective=Mine(extra=3))
    data = json.loads(json.dumps(serial.recipe_to(recipe)))
    assert data["objective"]["from"] == __name__
    with pytest.raises(InputError, match="Pass that file again"):
        serial.recipe_from(data)
    back = serial.recipe_from(data, like=dataclasses.replace(recipe, objective=Mine()))
    assert back == recipe
    assert isinstance(back.objective, Mine)


def test_what_is_no_plain_data_is_refused_at_writing() -> None:
    with pytest.raises(InputError, match="no plain data"):
        serial.encode(object())
    with pytest.raises(InputError, match="NaN"):
        serial.encode(math.nan, float)


SETTINGS: dict[str, tuple[str, Any]] = {
    "objective.guidance_scale=10": ("objective.guidance_scale", 10.0),
    "objective.guidance-scale=linear(1, 0.5)": (
        "objective.guidance_scale",
        ramps.linear(1, 0.5),
    ),
    "objective.strength=steps((0, 1), (0.5, 2))": (
        "objective.strength",
        ramps.steps((0, 1), (0.5, 2)),
    ),
    "objective.strength=exponential(1, 0.1, begin=0.2)": (
        "objective.strength",
        ramps.exponential(1, 0.1, begin=0.2),
    ),
    "objective.weight=uniform": ("objective.weight", "uniform"),
    "steps=7": ("steps", 7),
    "negative_prompt=a thing, ugly": ("negative_prompt", "a thing, ugly"),
    "negative_prompt=3": ("negative_prompt", "3"),
    "growth=none": ("growth", None),
    "growth=scenes.Growth": ("growth", Growth()),
    "growth=growth": ("growth", Growth()),
    "objective=csd": ("objective", CSD()),
    "losses=alphaentropy": ("losses", (AlphaEntropy(),)),
    "growth.every=50": ("growth.every", 50),
    "growth.prune_scale=inf": ("growth.prune_scale", math.inf),
    "cameras.distance=(2, 4)": ("cameras.distance", (2.0, 4.0)),
    "cameras.elevation_deg=-10,20": ("cameras.elevation_deg", (-10.0, 20.0)),
    "rates.means=0.01": ("rates.means", 0.01),
    "losses.0.weight=3": ("losses.0.weight", 3.0),
    "losses.sparsity.weight=3": ("losses.0.weight", 3.0),
}


def value_at(recipe: Recipe, path: str) -> Any:
    place: Any = recipe
    for word in path.split("."):
        if isinstance(place, dict):
            place = place[word]
        else:
            place = place[int(word)] if isinstance(place, tuple) else getattr(place, word)
    return place


@pytest.mark.parametrize("assignment", SETTINGS)
def test_setting_changes_one_thing(assignment: str) -> None:
    path, value = SETTINGS[assignment]
    before = tiny.recipe()
    after = override(before, [assignment])
    assert value_at(after, path) == value
    assert type(value_at(after, path)) is type(value)
    assert before == tiny.recipe()
    assert serial.recipe_from(serial.recipe_to(after)) == after


BAD_SETTINGS = {
    "objective.guidanc_scale=1": "nearest is guidance_scale",
    "objektive.guidance_scale=1": "nearest is objective",
    "objective.guidance_scale": "not of the form path=value",
    "=3": "not of the form path=value",
    "objective.guidance_scale=ten": "must be a number or Ramp, not 'ten'",
    "objective.guidance_scale=__import__('os').getpid()": "must be a number or Ramp",
    "objective.guidance_scale=linear(os, 2)": "must be a number or Ramp",
    "objective.guidance_scale=linear(1)": "must be a number or Ramp",
    "steps=2.5": "must be a whole number",
    "steps=linear(1, 2)": "must be a whole number",
    "rates.colour=1": "There are means",
    "rates.means.x=1": "no setting",
    "losses.7.weight=1": "There are sparsity",
    "steps.x=1": "has no settings of its own",
    "growth.floor=1000000": "A population between",
    "objective=cameras.Uniform": "must be a Objective",
    "cameras.distance=1,2,3": "a list of 2",
    "objective=csdd": "no part 'csdd' for objective. The nearest is objectives.CSD",
    "fusion=nothing": "There are gradients.OrthogonalFusion",
    "gradients=clipbynom": "nearest is gradients.ClipByNorm",
}


@pytest.mark.parametrize("assignment", BAD_SETTINGS)
def test_bad_setting_is_refused_in_a_sentence(assignment: str) -> None:
    with pytest.raises(InputError, match=BAD_SETTINGS[assignment].replace("(", "\\(")):
        override(tiny.recipe(), [assignment])


def test_settings_lists_what_override_takes() -> None:
    recipe = tiny.recipe()
    listed = {path: value for path, value, _ in settings(recipe)}
    assert listed["objective"] == "objectives.ISM"
    assert listed["timesteps.high"] == "linear(0.9, 0.4)"
    again = override(recipe, [f"{path}={value}" for path, value in listed.items() if value])
    assert dataclasses.replace(again, growth=None) == dataclasses.replace(recipe, growth=None)


def test_version_of_the_package_is_the_one_of_its_metadata() -> None:
    from importlib.metadata import version

    assert maquette.__version__ == version("maquette3d")
