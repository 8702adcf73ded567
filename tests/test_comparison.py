"""Comparing recipes: equal budgets, one sheet, one table, and nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.cli import main
from maquette.comparison import Comparison, compare
from maquette.costs import evaluations_per_step, steps_within
from maquette.errors import InputError
from maquette.generation import Watch
from maquette.lookup import find_recipe
from maquette.priors.analytic import GaussianMixture

RECIPES = ("dreamfusion", "luciddreamer")
BUDGET = 48
PROMPT = "a disc"


def prior() -> GaussianMixture:
    """Knows a red disc in pictures of the size that recipes render."""
    axis = torch.linspace(-1, 1, 64)
    disc = (axis[:, None] ** 2 + axis[None, :] ** 2 < 0.4)[..., None]
    red, grey = torch.tensor([0.8, 0.2, 0.1]), torch.full((3,), 0.5)
    return GaussianMixture.from_pictures({PROMPT: torch.where(disc, red, grey)}, name="disc")


def compared(out: Path, **changes: object) -> Comparison:
    options: dict = {"seeds": 2, "budget": BUDGET, "prior": prior(), "out": out, **changes}
    return compare(PROMPT, RECIPES, **options)


def test_every_run_has_the_same_budget_and_a_row(tmp_path: Path) -> None:
    done = compared(tmp_path)
    assert [(e.recipe, e.seed) for e in done.entries] == [(r, s) for r in RECIPES for s in (0, 1)]
    for entry in done.entries:
        step = evaluations_per_step(find_recipe(entry.recipe))
        assert abs(entry.evaluations - BUDGET) <= 1.5 * step
    means = done.means()
    assert means["dreamfusion"]["evaluations"] == BUDGET
    assert means["dreamfusion"]["prompt_right"] is None
    assert "disc" in done.note
    table = json.loads((done.folder / "comparison.json").read_text())
    assert [row["recipe"] for row in table["runs"]] == [e.recipe for e in done.entries]
    assert table["budget"] == BUDGET
    sheet = np.asarray(Image.open(done.folder / "comparison.png"))
    assert sheet.shape[0] > 4 * 96
    assert sheet.shape[1] >= 8 * 96
    # Each of the four rows shows something.
    assert all((band < 200).any() for band in np.array_split(sheet, 4))


def test_finished_runs_are_kept_and_a_stopped_comparison_goes_on(tmp_path: Path) -> None:
    def stop(name: str, seed: int) -> Watch:
        if (name, seed) == ("luciddreamer", 1):
            raise ZeroDivisionError
        return Watch(turntable=False)

    with pytest.raises(ZeroDivisionError):
        compared(tmp_path, watch=stop)
    (folder,) = tmp_path.iterdir()
    kept = json.loads((folder / "comparison.json").read_text())["runs"]
    assert len(kept) == 3
    done = compared(tmp_path)
    assert done.folder == folder
    rows = json.loads((folder / "comparison.json").read_text())["runs"]
    assert rows[:3] == kept
    assert len(rows) == 4


def test_steps_fill_the_budget_as_nearly_as_they_can() -> None:
    for name in RECIPES:
        recipe = find_recipe(name)
        steps, cost = steps_within(recipe, 10_000), evaluations_per_step(recipe)
        assert abs(steps * cost - 10_000) <= cost / 2
    assert steps_within(find_recipe("luciddreamer"), 1) == 1


@pytest.mark.parametrize(
    ("recipes", "changes"),
    [((), {}), (("csd",), {"seeds": 0}), (("csd",), {"budget": 0}), (("csd", "csd"), {})],
)
def test_what_compares_nothing_is_refused(tmp_path: Path, recipes: tuple, changes: dict) -> None:
    with pytest.raises(InputError):
        compare(PROMPT, recipes, prior=prior(), out=tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "disc.py"
    file.write_text("from test_comparison import prior\n")
    words = ["compare", PROMPT, "--recipes", "sjc, csd", "--budget", "16"]
    more = ["--prior", f"{file}:prior", "--out", str(tmp_path / "runs")]
    assert main([*words, *more]) == 0
    told = capsys.readouterr()
    assert "sjc" in told.out
    assert "csd" in told.out
    assert " 16 " in told.out
    folder = Path(told.out.split()[-1])
    assert (folder / "comparison.png").is_file()
    assert "sjc, seed 0" in told.err
    assert main(["compare", PROMPT, "--recipes", "sjc,none", *more]) == 2
    assert "no recipe 'none'" in capsys.readouterr().err
