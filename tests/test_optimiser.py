"""Adam: its formula, surgery that leaves survivors alone, resume to the last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from maquette.errors import CheckpointError, InputError
from maquette.inits.sphere import Sphere
from maquette.optimiser import Adam
from maquette.ramps import Number
from maquette.randomness import Randomness
from maquette.scenes.gaussians import Gaussians
from maquette.scenes.particles import Particles

RATES: dict[str, Number] = {
    "means": 1e-3,
    "log_scales": 5e-3,
    "quats": 1e-3,
    "logit_opacities": 5e-2,
    "sh": 1e-2,
}


def ball(count: int = 12) -> Gaussians:
    return Sphere(count=count, sh_degree=1).make("", Randomness(0))


def pull(scene: Gaussians, step: int, scale: float = 1.0) -> dict[str, Tensor]:
    """Gradients that depend on step and parameters, as real ones do."""
    generator = torch.Generator().manual_seed(step)
    gradients = {}
    for name, parameter in scene.parameters().items():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        gradients[name] = scale * (parameter.detach() + noise)
        parameter.grad = gradients[name].clone()
    return gradients


def walk(scene: Gaussians, optimiser: Adam, steps: range) -> None:
    for step in steps:
        pull(scene, step)
        optimiser.step(scene, RATES)


def test_equals_torch_adam_in_double_precision() -> None:
    ours = Gaussians(**{name: value.double() for name, value in ball().tensors().items()})
    theirs = {name: value.clone().requires_grad_() for name, value in ours.tensors().items()}
    groups = [{"params": [theirs[name]], "lr": rate} for name, rate in RATES.items()]
    reference = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    optimiser = Adam()
    for step in range(50):
        for name, gradient in pull(ours, step).items():
            theirs[name].grad = gradient
        optimiser.step(ours, RATES)
        reference.step()
    for name, value in ours.parameters().items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-12, atol=1e-14)


def test_the_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    for scale in (1e-10, 1.0, 1e10):
        scene, optimiser = ball(), Adam()
        before = scene.tensors()
        gradients = pull(scene, 0, scale)
        optimiser.step(scene, RATES)
        moved = before["means"] - scene.means.detach()
        expected = 1e-3 * gradients["means"].sign()
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-7)


def test_gradients_are_dropped_after_a_step_and_by_clear() -> None:
    scene, optimiser = ball(), Adam()
    pull(scene, 0)
    optimiser.step(scene, {"means": 1e-3})
    assert all(value.grad is None for value in scene.parameters().values())
    pull(scene, 1)
    optimiser.clear(scene)
    assert all(value.grad is None for value in scene.parameters().values())


def test_rates_may_change_and_unnamed_parameters_stay() -> None:
    scene, optimiser = ball(), Adam()
    before = scene.tensors()
    pull(scene, 0)
    optimiser.step(scene, {"means": 0.5, "sh": 0.0})
    assert not torch.equal(scene.means, before["means"])
    for name in ("log_scales", "quats", "logit_opacities", "sh"):
        assert torch.equal(scene.parameters()[name], before[name])
    at_once = scene.tensors()["means"]
    pull(scene, 1)
    optimiser.step(scene, {"means": 1e-6})
    assert (scene.means - at_once).abs().max().item() < 1e-5


def test_parameters_without_a_gradient_stay() -> None:
    scene, optimiser = ball(), Adam()
    before = scene.tensors()
    optimiser.step(scene, RATES)
    assert all(torch.equal(before[name], value) for name, value in scene.parameters().items())
    assert optimiser.tensors() == {}


def test_a_rate_for_nothing_is_refused_before_anything_moves() -> None:
    scene, optimiser = ball(), Adam()
    before = scene.tensors()
    pull(scene, 0)
    with pytest.raises(InputError, match="colour"):
        optimiser.step(scene, {"means": 1e-3, "colour": 1e-3})
    assert torch.equal(before["means"], scene.means)


@pytest.mark.parametrize("options", [{"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": 0.0}])
def test_constants_that_make_no_adam_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Adam(**options)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_surgery_keeps_surviving_moments_bitwise(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    scene, optimiser = ball(count), Adam()
    walk(scene, optimiser, range(3))
    before = optimiser.tensors()
    kept = torch.tensor(
        data.draw(st.lists(st.integers(0, count - 1), unique=True)), dtype=torch.int64
    )
    appended = data.draw(st.integers(0, 5))
    optimiser.select(kept, appended)
    after = optimiser.tensors()
    assert list(after) == list(before)
    for key, value in after.items():
        if key.endswith(".steps"):
            assert torch.equal(value, before[key])
            continue
        assert len(value) == len(kept) + appended
        assert torch.equal(value[: len(kept)], before[key][kept])
        assert not bool(value[len(kept) :].any())


def test_survivors_go_on_as_if_the_others_had_never_been() -> None:
    """After surgery, rows move exactly as they would have in a scene of their own."""
    whole, optimiser = ball(12), Adam()
    kept = torch.tensor([1, 4, 5, 9])
    part = Gaussians(**{name: value[kept] for name, value in whole.tensors().items()})
    alone = Adam()

    def both(step: int, cut: bool) -> None:
        gradients = pull(ball(12), step)
        for name, gradient in gradients.items():
            rows = gradient[kept].clone()
            whole.parameters()[name].grad = rows if cut else gradient
            part.parameters()[name].grad = rows.clone()
        optimiser.step(whole, RATES)
        alone.step(part, RATES)

    for step in range(4):
        both(step, cut=False)
    whole.replace({name: value[kept] for name, value in whole.tensors().items()})
    optimiser.select(kept)
    for step in range(4, 44):
        both(step, cut=True)
    for name, value in whole.parameters().items():
        assert torch.equal(value, part.parameters()[name])


def test_select_before_the_first_step_changes_nothing() -> None:
    optimiser = Adam()
    optimiser.select(torch.tensor([0]), 3)
    assert optimiser.tensors() == {}


def test_a_part_shares_its_moments_and_leaves_all_others_alone() -> None:
    scene = Particles([ball(), ball(5)])
    optimiser, kept = Adam(), torch.tensor([4, 0])
    for step in range(3):
        for particle in scene.scenes:
            pull(particle, step)  # pyright: ignore[reportArgumentType]
        optimiser.step(scene, scene.rates(RATES))
    before = optimiser.tensors()
    part = optimiser.part("1.")
    assert part.tensors().keys() == {k[2:] for k in before if k.startswith("1.")}
    part.select(kept, 3)
    part.reset(["sh"])
    after = optimiser.tensors()
    assert list(after) == list(before)
    for key, value in after.items():
        if key.startswith("0.") or key.endswith(".steps"):
            assert torch.equal(value, before[key]), key
        elif key.startswith("1.sh."):
            assert value.shape == (5, *before[key].shape[1:])
            assert not bool(value.any())
        else:
            assert torch.equal(value[:2], before[key][kept]), key
            assert not bool(value[2:].any())


def test_reset_zeroes_the_moments_named_and_keeps_the_count() -> None:
    scene, optimiser = ball(), Adam()
    walk(scene, optimiser, range(3))
    before = optimiser.tensors()
    optimiser.reset(["logit_opacities"])
    after = optimiser.tensors()
    assert not bool(after["logit_opacities.first"].any())
    assert not bool(after["logit_opacities.second"].any())
    assert int(after["logit_opacities.steps"]) == 3
    assert torch.equal(after["means.first"], before["means.first"])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 20))
def test_a_resumed_optimiser_goes_on_bitwise(cut: int) -> None:
    scene, optimiser = ball(), Adam()
    walk(scene, optimiser, range(20))
    half, first = ball(), Adam()
    walk(half, first, range(cut))
    stored = load(save(first.tensors())) if cut else {}
    again, second = Gaussians.from_tensors(half.tensors()), Adam()
    second.load_tensors(stored, again)
    walk(again, second, range(cut, 20))
    for name, value in scene.parameters().items():
        assert torch.equal(value, again.parameters()[name])
    for key, value in optimiser.tensors().items():
        assert torch.equal(value, second.tensors()[key])


def test_a_loaded_state_is_a_copy() -> None:
    scene, optimiser = ball(), Adam()
    walk(scene, optimiser, range(2))
    stored = optimiser.tensors()
    again = Adam()
    again.load_tensors(stored, scene)
    stored["means.first"].fill_(9.0)
    assert not bool((again.tensors()["means.first"] == 9.0).any())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour.first": torch.zeros(12, 3)}, "belongs to nothing"),
        ({"means.third": torch.zeros(12, 3)}, "belongs to nothing"),
        ({"means": torch.zeros(12, 3)}, "belongs to nothing"),
        ({"means.first": torch.zeros(11, 3)}, "needs"),
        ({"means.first": torch.zeros(12, 3).double()}, "needs"),
        ({"means.steps": torch.zeros(())}, "needs"),
        ({"means.steps": None}, "lacks"),
    ],
)
def test_a_state_of_another_scene_is_refused(change: dict, message: str) -> None:
    scene, optimiser = ball(), Adam()
    walk(scene, optimiser, range(2))
    before = optimiser.tensors()
    changed = {**before, **change}
    stored = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        optimiser.load_tensors(stored, scene)
    assert all(torch.equal(before[key], value) for key, value in optimiser.tensors().items())
