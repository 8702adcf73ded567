"""What cannot work is refused before a run has a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import tiny
from maquette import cli
from maquette.distill import distill
from maquette.errors import InputError
from maquette.imaging import image
from maquette.lookup import Size, find_recipe, recipe_names
from maquette.objectives.sds import SDS
from maquette.ramps import Ramp, linear
from maquette.recipe import Recipe
from maquette.rehearsal import rehearse
from maquette.run import Run
from maquette.timesteps.uniform import Uniform

OUT_OF_RANGE = [
    ("dreamer-xl", "objective.gamma=2", "gamma"),
    ("dreamfusion", "timesteps.high=1.5", "bounds"),
    ("dreamfusion", "timesteps.low=0.99", "bounds"),
    ("pgc", "gradients.0.threshold=-1", "threshold"),
    ("cograd3d", "cameras.temperature=0", "temperature"),
    ("luciddreamer", "objective.stride=0", "stride"),
    ("ptd", "path.power=-1", "power"),
    ("dreamfusion", "size=0", "pixels"),
]


@pytest.mark.parametrize("size", ["small", "paper"])
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_passes_in_both_forms(name: str, size: Size) -> None:
    rehearse(find_recipe(name, size))
    rehearse(find_recipe(name, size).image())


@pytest.mark.parametrize(("name", "setting", "told"), OUT_OF_RANGE)
def test_a_number_out_of_range_is_one_sentence_and_no_folder(
    name: str, setting: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", tiny.PROMPT, "--prior", f"{tiny.__file__}:prior", "--recipe", name]
    assert cli.main([*words, "--out", str(tmp_path), "--set", setting]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_pictures_are_rehearsed_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gamma"):
        image(
            tiny.PROMPT,
            recipe="dreamer-xl",
            prior=tiny.prior(),
            out=tmp_path,
            settings=["objective.gamma=2"],
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("progress", [0.0, 0.31, 0.5, 1.0])
def test_a_ramp_that_leaves_its_range_anywhere_is_noticed(progress: float) -> None:
    high = Ramp(tuple(sorted({0.0: 0.5, 0.9: 0.5, progress: -0.1}.items())))
    with pytest.raises(InputError, match="bounds"):
        rehearse(replace(find_recipe("dreamfusion"), timesteps=Uniform(low=0.02, high=high)))


@dataclass(frozen=True)
class Choosy(SDS):
    """Works with four channels only, as a part from outside may."""

    def gradient(self, prior, latent, *rest):
        if latent.shape[1] != 4:
            raise ValueError
        return super().gradient(prior, latent, *rest)


def test_what_a_part_cannot_do_with_a_toy_stops_no_run() -> None:
    rehearse(replace(find_recipe("dreamfusion"), objective=Choosy()))


def test_a_rehearsal_leaves_no_trace_in_what_follows() -> None:
    def first(recipe: Recipe) -> str:
        run = Run.start(tiny.PROMPT, recipe, tiny.prior(), 3)
        return str(next(iter(distill(run))))

    recipe = replace(tiny.recipe(), objective=SDS(guidance_scale=linear(2.0, 4.0)))
    before = first(recipe)
    rehearse(recipe)
    assert first(recipe) == before
