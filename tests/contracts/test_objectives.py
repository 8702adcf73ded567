"""The contract of an objective, over every objective."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from parts import PROMPT, concrete, example, label, mixture, small_stable_diffusion
from torch import Tensor

import maquette.objectives
from maquette import serial
from maquette.objectives.base import Objective
from maquette.priors.base import Counting, Prior
from maquette.randomness import Randomness
from maquette.records import Condition, Guidance, Words

OBJECTIVES = concrete(maquette.objectives, Objective)
RANDOM = Randomness(3)
T = torch.tensor([0, 20, 500, 980])

pytestmark = pytest.mark.parametrize("part", OBJECTIVES, ids=label)


def words_of(prior: Prior, rows: slice = slice(None)) -> Words:
    texts = [f"{PROMPT}, {word} view" for word in ("front", "side", "back", "overhead")][rows]
    null = prior.condition([""] * len(texts))
    return Words(prior.condition(texts), null, null)


def latents_of(prior: Prior, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, *prior.latent_shape, generator=generator, dtype=torch.float64).to(dtype)


def ask(part: type, prior: Prior, latent: Tensor, **changes: object) -> Guidance:
    objective = example(part, progress=0.5)
    inputs = {"t": T, "words": words_of(prior), "state": objective.init(prior), "random": RANDOM}
    return objective.gradient(prior, latent, **{**inputs, **changes})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [mixture, small_stable_diffusion])
def test_the_answer_fits_the_latents(part, make, dtype):
    prior = make()
    latent = latents_of(prior, dtype)
    answer = ask(part, prior, latent)
    assert answer.gradient.shape == latent.shape
    assert answer.gradient.dtype == dtype
    assert answer.value.shape == (4,)
    assert torch.isfinite(answer.gradient).all()
    assert torch.isfinite(answer.value).all()
    assert (answer.value >= 0).all()
    assert not answer.gradient.requires_grad
    assert not answer.value.requires_grad
    assert answer.gradient.abs().max() > 0


def test_the_same_stream_gives_the_same_bytes(part):
    prior = mixture()
    first, second = (ask(part, prior, latents_of(prior)) for _ in range(2))
    assert torch.equal(first.gradient, second.gradient)
    assert torch.equal(first.value, second.value)


def test_no_global_randomness(part):
    prior, before = mixture(), torch.get_rng_state()
    ask(part, prior, latents_of(prior))
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_never_mix(part):
    prior = mixture()
    latent = latents_of(prior)
    together = ask(part, prior, latent)
    for row in range(4):
        rows = slice(row, row + 1)
        alone = ask(
            part,
            prior,
            latent[rows],
            t=T[rows],
            words=words_of(prior, rows),
            random=RANDOM.from_view(row),
        )
        torch.testing.assert_close(alone.gradient, together.gradient[rows], rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(alone.value, together.value[rows], rtol=1e-11, atol=1e-12)


def test_inputs_are_left_as_they_were(part):
    prior = mixture()
    latent, t, words = latents_of(prior), T.clone(), words_of(prior)
    copies = latent.clone(), words.positive.embedding.clone(), words.null.embedding.clone()
    ask(part, prior, latent, t=t, words=words)
    assert torch.equal(latent, copies[0])
    assert torch.equal(t, T)
    assert torch.equal(words.positive.embedding, copies[1])
    assert torch.equal(words.null.embedding, copies[2])


def test_state_is_tensors_of_lasting_names(part):
    prior = mixture()
    start = example(part).init(prior)
    answer = ask(part, prior, latents_of(prior), state=start)
    assert answer.state.keys() == start.keys()
    assert all(isinstance(value, Tensor) for value in answer.state.values())


def test_the_negative_prompt_matters(part):
    prior = mixture()
    null = prior.condition([""] * 4)
    bad = Condition(prior.condition([f"{PROMPT}, back view"] * 4).embedding)
    words = Words(prior.condition([PROMPT] * 4), bad, null)
    plain = ask(part, prior, latents_of(prior), words=dataclasses.replace(words, negative=null))
    answer = ask(part, prior, latents_of(prior), words=words)
    assert not torch.equal(answer.gradient, plain.gradient)


def test_every_question_is_counted(part):
    prior = Counting(mixture())
    ask(part, prior, latents_of(prior))
    assert prior.evaluations >= 4


def test_it_is_its_own_configuration(part):
    made = example(part)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.weight = "uniform"
    data = json.loads(json.dumps(serial.encode(made)))
    assert serial.decode(data, Objective, "objective") == made
    assert part.__doc__
