"""The contract of a prior, over every prior; those with weights stand on small random ones."""

from __future__ import annotations

import pytest
import torch
from parts import PROMPT, concrete, label, mixture, prior_named
from torch import Tensor

import maquette.priors
from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.priors.base import Counting, Prior
from maquette.records import Views

TEXTS = [PROMPT, f"{PROMPT}, front view", f"{PROMPT}, back view"]
T = torch.tensor([0, 400, 999])


@pytest.fixture(params=concrete(maquette.priors, Prior), ids=label)
def prior(request: pytest.FixtureRequest) -> Prior:
    return prior_named(request.param.__name__)


def noised_of(prior: Prior, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, *prior.latent_shape, generator=generator, dtype=dtype)


def test_it_says_what_it_is(prior):
    assert isinstance(prior.schedule, NoiseSchedule)
    assert len(prior.latent_shape) == 3
    assert prior.image_size >= prior.latent_shape[-1]
    assert prior.name


def test_pictures_become_latents_with_a_gradient(prior):
    size = prior.image_size
    pictures = torch.rand(2, size, size, 3, generator=torch.Generator().manual_seed(0))
    latents = prior.encode(pictures.requires_grad_())
    assert latents.shape == (2, *prior.latent_shape)
    (gradient,) = torch.autograd.grad(latents.square().sum(), pictures)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    torch.testing.assert_close(prior.encode(pictures[:1]), latents[:1])


def test_latents_become_pictures_with_a_gradient(prior):
    latents = torch.rand(2, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
    pictures = prior.decode(latents.requires_grad_())
    assert pictures.shape == (2, prior.image_size, prior.image_size, 3)
    (gradient,) = torch.autograd.grad(pictures.square().sum(), latents)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    assert not prior.decode(latents.detach()).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_prediction_per_condition(prior, dtype):
    noised = noised_of(prior, dtype)
    conditions = [prior.condition(TEXTS), prior.condition([""] * 3)]
    eps = prior.predict(noised, T, conditions)
    assert eps.shape == (2, *noised.shape)
    assert eps.dtype == dtype
    assert torch.isfinite(eps).all()
    assert not eps.requires_grad
    assert not torch.equal(eps[0], eps[1])
    for place, condition in enumerate(conditions):
        alone = prior.predict(noised, T, [condition])[0]
        torch.testing.assert_close(alone, eps[place], rtol=1e-5, atol=1e-6)


def test_rows_never_mix(prior):
    noised, condition = noised_of(prior), prior.condition(TEXTS)
    together = prior.predict(noised, T, [condition])[0]
    for row in range(3):
        rows = slice(row, row + 1)
        alone = prior.predict(noised[rows], T[rows], [condition.rows(rows)])[0]
        torch.testing.assert_close(alone, together[rows], rtol=1e-5, atol=1e-6)


def test_conditions_have_one_row_per_text_and_may_look_at_views(prior):
    plain = prior.condition(TEXTS)
    assert plain.embedding.shape[0] == 3
    assert torch.equal(plain.embedding, prior.condition(TEXTS, Views.ring(3)).embedding)
    assert not torch.equal(plain.embedding[1], plain.embedding[2])


def test_the_fingerprint_is_plain_and_lasting(prior):
    first, second = prior.fingerprint(), prior.fingerprint()
    assert first == second
    assert all(isinstance(value, str) for value in first.values())
    assert {"schedule", "latent_shape", "eps"} <= first.keys()


def test_it_knows_its_own_words(prior):
    prior.check(PROMPT)


def test_no_global_randomness(prior):
    before = torch.get_rng_state()
    prior.predict(noised_of(prior), T, [prior.condition(TEXTS)])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_analytic_fingerprint_sees_every_law():
    one, other = mixture(), mixture()
    assert one.fingerprint() == other.fingerprint()
    other._means[0] += 0.5
    assert one.fingerprint() != other.fingerprint()


def test_counting_counts_pictures_and_changes_nothing():
    inner = mixture()
    counting, noised = Counting(inner), noised_of(inner)
    conditions = [inner.condition(TEXTS), inner.condition([""] * 3)]
    assert torch.equal(
        counting.predict(noised, T, conditions), inner.predict(noised, T, conditions)
    )
    assert counting.evaluations == 6


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="It knows 'a mug'"):
        mixture().check("a chair")
