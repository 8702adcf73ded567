"""The benchmark: its statistics, its prompts and entrants, and a table that survives kill -9."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from maquette.bench.entrants import ABLATIONS, Entrant, ablation, entrants
from maquette.bench.prompts import drawn_prompts, is_unseen, listed_prompts
from maquette.bench.statistics import interval, lead
from maquette.bench.toy import bench_toy
from maquette.errors import InputError
from maquette.lookup import recipe_names
from maquette.rehearsal import rehearse
from maquette.toybox.captions import caption, parse


def test_an_interval_is_over_prompts_whose_seeds_stay_together() -> None:
    values = {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 1.0, ("c", 0): math.nan, ("d", 0): None}
    found = interval(values)
    assert found.count == 2
    assert found.mean == pytest.approx(0.75)
    assert (found.low, found.high) == (0.5, 1.0)


def test_an_interval_has_the_width_of_the_means_deviation() -> None:
    random = np.random.Generator(np.random.Philox(1))
    values = {(str(i), 0): float(random.normal()) for i in range(400)}
    found = interval(values)
    expected = 1.96 * np.std(list(values.values())) / 20
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.08)
    assert interval({("a", 0): 3.0, ("b", 0): 3.0}).low == 3.0
    assert interval({}).count == 0


def test_a_lead_is_compared_run_by_run() -> None:
    one = {(str(i), 0): float(i) for i in range(9)}
    other = {(str(i), 0): i - 0.5 for i in range(5)} | {("x", 0): 9.0, ("5", 0): None}
    found = lead(one, other)
    assert (found.mean, found.low, found.high, found.count) == (0.5, 0.5, 0.5, 5)


def test_prompts_are_told_in_full_and_every_third_is_unseen() -> None:
    prompts = drawn_prompts(30, 3)
    assert prompts == drawn_prompts(30, 3) != drawn_prompts(30, 4)
    assert len(set(prompts)) == 30
    assert [is_unseen(prompt) for prompt in prompts] == [False] * 20 + [True] * 10
    assert all(parse(prompt).colours for prompt in prompts)
    assert all(caption(parse(prompt)) == prompt for prompt in prompts)
    assert len({parse(prompt).kind for prompt in prompts[:20]}) == 20
    assert not is_unseen("anything else")


def test_prompts_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a red mug\n a blue duck \n")
    assert listed_prompts(path) == ["a red mug", "a blue duck"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red mug\n\na duck\n", "Line 2 of .* holds no prompt"),
        ("a red mug\na duck\na red mug\n", "Line 3 of .* repeats 'a red mug'"),
        ("", "Line 1 of .* holds no prompt"),
        (None, "cannot be read"),
    ],
)
def test_bad_lists_of_prompts_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        listed_prompts(path)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablations_entrants_can_run_and_differ(name: str) -> None:
    found = ablation(name)
    assert len({entrant.name for entrant in found}) == len(found) >= 5
    recipes = [entrant.made() for entrant in found]
    for place, recipe in enumerate(recipes):
        rehearse(recipe)
        assert recipe not in recipes[:place]


def test_every_recipe_can_take_part_and_unknown_names_are_refused() -> None:
    assert [entrant.recipe for entrant in entrants(recipe_names())] == recipe_names()
    with pytest.raises(InputError, match="nearest is maquette"):
        entrants(["maquete"])
    with pytest.raises(InputError, match="twice"):
        entrants(["csd", "csd"])
    with pytest.raises(InputError, match="nearest is cograd3d"):
        ablation("cograd")


QUICK = (Entrant("own", "maquette", ("init=sphere", "views=1")), Entrant("other", "dreamfusion"))
PROMPTS = ("a red and blue mug", "a green cactus")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ()}, "compare nothing"),
        ({"entrants": ()}, "compare nothing"),
        ({"budget": 0}, "compare nothing"),
        ({"processes": 0}, "compare nothing"),
        ({"prompts": ("a red mug", "a red mug")}, "twice"),
        ({"seeds": (1, 1)}, "seed 1 is there twice"),
        ({"prompts": ("a dragon",)}, "does not know 'dragon'"),
        ({"entrants": (Entrant("x", "csd", ("steps=0",)),)}, "cannot be made"),
    ],
)
def test_what_compares_nothing_is_refused_and_nothing_written(
    change: dict, message: str, tmp_path: Path
) -> None:
    given = {"entrants": QUICK, "prompts": PROMPTS, **change}
    options = {name: value for name, value in given.items() if name not in ("entrants", "prompts")}
    with pytest.raises(InputError, match=message):
        bench_toy(given["entrants"], given["prompts"], out=tmp_path / "bench", **options)
    assert not (tmp_path / "bench").exists()


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_bench import PROMPTS, QUICK
from maquette.bench.toy import bench_toy
if __name__ == "__main__":
    bench_toy(QUICK, PROMPTS, budget=24, processes=2, out=Path({out!r}))
"""


def _begin(out: Path, program: Path) -> subprocess.Popen:
    program.write_text(PROGRAM.format(tests=str(Path(__file__).parent), out=str(out)))
    return subprocess.Popen([sys.executable, program], stdout=subprocess.DEVNULL)


def _facts(out: Path) -> dict:
    found = json.loads((out / "bench.json").read_text())
    for row in found["results"]:
        del row["cpu_seconds"]
    for part in ("rows", "unseen", "leads"):
        for row in found["table"][part].values():
            row.pop("cpu_seconds", None)
    return found


def test_a_killed_benchmark_comes_to_the_same_table(tmp_path: Path) -> None:
    whole = _begin(tmp_path / "whole", tmp_path / "whole.py")
    assert whole.wait(300) == 0
    broken, killed = tmp_path / "broken", 0
    while True:
        running = _begin(broken, tmp_path / "broken.py")
        started = time.monotonic()
        while running.poll() is None and time.monotonic() - started < 300:
            made = len(list((broken / "runs").glob("*/metrics.json"))) if broken.exists() else 0
            if killed < 2 and made > killed:
                os.kill(running.pid, signal.SIGKILL)
                killed += 1
            time.sleep(0.02)
        if running.wait() == 0:
            break
    assert killed == 2
    assert _facts(broken) == _facts(tmp_path / "whole")
    found = _facts(broken)
    assert [row["entrant"] for row in found["results"]] == ["own", "own", "other", "other"]
    assert all(len(row["curve"]) >= 2 for row in found["results"])
    assert all(row["curve"][-1]["clip_score"] is not None for row in found["results"])
    assert set(found["table"]["leads"]) == {"other"}
    sheets = sorted(path.name for path in broken.glob("sheet-*.png"))
    assert sheets == ["sheet-other.png", "sheet-own.png"]
