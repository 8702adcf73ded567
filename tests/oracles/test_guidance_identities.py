"""Classifier-free guidance: two forms, one meaning; and what its linearity implies."""

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    ask_gradient,
    close,
    levels,
    numbers,
    prior_of,
    random_mixture,
    words_of,
)

from maquette.objectives.csd import CSD
from maquette.objectives.guidance import ask, classifier_free, guided
from maquette.objectives.sds import SDS
from maquette.priors.base import Prior
from maquette.records import Words

T = 400


class Shifted(Prior):
    """A prior to whose every prediction the same field is added."""

    def __init__(self, prior: Prior) -> None:
        self.prior, self.schedule, self.name = prior, prior.schedule, prior.name
        self.latent_shape, self.image_size = prior.latent_shape, prior.image_size

    def encode(self, images):
        return self.prior.encode(images)

    def predict(self, noised, t, conditions):
        return self.prior.predict(noised, t, conditions) + torch.sin(3 * noised)

    def condition(self, texts, views=None, render=None):
        return self.prior.condition(texts, views, render)


@pytest.fixture
def prior():
    return prior_of(random_mixture(2, "full"), random_mixture(2, "diagonal", seed=30))


def test_the_two_forms():
    base, text = numbers(3, 2), numbers(3, 2, seed=1)
    for s in (0.0, 1.0, 7.5, 100.0):
        b_form = text + s * (text - base)
        close("5.3 A(1 + s) = B(s)", classifier_free(base, text, 1 + s), b_form, 1e-12)
    assert torch.equal(classifier_free(base, text, 0.0), base)
    close("5.3 A(1) = text", classifier_free(base, text, 1.0), text, 1e-15)
    second = sum(k * classifier_free(base, text, w) for k, w in ((1, 3.0), (-2, 5.0), (1, 7.0)))
    close("5.3 second difference", torch.as_tensor(second), torch.zeros(3, 2), 1e-13)


def test_the_reversed_form_of_lucid_dreamer():
    null, cond = numbers(3, 2), numbers(3, 2, seed=1)
    for scale in (2.0, 7.5):
        reversed_form = cond + scale * (null - cond)
        close("5.3 reversed", classifier_free(null, cond, 1 - scale), reversed_form, 1e-13)


def test_guided_asks_for_base_and_text(prior):
    x, words = numbers(3, 1, 1, 2), words_of(prior, 3)
    base, text = ask(prior, x, torch.full((3,), T), words.negative, words.positive)
    mixed = guided(prior, x, torch.full((3,), T), words, 7.5)
    assert torch.equal(mixed, classifier_free(base, text, 7.5))
    assert (base - text).abs().max() > 1e-3


@pytest.mark.parametrize("weight", ["uniform", "sigma_squared", "rho"])
def test_csd_is_the_slope_of_sds_in_the_scale(prior, weight):
    x = numbers(4, 2, seed=5)
    low, high = (ask_gradient(SDS(scale, weight), prior, x, T, RANDOM) for scale in (3.0, 40.0))
    csd = ask_gradient(CSD(weight), prior, x, T, RANDOM)
    close("5.3 dSDS/dscale = CSD", (high - low) / 37.0, csd, 1e-13)
    huge = ask_gradient(SDS(1e9, weight), prior, x, T, RANDOM)
    close("5.3 SDS / scale -> CSD", huge / 1e9, csd, 1e-8)


def test_both_ways_to_write_sds(prior):
    x, t = numbers(4, 2, seed=5), torch.full((4,), T)
    noise = RANDOM.normal("noise", x.reshape(4, 1, 1, 2))
    x_t = prior.schedule.add_noise(x.reshape(4, 1, 1, 2), noise, t)
    words = words_of(prior, 4)
    base, text = ask(prior, x_t, t, words.negative, words.positive)
    g = ask_gradient(SDS(7.5, "uniform"), prior, x, T)
    close("5.3 from base", g, ((base - noise) + 7.5 * (text - base)).flatten(1), 1e-13)
    close("5.3 from text", g, ((text - noise) + 6.5 * (text - base)).flatten(1), 1e-13)


def test_equal_predictions_give_csd_nothing_to_do():
    prior, x = prior_of(random_mixture(2, "full")), numbers(4, 1, 1, 2)
    text = prior.condition([PROMPT] * 4)
    words, t = Words(text, text, text), torch.full((4,), T)
    gradient = CSD().gradient(prior, x, t, words, {}, RANDOM).gradient
    assert torch.equal(gradient, torch.zeros_like(x))


def test_a_field_common_to_all_predictions_changes_nothing_in_csd(prior):
    x = numbers(4, 2)
    plain, shifted = (ask_gradient(CSD(), p, x, T) for p in (prior, Shifted(prior)))
    close("5.3 coefficients sum to zero", shifted, plain, 1e-15)


def test_weights_by_name(prior):
    x = numbers(4, 2)
    _, sigma, rho = levels(prior.schedule, T)
    plain = ask_gradient(CSD("uniform"), prior, x, T)
    squared = ask_gradient(CSD("sigma_squared"), prior, x, T)
    close("5.3 w = 1 - alpha bar", squared, sigma**2 * plain, 1e-15)
    close("5.3 w = rho", ask_gradient(CSD("rho"), prior, x, T), rho * plain, 1e-15)
