"""Runs: the state goes to disk and comes back to the last bit; what does not fit is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import tiny
from maquette.checkpoints import checkpoints_in
from maquette.distill import distill, step
from maquette.errors import CheckpointError, InputError, NumericalError, PriorError
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture
from maquette.run import Run


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def started(steps: int = 0) -> Run:
    run = Run.start(tiny.PROMPT, tiny.recipe(), tiny.prior(), seed=3)
    reports = distill(run)
    for _ in range(steps):
        next(reports)
    return run


def state(run: Run) -> dict[str, torch.Tensor]:
    return {
        **{f"scene.{k}": v.detach() for k, v in run.scene.parameters().items()},
        **{f"optimiser.{k}": v for k, v in run.optimiser.tensors().items()},
        **{f"memory.{k}": v for k, v in run.memory.items()},
        **{f"growth.{k}": v for k, v in run.growth.items()},
        "numbers": torch.tensor([run.step, run.skipped, run.prior.evaluations, run.random.seed]),
    }


def assert_same(a: Run, b: Run) -> None:
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("steps", [0, 1, 9, 10, 13])
def test_resumed_state_is_the_saved_one_and_goes_on_alike(tmp_path: Path, steps: int) -> None:
    run = started(steps)
    run.save(tmp_path)
    back = Run.resume(tmp_path, tiny.prior())
    assert_same(run, back)
    assert (back.prompt, back.recipe) == (run.prompt, run.recipe)
    for _ in range(3):
        ours, theirs = step(run), step(back)
        assert dataclasses.replace(ours, views=None) == dataclasses.replace(theirs, views=None)
        run.step, back.step = run.step + 1, back.step + 1
    assert_same(run, back)


def test_saving_changes_nothing(tmp_path: Path) -> None:
    run = started(3)
    before = {name: value.clone() for name, value in state(run).items()}
    run.save(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in state(run).items())
    assert all(value.grad is None for value in run.scene.parameters().values())


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = started()
    for _ in range(4):
        run.save(tmp_path)
        run.step += 5
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step-000015", "step-000010"]


def test_a_damaged_checkpoint_does_not_count_as_kept(tmp_path: Path) -> None:
    run = started()
    for _ in range(2):
        run.save(tmp_path)
        run.step += 5
    (tmp_path / "step-000005" / "scene.safetensors").write_bytes(b"")
    run.save(tmp_path)
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step-000010", "step-000000"]
    assert Run.resume(tmp_path, tiny.prior()).step == 10


def test_another_prior_is_refused(tmp_path: Path) -> None:
    started(1).save(tmp_path)
    other = GaussianMixture.from_pictures({tiny.PROMPT: torch.zeros(24, 24, 3)}, name="shapes")
    with pytest.raises(PriorError, match=r"another prior: .*eps"):
        Run.resume(tmp_path, other)


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    run = started(1)
    run.save(tmp_path)
    other = dataclasses.replace(tiny.recipe(), objective=SDS())
    with pytest.raises(InputError, match="another recipe"):
        Run.resume(tmp_path, tiny.prior(), other)
    assert_same(run, Run.resume(tmp_path, tiny.prior(), tiny.recipe()))


def test_a_prompt_that_the_prior_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="no law for 'a zebra'"):
        Run.start("a zebra", tiny.recipe(), tiny.prior())


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_no_checkpoint_is_said_in_a_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="There is no checkpoint in"):
        Run.resume(tmp_path / folder, tiny.prior())


@pytest.mark.parametrize("part", ["scene", "optimiser"])
def test_state_that_is_not_finite_is_never_saved(tmp_path: Path, part: str) -> None:
    run = started(2)
    run.save(tmp_path)
    run.step += 1
    if part == "scene":
        with torch.no_grad():
            run.scene.parameters()["means"][3, 1] = torch.nan
    else:
        tensors = run.optimiser.tensors()
        tensors["sh.second"][0] = torch.inf
        run.optimiser.load_tensors(tensors, run.scene)
    with pytest.raises(NumericalError, match=f"{part}: "):
        run.save(tmp_path)
    assert Run.resume(tmp_path, tiny.prior()).step == 2


def test_batch_order_and_time_do_not_enter_the_state(tmp_path: Path) -> None:
    first, second = started(4), started(4)
    a, b = first.save(tmp_path / "a"), second.save(tmp_path / "b")
    assert {p.name: p.read_bytes() for p in a.iterdir()} == {
        p.name: p.read_bytes() for p in b.iterdir()
    }


def test_size_is_estimated_from_above(tmp_path: Path) -> None:
    run = started(12)
    folder = run.save(tmp_path)
    real = sum(path.stat().st_size for path in folder.iterdir())
    assert real <= run.state_bytes() <= 4 * real
