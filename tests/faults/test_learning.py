"""A run whose cameras, timesteps and fusion learn: after any death it ends in the same bytes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from maquette.cameras.adaptive import AdaptiveRegions
from maquette.distill import distill
from maquette.generation import Result, generate
from maquette.gradients.base import Fusion, Regulator
from maquette.gradients.fusion import OrthogonalFusion
from maquette.history import Regions
from maquette.ramps import steps
from maquette.recipe import Recipe
from maquette.records import Outcome, Render, Report
from maquette.run import Run
from maquette.scenes.base import Scene
from maquette.scenes.growth import Growth
from maquette.timesteps.regional import RegionalTime

FEW = Regions(elevations=2, azimuths=5, distances=1)
FUSED = range(10, 29)
"""Steps of the tiny run, counted from 0, in which neighbours count: progress 0.25 to 0.75."""


def recipe(**changes: object) -> Recipe:
    """The tiny run with all three parts, on so few regions that neighbours meet."""
    parts = {
        "cameras": AdaptiveRegions(regions=FEW),
        "timesteps": RegionalTime(regions=FEW, unit=1e-3),
        "fusion": OrthogonalFusion(
            regions=FEW,
            strength=steps((0.0, 0.0), (0.25, 1.0), (0.75, 0.0)),
            recorded=steps((0.0, 0.0), (0.2, 1.0), (0.75, 0.0)),
            step_gap=0.5,
            t_gap=200.0,
        ),
    }
    return dataclasses.replace(tiny.recipe(), name="learning", **{**parts, **changes})  # pyright: ignore


def make(out: Path, **changes: object) -> Result:
    return generate(
        tiny.PROMPT, recipe=recipe(), prior=tiny.prior(), out=out, watch=tiny.watch(**changes)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run to which nothing happened."""
    torch.set_num_threads(1)
    return make(tmp_path_factory.mktemp("whole")).folder


def started(recipe: Recipe, taken: int = 0) -> Run:
    run = Run.start(tiny.PROMPT, recipe, tiny.prior(), seed=3)
    reports = distill(run)
    for _ in range(taken):
        next(reports)
    return run


def kept(run: Run) -> int:
    """How many gradients the fusion keeps."""
    return sum(name.endswith(".means") for name in run.learnt("fusion"))


# Step 3 is before the fusion, 13 and 23 lie in it (growth acted in between), 33 behind it.
@pytest.mark.parametrize("deadly", [3, 13, 23, 33])
def test_killed_and_resumed_it_ends_in_the_same_bytes(
    deadly: int, tmp_path: Path, whole: Path
) -> None:
    child = os.fork()
    if child == 0:
        make(
            tmp_path, on_report=lambda r: r.step == deadly and os.kill(os.getpid(), signal.SIGKILL)
        )
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told: list[str] = []
    result = make(tmp_path, announce=told.append)
    assert told == [f"Going on from step {deadly // 5 * 5} of 40"]
    assert tiny.digest(result.folder) == tiny.digest(whole)


@pytest.mark.parametrize("taken", [1, 9, 14, 20, 27, 35])
def test_what_was_learnt_comes_back_to_the_last_bit(taken: int, tmp_path: Path) -> None:
    run = started(recipe(), taken)
    run.save(tmp_path)
    back = Run.resume(tmp_path, tiny.prior())
    assert run.memory.keys() == back.memory.keys()
    for name, value in run.memory.items():
        assert value.dtype == back.memory[name].dtype
        assert torch.equal(value, back.memory[name]), name
    assert (kept(run) > 0) == (9 <= taken < 29)


def test_every_part_has_its_say() -> None:
    """Each part alone changes what comes out, and the fusion from its first step on."""
    off = {"strength": 0.0, "recorded": 0.0}
    plain = {
        "timesteps": dataclasses.replace(recipe().timesteps, coupling=0.0),  # pyright: ignore
        "cameras": dataclasses.replace(recipe().cameras, temperature=float("inf")),  # pyright: ignore
        "fusion": dataclasses.replace(recipe().fusion, **off),  # pyright: ignore
    }
    means = started(recipe(), 30).scene.parameters()["means"]
    for role, without in plain.items():
        other = started(recipe(**{role: without}), 30).scene.parameters()["means"]
        assert means.shape != other.shape or not torch.equal(means, other), role


def test_memory_is_bounded_follows_growth_and_is_given_back() -> None:
    run, counts = started(recipe()), set()
    for report in distill(run):
        state = run.learnt("fusion")
        assert kept(run) <= FEW.count
        for name, value in state.items():
            assert name in ("step", "t") or len(value) == run.scene.count == report.count
        if kept(run):
            counts.add(run.scene.count)
        inside = 0.2 <= (report.step - 1) / (tiny.STEPS - 1) < 0.75
        assert (kept(run) > 0) == inside
    assert len(counts) > 1, "growth should have acted while gradients were kept"


@dataclasses.dataclass(frozen=True)
class Spy(Fusion):
    """Changes nothing, and tells what it was shown."""

    see: Callable[[Outcome], object] = print

    def fuse(self, state: dict[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        self.see(outcome)
        return outcome.gradients


@dataclasses.dataclass(frozen=True)
class FirstOnly(Regulator):
    """Leaves the gradient of the first view alone and takes away all others."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        return torch.cat([pixel_gradient[:1], torch.zeros_like(pixel_gradient[1:])])


def asked(run: Run, **changes: object) -> dict[str, Tensor]:
    """The gradients that the optimiser gets at the next step, with some changes to the recipe."""
    found: dict[str, Tensor] = {}

    def note(scene: Scene, _: object) -> None:
        found.update({name: value.grad for name, value in scene.parameters().items()})  # pyright: ignore
        run.optimiser.clear(scene)

    run.recipe = dataclasses.replace(run.recipe, **changes)  # pyright: ignore[reportArgumentType]
    run.optimiser.step = note  # pyright: ignore[reportAttributeAccessIssue]
    next(distill(run))
    return found


def assert_near(actual: Tensor, expected: Tensor) -> None:
    bound = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=0, atol=bound)


def test_a_fusion_sees_what_each_view_alone_asks_of_the_scene() -> None:
    """Their sum and the regulariser's are the gradient of the step without a fusion."""
    shown: list[Outcome] = []
    spy = Spy(shown.append)
    # After some steps, because round Gaussians ask nothing of their orientations.
    runs = [started(recipe(fusion=None, growth=Growth(every=1000)), 5) for _ in range(3)]
    plain, spied = asked(runs[0]), asked(runs[1], fusion=spy)
    unregulated = asked(runs[2], fusion=spy, losses=())
    for name, value in plain.items():
        alone = shown[0].gradients[name]
        assert alone.shape == (2, *value.shape)
        assert not torch.equal(alone[0], alone[1])
        assert_near(spied[name], value)
        assert_near(unregulated[name], alone.sum(0))
        assert torch.equal(alone, shown[1].gradients[name])
    assert not torch.equal(spied["logit_opacities"], unregulated["logit_opacities"])
    # Growth reads the gradients on the screen, which have to be the same as well.
    for name in ("gradient", "extent", "seen"):
        assert_near(runs[1].growth[name].double(), runs[0].growth[name].double())


def test_the_gradient_of_a_view_does_not_know_the_others() -> None:
    shown: list[Outcome] = []
    run = started(recipe(fusion=None), 5)
    asked(run, fusion=Spy(shown.append), gradients=(FirstOnly(),))
    for value in shown[0].gradients.values():
        assert bool(value[0].any())
        assert not bool(value[1].any())


def test_a_parameter_that_is_held_fixed_is_not_fused() -> None:
    shown: list[Outcome] = []
    rates = {k: v for k, v in recipe().rates.items() if k != "quats"}
    run = started(recipe(fusion=None, rates=rates))
    before = run.scene.parameters()["quats"].detach().clone()
    run.recipe = dataclasses.replace(run.recipe, fusion=Spy(shown.append))
    next(distill(run))
    assert set(shown[0].gradients) == set(rates)
    assert torch.equal(run.scene.parameters()["quats"], before)


@dataclasses.dataclass(frozen=True)
class Broken(Fusion):
    """Makes a number that is none of every gradient."""

    def fuse(self, state: dict[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        return {name: value / 0.0 for name, value in outcome.gradients.items()}


def test_a_step_with_a_value_that_is_not_finite_teaches_nothing() -> None:
    run = started(recipe(), 14)
    before = {name: value.clone() for name, value in run.memory.items()}
    scene = {name: value.detach().clone() for name, value in run.scene.parameters().items()}
    run.recipe = recipe(fusion=Broken())
    report: Report = next(distill(run))
    assert report.skipped.startswith("render backward: ")
    assert run.memory.keys() == before.keys()
    assert all(torch.equal(run.memory[name], before[name]) for name in before)
    for name, value in run.scene.parameters().items():
        assert torch.equal(value, scene[name])
        assert value.grad is None


def test_a_run_without_a_fusion_takes_one_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one with a fusion takes as many as there are views, only where it asks."""
    passes: list[int] = []
    real = torch.autograd.backward

    def counted(*args: object, **options: object) -> None:
        passes[-1] += 1
        real(*args, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(torch.autograd, "backward", counted)
    for fusion, wanted in ((None, [1] * 40), (recipe().fusion, [1] * 8 + [3] * 22 + [1] * 10)):
        passes.clear()
        run = started(recipe(fusion=fusion))
        reports = distill(run)
        for _ in range(tiny.STEPS):
            passes.append(0)
            next(reports)
        assert passes == wanted
