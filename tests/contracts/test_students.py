"""The contract of a student, over every student."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from parts import concrete, example, label
from torch import Tensor

import maquette.priors
from adapters import T, attending, numbers, words_of
from maquette.priors.base import Student
from maquette.randomness import Randomness
from maquette.records import Words

RANDOM = Randomness(3)

pytestmark = pytest.mark.parametrize("part", concrete(maquette.priors, Student), ids=label)


def latents(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return numbers(4, 4, 8, 8, seed=seed, dtype=dtype)


def taught(part: type, batches: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    student, prior = example(part, progress=0.5), attending(dtype)
    state = student.init(prior)
    for step in range(batches):
        given = latents(step, dtype)
        state = student.learn(prior, state, given, words_of(prior), RANDOM.at(step))
    return state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_the_answer_fits_the_latents(part, batches, dtype):
    prior, noised = attending(dtype), latents(9, dtype)
    student = example(part, progress=0.5)
    eps = student.predict(prior, taught(part, batches, dtype), noised, T, words_of(prior))
    assert eps.shape == noised.shape
    assert eps.dtype == dtype
    assert torch.isfinite(eps).all()
    assert not eps.requires_grad


def test_what_it_learns_it_answers(part):
    prior, student, noised = attending(), example(part, progress=0.5), latents(9)
    before, after = (
        student.predict(prior, taught(part, batches), noised, T, words_of(prior))
        for batches in (0, 1)
    )
    assert not torch.equal(before, after)


def test_the_state_is_tensors_of_lasting_names(part):
    states = [taught(part, batches) for batches in (0, 1, 2)]
    assert states[0].keys() == states[1].keys() == states[2].keys()
    for name, value in states[2].items():
        assert isinstance(value, Tensor)
        assert not value.requires_grad
        assert value.shape == states[0][name].shape
        assert torch.isfinite(value.double()).all()


def test_the_same_stream_teaches_the_same_and_no_other_is_used(part):
    before = torch.get_rng_state()
    one, two = taught(part, 2), taught(part, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_rows_never_mix_in_an_answer(part):
    prior, student, noised = attending(), example(part, progress=0.5), latents(9)
    state, words = taught(part, 2), words_of(prior)
    together = student.predict(prior, state, noised, T, words)
    for row in range(4):
        rows = slice(row, row + 1)
        assert words.views is not None
        positive, null = words.positive.rows(rows), words.null.rows(rows)
        own = Words(positive, null, null, views=words.views[rows])
        alone = student.predict(prior, state, noised[rows], T[rows], own)
        torch.testing.assert_close(alone, together[rows], rtol=1e-10, atol=1e-11)


def test_inputs_are_left_as_they_were(part):
    prior, student = attending(), example(part, progress=0.5)
    state, given = taught(part, 1), latents(5)
    copies = {name: value.clone() for name, value in state.items()}, given.clone()
    network = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    student.learn(prior, state, given, words_of(prior), RANDOM)
    student.predict(prior, state, given, T, words_of(prior))
    assert all(torch.equal(value, state[name]) for name, value in copies[0].items())
    assert torch.equal(given, copies[1])
    assert all(torch.equal(v, prior.unet.state_dict()[name]) for name, v in network.items())


def test_it_is_its_own_configuration(part):
    made = example(part)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.memory = 3
    assert made == example(part)
    assert part.__doc__
