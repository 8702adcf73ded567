"""The analytic prior against densities and integrals written independently of it."""

import pytest
import torch
from toys import PROMPT, at, close, gaussian, levels, log_density, numbers, prior_of, random_mixture

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.priors.analytic import GaussianMixture, Mixture

DIMS = (1, 2, 16)
KINDS = ("isotropic", "diagonal", "full")


def answers(prior, x_t, t):
    condition = prior.condition([PROMPT] * len(x_t))
    noised = x_t.reshape(len(x_t), *prior.latent_shape)
    eps, clean = prior.answers(noised, at(t, len(x_t)), [condition])
    return eps[0].flatten(1), clean[0].flatten(1)


@pytest.mark.parametrize("t", [0, 20, 500, 999])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", DIMS)
def test_eps_is_the_score(dims, kind, t):
    law = random_mixture(dims, kind)
    prior = prior_of(law)
    alpha, sigma, _ = levels(prior.schedule, t)
    x_t = (alpha * numbers(5, dims, seed=3) + sigma * numbers(5, dims, seed=4)).requires_grad_()
    (score,) = torch.autograd.grad(log_density(prior, law, x_t, t).sum(), x_t)
    eps, _ = answers(prior, x_t.detach(), t)
    close("5.1 eps = -sigma grad log p", eps, -sigma * score, 1e-10)


@pytest.mark.parametrize("dims", DIMS)
def test_eps_against_finite_differences(dims):
    law, t, h = random_mixture(dims, "full"), 400, 1e-3
    prior = prior_of(law)
    _, sigma, _ = levels(prior.schedule, t)
    x_t = numbers(1, dims, seed=5)
    shifts = h * torch.eye(dims, dtype=torch.float64)

    def slope(k):
        ahead = log_density(prior, law, x_t + k * shifts, t)
        behind = log_density(prior, law, x_t - k * shifts, t)
        return (ahead - behind) / (2 * k * h)

    score = (4 * slope(1) - slope(2)) / 3
    close("5.1 eps + sigma FD(log p)", answers(prior, x_t, t)[0][0], -sigma * score, 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", DIMS)
def test_the_two_closed_forms_agree(dims, kind):
    prior = prior_of(random_mixture(dims, kind))
    x_t, t = numbers(5, dims, seed=6), 300
    alpha, sigma, _ = levels(prior.schedule, t)
    eps, clean = answers(prior, x_t, t)
    close("5.1 x0 = (x_t - s eps) / a", clean, (x_t - sigma * eps) / alpha, 1e-12)
    v = alpha * eps - sigma * clean
    close("5.1 eps = a v + s x_t", eps, alpha * v + sigma * x_t, 1e-12)


@pytest.mark.parametrize("t", [200, 600, 999])
def test_clean_answer_is_the_posterior_mean(t):
    law = random_mixture(1, "isotropic")
    prior = prior_of(law)
    alpha, sigma, _ = levels(prior.schedule, t)
    x_t = numbers(4, 1, seed=8)
    grid = torch.linspace(-15, 15, 30001, dtype=torch.float64)
    spread = law.covariances[:, None]
    density = (-0.5 * (grid - law.means).square() / spread).exp() / spread.sqrt()
    mixed = (law.weights[:, None] * density).sum(0)
    joint = mixed * (-0.5 * ((x_t - alpha * grid) / sigma).square()).exp()
    mean = (joint * grid).sum(1) / joint.sum(1)
    close("5.1 x0 = E[x0 | x_t]", answers(prior, x_t, t)[1][:, 0], mean, 1e-11)


@pytest.mark.parametrize("dims", DIMS)
def test_single_gaussian(dims):
    mean, variance, t = numbers(dims, seed=1), 0.3, 700
    prior = prior_of(gaussian(mean, variance))
    alpha, sigma, rho = levels(prior.schedule, t)
    x_t = numbers(3, dims, seed=2)
    eps, _ = answers(prior, x_t, t)
    d = alpha**2 * variance + sigma**2
    close("5.1 single Gaussian", eps, sigma * (x_t - alpha * mean) / d, 1e-14)
    in_z = rho * (x_t / alpha - mean) / (variance + rho**2)
    close("5.1 single Gaussian in z", eps, in_z, 1e-14)


def test_the_empty_prompt_is_the_mean_of_all_texts():
    laws = {"a": random_mixture(2, "diagonal"), "b": random_mixture(2, "isotropic", seed=20)}
    prior = GaussianMixture(laws, (1, 1, 2))
    weights = torch.cat([law.weights / law.weights.sum() / 2 for law in laws.values()])
    means = torch.cat([law.means for law in laws.values()])
    both = Mixture(weights, means, torch.cat([law.diagonals() for law in laws.values()]))
    x_t = numbers(3, 1, 1, 2)
    null = prior.predict(x_t, at(300, 3), [prior.condition([""] * 3)])
    joint = prior_of(both)
    expected = joint.predict(x_t, at(300, 3), [joint.condition([PROMPT] * 3)])
    close("5.1 null = mean of all", null, expected, 1e-13)


def test_far_from_every_component_the_answer_is_finite():
    prior = prior_of(Mixture(torch.ones(2), torch.tensor([[-1.0], [1.0]]), torch.zeros(2)))
    x_t = torch.tensor([[1e4], [-1e4]], dtype=torch.float64)
    eps, clean = answers(prior, x_t, 0)
    assert torch.isfinite(eps).all()
    close("5.1 far away, the nearest point", clean, x_t.sign(), 1e-12)


def test_texts_with_a_view_word_fall_back_to_the_bare_prompt():
    pictures = {"a mug": torch.zeros(2, 2, 3), "a mug, back view": torch.ones(2, 2, 3)}
    prior = GaussianMixture.from_pictures(pictures)
    rows = prior.condition(["a mug", "a mug, front view", "a mug, back view"]).embedding
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    with pytest.raises(InputError, match="'a cup'"):
        prior.check("a cup")
    with pytest.raises(InputError, match="It knows 'a mug'"):
        prior.condition(["a mug, from above"])


def test_pictures_are_the_centres_of_their_texts():
    picture = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    prior = GaussianMixture.from_pictures({PROMPT: picture}, variance=0.0)
    latent = prior.encode(picture[None])
    _, clean = prior.answers(numbers(1, 3, 4, 4), at(500), [prior.condition([PROMPT])])
    close("5.1 a picture is the mean", clean[0], latent, 1e-12)


def test_pictures_of_the_wrong_size_are_refused():
    with pytest.raises(InputError, match="encoder"):
        prior_of(gaussian([0.0], 1.0)).encode(torch.zeros(1, 8, 8, 3))
    with pytest.raises(InputError, match="do not fill"):
        GaussianMixture({"a": gaussian([0.0], 1.0)}, (1, 1, 2))


def test_no_signal_is_left_at_a_zero_terminal_snr():
    flow = NoiseSchedule.flow(10)
    prior = prior_of(gaussian([0.3], 0.5), schedule=flow)
    x_t = numbers(2, 1)
    eps, clean = answers(prior, x_t, 9)
    close("5.1 eps at alpha = 0", eps, x_t, 1e-14)
    close("5.1 x0 at alpha = 0", clean, torch.full_like(x_t, 0.3), 1e-14)
