"""The examples run, in their short forms, and do what they say."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

import tiny
from maquette.distill import distill
from maquette.export.ply import read_ply
from maquette.generation import generate
from maquette.lookup import find_recipe
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture
from maquette.randomness import Randomness
from maquette.records import Words
from maquette.run import Run

EXAMPLES = Path(__file__).parent.parent / "examples"
NEW_METHOD = f"{EXAMPLES / '04_new_method.py'}:mine"


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_opens_with_title_idea_and_usage(path: Path) -> None:
    assert re.fullmatch(r"\d\d_[a-z_]+\.py", path.name)
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert text.splitlines()[0].endswith(".")
    assert "\nIdea: " in text
    assert "\nUsage:\n" in text
    assert f"examples/{path.name}" in text


def test_generate_leaves_an_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("01_generate.py", "a red and blue mug", "1", monkeypatch=monkeypatch)
    folder = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert read_ply(folder / "asset.ply").count > 0


def test_parts_by_hand_bring_the_loss_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("02_parts_by_hand.py", "30", monkeypatch=monkeypatch)
    told = capsys.readouterr().out
    assert "step   30" in told
    assert 0 < read_ply(tmp_path / "disc.ply").count <= 300


def test_every_objective_of_the_analytic_example_arrives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("03_analytic_prior.py", "120", monkeypatch=monkeypatch)
    rows = re.findall(r"(\w+): distance (\S+) before, (\S+) after", capsys.readouterr().out)
    assert [name for name, _, _ in rows] == ["SDS", "CSD", "ISM"]
    for name, first, last in rows:
        assert float(last) < 0.25 * float(first), name


def test_the_new_method_runs_from_outside_the_tree(tmp_path: Path) -> None:
    recipe = find_recipe(NEW_METHOD)
    done = generate(
        tiny.PROMPT,
        recipe=NEW_METHOD,
        prior=tiny.prior(),
        out=tmp_path,
        steps=2,
        settings=("views=2", "size=24", "init.count=50", "objective.guidance_scale=3"),
        watch=tiny.watch(),
    )
    assert done.step == 2
    assert read_ply(done.asset).count > 0
    assert recipe.name == "mine"


def test_the_new_method_asks_twice_as_often_as_sds_and_is_deterministic() -> None:
    recipe = find_recipe(NEW_METHOD).tiny()
    runs = [Run.start(tiny.PROMPT, recipe, _prior()) for _ in range(2)]
    reports = [list(distill(run)) for run in runs]
    assert reports[0][-1].evaluations == 2 * 2 * 2 * 2  # Steps, views, conditions, noises.
    for one, other in zip(*(run.scene.parameters().values() for run in runs), strict=True):
        assert torch.equal(one, other)


def test_the_new_method_is_the_mean_of_sds_over_both_noises() -> None:
    class Flipped(Randomness):
        def normal(self, purpose: str, like: torch.Tensor) -> torch.Tensor:
            return -super().normal(purpose, like)

    prior = _prior()
    null = prior.condition([""])
    words = Words(prior.condition([tiny.PROMPT]), null, null)
    latent = torch.rand(1, *prior.latent_shape, generator=torch.Generator().manual_seed(0)).double()
    t, recipe = torch.tensor([400]), find_recipe(NEW_METHOD)
    mirrored = recipe.objective.gradient(prior, latent, t, words, {}, Randomness(3)).gradient
    sides = [
        SDS(guidance_scale=20.0).gradient(prior, latent, t, words, {}, random).gradient
        for random in (Randomness(3), Flipped(3))
    ]
    torch.testing.assert_close(mirrored, (sides[0] + sides[1]) / 2)


def _prior() -> GaussianMixture:
    pictures = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    return GaussianMixture.from_pictures({tiny.PROMPT: pictures[0]})
