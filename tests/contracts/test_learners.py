"""The contract of parts that learn: explicit state, made by ``init``, saved and resumed bitwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from parts import PROMPT, concrete, example, label, mixture
from torch import Tensor

import maquette.cameras
import maquette.gradients
import maquette.timesteps
from maquette.beginning import LEARNERS, learners
from maquette.distill import distill
from maquette.gradients.base import Fusion
from maquette.history import Learner
from maquette.inits.sphere import Sphere
from maquette.ramps import constant
from maquette.recipe import Recipe
from maquette.recipes.dreamfusion import small
from maquette.records import Outcome, Views
from maquette.run import Run
from maquette.scenes.growth import Growth
from maquette.timesteps.regional import RegionalTime
from maquette.timesteps.shared import Shared

PACKAGES = {
    "cameras": maquette.cameras,
    "timesteps": maquette.timesteps,
    "fusion": maquette.gradients,
}
ALL = {role: concrete(package, Learner) for role, package in PACKAGES.items()}
FOUND = [(role, part) for role, parts in ALL.items() for part in parts]
STEPS = 6

each_learner = pytest.mark.parametrize(
    ("role", "part"), FOUND, ids=[f"{role}-{label(part)}" for role, part in FOUND]
)


def made(part: type) -> Any:
    """The part at work from the first step to the last: windows of a run are held open."""
    part_made = example(part)
    if not issubclass(part, Fusion):
        return part_made
    open_now = {"strength": constant(1.0), "recorded": constant(1.0), "step_gap": 1.0}
    known = {field.name for field in dataclasses.fields(part_made)}
    return dataclasses.replace(part_made, **{k: v for k, v in open_now.items() if k in known})


def resolved(role: str, part: type) -> Any:
    """The part as a step sees it."""
    return getattr(dataclasses.replace(small(), **{role: made(part)}).at(0), role)


def outcome(step: int, count: int = 2) -> Outcome:
    views = Views.ring(count, start_deg=90.0 * step)
    gradients = {"means": torch.full((count, 3, 3), float(step)), "sh": torch.ones(count, 3, 1, 3)}
    t, value = torch.full((count,), 400 + step), torch.linspace(0.5, 1.0, count) / step
    return Outcome(step, views, t, value, gradients)


def taught(part: Any, steps: int = STEPS) -> dict[str, Tensor]:
    state = part.init()
    for step in range(1, steps + 1):
        state = part.learn(state, outcome(step))
    return state


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


def recipe(role: str, part: type) -> Recipe:
    """A small recipe with growth, so that what is remembered of Gaussians has to follow."""
    return dataclasses.replace(
        small(),
        **{role: made(part)},
        init=Sphere(count=20, radius=0.5),
        growth=Growth(gradient_threshold=0.0, every=2, cap=26, floor=10),
        steps=STEPS,
        views=2,
        size=4,
    )


def moved_on(run: Run, steps: int) -> Run:
    reports = distill(run)
    for _ in range(steps):
        next(reports)
    return run


def test_roles_and_the_parts_in_them_are_these() -> None:
    assert set(LEARNERS) == set(PACKAGES)
    for role, part in FOUND:
        assert learners(recipe(role, part))[role] == made(part)
    assert set(learners(small())) == {"cameras", "timesteps"}


@each_learner
def test_state_is_plain_tensors_of_the_parts_own(role: str, part: type) -> None:
    state = taught(resolved(role, part))
    assert same(safetensors.torch.load(safetensors.torch.save(state)), state) or not state
    assert all(type(value) is Tensor and not value.requires_grad for value in state.values())
    assert all(bool(torch.isfinite(value).all()) for value in state.values())


@each_learner
def test_learning_is_a_pure_function(role: str, part: type) -> None:
    sampler = resolved(role, part)
    state = taught(sampler, 3)
    before, heard = {name: value.clone() for name, value in state.items()}, outcome(4)
    after = sampler.learn(state, heard)
    assert same(state, before)
    assert same(after, sampler.learn(state, heard))
    assert not state or not same(after, state)
    # Nothing that is kept changes with what a step goes on to do with its own tensors.
    kept = {name: value.clone() for name, value in after.items()}
    for value in (*heard.gradients.values(), heard.value):
        value.zero_()
    assert same(after, kept)


@each_learner
def test_a_loss_that_is_not_finite_spoils_nothing(role: str, part: type) -> None:
    sampler = resolved(role, part)
    bad = dataclasses.replace(outcome(4), value=torch.tensor([torch.nan, torch.inf]))
    state = sampler.learn(sampler.learn(taught(sampler, 3), bad), outcome(5))
    assert all(bool(torch.isfinite(value).all()) for value in state.values())


@each_learner
def test_a_run_keeps_it_under_the_name_of_its_role(role: str, part: type) -> None:
    run = Run.start(PROMPT, recipe(role, part), mixture(4))
    assert same(run.learnt(role), made(part).init())
    moved_on(run, 2)
    assert {name.partition(".")[0] for name in run.memory} <= {role}
    assert run.learnt() == {}
    assert len(run.learnt(role)) == len(run.memory)


@each_learner
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_it_is_saved_and_resumed_to_the_last_bit(
    role: str, part: type, steps: int, tmp_path: Path
) -> None:
    run = moved_on(Run.start(PROMPT, recipe(role, part), mixture(4), seed=2), steps)
    run.save(tmp_path)
    back = Run.resume(tmp_path, mixture(4))
    assert same(run.memory, back.memory)
    for one in (run, back):
        moved_on(one, STEPS - steps)
    assert same(run.memory, back.memory)
    for name, value in run.scene.parameters().items():
        assert torch.equal(value, back.scene.parameters()[name])


def test_a_wrapper_learns_for_what_it_wraps() -> None:
    inner = RegionalTime(unit=0.1)
    assert same(Shared(inner).init(), inner.init())
    assert same(taught(Shared(inner)), taught(inner))
    assert bool(taught(inner)["local"].any())
