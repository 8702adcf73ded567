"""The contract of a regulator of the pixel gradient, over every one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from parts import concrete, example, label
from torch import Tensor

import maquette.gradients
from maquette import serial
from maquette.errors import InputError, NumericalError
from maquette.gradients.base import Regulator
from maquette.records import Render

REGULATORS = concrete(maquette.gradients, Regulator)
VIEWS, HEIGHT, WIDTH = 2, 5, 4

pytestmark = pytest.mark.parametrize("part", REGULATORS, ids=label)


@dataclass(frozen=True)
class Splatted(Render):
    """A render of Gaussians that tells their scales."""

    scales: Tensor | None = None


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def render() -> Splatted:
    """A render that tells everything that a regulator may look at."""
    widths = {"colour": 3, "alpha": 1, "depth": 1, "normals": 3}
    pictures = {
        name: numbers(VIEWS, HEIGHT, WIDTH, width, seed=seed).sigmoid()
        for seed, (name, width) in enumerate(widths.items(), start=1)
    }
    radii = torch.ones(VIEWS, 7, 2, dtype=torch.int32)
    return Splatted(**pictures, radii=radii, scales=0.05 + 0.1 * numbers(7, 3).sigmoid())


def gradient(dtype: torch.dtype = torch.float64) -> Tensor:
    """Pixels from far below every threshold to far above it, in no order."""
    size = torch.logspace(-4, 2, VIEWS * HEIGHT * WIDTH, dtype=torch.float64)
    shuffled = size[numbers(len(size), seed=9).argsort()].reshape(VIEWS, HEIGHT, WIDTH, 1)
    return (numbers(VIEWS, HEIGHT, WIDTH, 3) * shuffled).to(dtype)


def moved(of: Render, move: Callable[[Tensor], Tensor]) -> Render:
    """The render with its pictures moved as ``move`` says."""
    names = ("colour", "alpha", "depth", "normals")
    return replace(of, **{name: move(getattr(of, name)) for name in names})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_answer_fits_the_gradient(part, dtype):
    given = gradient(dtype)
    answer = example(part, progress=0.5)(given, render())
    assert answer.shape == given.shape
    assert answer.dtype == dtype
    assert torch.isfinite(answer).all()
    assert not answer.requires_grad
    assert not torch.equal(answer, given)


def test_it_still_points_the_same_way(part):
    given = gradient()
    answer = example(part, progress=0.5)(given, render())
    assert bool((answer * given >= 0).all())
    assert bool(((answer * given).sum(-1) > 0).all())


def test_zero_stays_zero(part):
    given = torch.zeros(VIEWS, HEIGHT, WIDTH, 3, dtype=torch.float64)
    assert torch.equal(example(part, 0.5)(given, render()), given)
    some = gradient()
    some[:, 1:3] = 0
    assert torch.equal(example(part, 0.5)(some, render())[:, 1:3], some[:, 1:3])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_fault_is_not_painted_over(part, bad):
    given = gradient()
    given[1, 2, 3, 0] = bad
    with pytest.raises(NumericalError) as caught:
        example(part, 0.5)(given, render())
    assert caught.value.site == "encode backward"


def test_the_same_input_gives_the_same_bytes_without_global_randomness(part):
    before = torch.get_rng_state()
    first, second = (example(part, 0.5)(gradient(), render()) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_are_left_as_they_were(part):
    given, seen = gradient(), render()
    example(part, 0.5)(given, seen)
    assert torch.equal(given, gradient())
    for name, value in vars(render()).items():
        assert value is None or torch.equal(getattr(seen, name), value)


def test_it_knows_no_place_in_the_picture(part):
    made, given, seen = example(part, 0.5), gradient(), render()
    answer = made(given, seen)
    order = numbers(HEIGHT * WIDTH, seed=5).argsort()
    moves: list[Callable[[Tensor], Tensor]] = [
        lambda picture: picture.flip(1),
        lambda picture: picture.flip(2),
        lambda picture: picture.flatten(1, 2)[:, order].unflatten(1, (HEIGHT, WIDTH)),
        lambda picture: picture.flip(0),
    ]
    for move in moves:
        assert not torch.equal(move(given), given)
        assert torch.equal(made(move(given), moved(seen, move)), move(answer))


@pytest.mark.parametrize("threshold", [0.0, -0.1, float("inf"), float("nan")])
def test_a_threshold_that_is_none_is_refused(part, threshold):
    for name in {"threshold"} & serial.fields_of(part).keys():
        with pytest.raises(InputError, match=name):
            replace(example(part, 0.5), **{name: threshold})(gradient(), render())


def test_it_is_its_own_configuration(part):
    made = example(part)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.threshold = 0.5
    data = json.loads(json.dumps(serial.encode(made)))
    assert serial.decode(data, Regulator, "regulator") == made
    assert part.__doc__
