"""Runs that adapt a network, by a path and by a student with particles: after any death it ends in
the same bytes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from adapters import attending
from maquette.distill import distill
from maquette.generation import Result, generate
from maquette.inits.several import Several
from maquette.inits.sphere import Sphere
from maquette.objectives.ism import ISM
from maquette.objectives.vsd import VSD
from maquette.priors.lora import Adapter, LoRA
from maquette.priors.path import Fading, Forming, Retracing
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.run import Run
from maquette.scenes.growth import Growth
from maquette.scenes.particles import GrowthOfEach

PROMPT, STEPS = "a mug", 16
HALF = linear(0.0, 1.0, finish=0.5)
GROWTH: dict[str, Any] = {"gradient_threshold": 1e-6, "every": 4, "cap": 70, "floor": 40}
RECIPES: dict[str, dict[str, Any]] = {
    "a path that fades": {
        "path": Fading(Forming(Adapter(learning_rate=0.02), steps=3), progress=HALF),
        "objective": ISM(guidance_scale=3.0, stride=200),
    },
    "a path that is retraced": {
        "path": Retracing(Forming(Adapter(learning_rate=0.02), 4, keep_every=1), progress=HALF),
        "objective": ISM(guidance_scale=3.0, stride=200),
    },
    "particles and a student": {
        "objective": VSD(LoRA(Adapter(learning_rate=0.02, warmup_steps=4)), 3.0),
        "init": Several(Sphere(count=50, radius=0.6), 3),
        "growth": GrowthOfEach(**GROWTH),
    },
}

each_recipe = pytest.mark.parametrize("name", RECIPES)


def recipe(name: str) -> Recipe:
    given = {"init": Sphere(count=50, radius=0.6), "growth": Growth(**GROWTH), **RECIPES[name]}
    return dataclasses.replace(tiny.recipe(), **given, name="adapting", steps=STEPS, size=16)


def make(out: Path, name: str, **changes: object) -> Result:
    prior = attending(torch.float32)
    watch = tiny.watch(**changes)
    return generate(PROMPT, recipe=recipe(name), prior=prior, out=out, watch=watch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of each recipe to which nothing happened."""
    torch.set_num_threads(1)
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = make(tmp_path_factory.mktemp("whole"), name).folder
        return folders[name]

    return folder


def die(report: Any, deadly: int) -> None:
    if report.step == deadly:
        os.kill(os.getpid(), signal.SIGKILL)


# Step 3 is before the first checkpoint but that of the start, 8 on the path, 13 behind it.
@each_recipe
@pytest.mark.parametrize("deadly", [3, 8, 13])
def test_killed_and_resumed_it_ends_in_the_same_bytes(
    name: str,
    deadly: int,
    tmp_path: Path,
    whole: Callable[[str], Path],
    in_child: Callable[[Callable[[], int]], int],
) -> None:
    expected = tiny.digest(whole(name))

    def child() -> int:
        make(tmp_path, name, on_report=lambda report: die(report, deadly))
        return 0

    assert in_child(child) == -signal.SIGKILL
    told: list[str] = []
    result = make(tmp_path, name, announce=told.append)
    assert told == [f"Going on from step {deadly // 5 * 5} of {STEPS}"]
    assert tiny.digest(result.folder) == expected


@each_recipe
def test_what_adapts_is_at_work_and_comes_back_to_the_last_bit(name: str, tmp_path: Path) -> None:
    run = Run.start(PROMPT, recipe(name), attending(torch.float32))
    before = {key: value.clone() for key, value in (run.path | run.memory).items()}
    reports = distill(run)
    for _ in range(6):
        assert not next(reports).skipped
    run.save(tmp_path)
    back = Run.resume(tmp_path, attending(torch.float32))
    for ours, theirs in ((run.path, back.path), (run.memory, back.memory)):
        assert ours.keys() == theirs.keys()
        assert all(value.dtype == theirs[key].dtype for key, value in ours.items())
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    # A path stays what it was formed to be; a student goes on learning.
    changed = {
        key for key, value in (run.path | run.memory).items() if not same(value, before[key])
    }
    assert bool(changed) == (not run.path)
    assert run.path or any(key.startswith("weight.") for key in changed)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)
