"""CSD and ISM against closed forms, their limits, and the identities that hold for any network."""

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    ask_gradient,
    at,
    close,
    expected,
    gaussian,
    hermite,
    levels,
    log_density,
    numbers,
    prior_of,
    random_mixture,
    tape,
    words_of,
)

from maquette.objectives.csd import CSD
from maquette.objectives.guidance import guided
from maquette.objectives.inversion import invert
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS

DIMS = (1, 2, 16)


def inverted(prior, x, s, stride=50):
    latent = x.reshape(len(x), *prior.latent_shape)
    null = prior.condition([""] * len(x))
    return invert(prior, latent, at(s, len(x)), null, RANDOM, stride=stride).flatten(1)


def exact(delta_t, scale=7.5, weight="uniform", stride=50):
    return ISM(scale, delta_t, stride=stride, weight=weight, strength=1.0)


@pytest.mark.parametrize("dims", [1, 2])
def test_csd_is_the_classifier_score(dims):
    law, null, t, h = random_mixture(dims, "full"), random_mixture(dims, "full", seed=9), 400, 1e-3
    prior = prior_of(law, null)
    alpha, sigma, _ = levels(prior.schedule, t)
    x, noise = numbers(1, dims, seed=3), numbers(1, dims, seed=4)
    x_t = alpha * x + sigma * noise

    def log_ratio(at_x):
        return log_density(prior, law, at_x, t) - log_density(prior, null, at_x, t)

    shifts = h * torch.eye(dims, dtype=torch.float64)
    near = log_ratio(x_t + shifts) - log_ratio(x_t - shifts)
    far = log_ratio(x_t + 2 * shifts) - log_ratio(x_t - 2 * shifts)
    slope = (8 * near - far) / (12 * h)
    g = ask_gradient(CSD("uniform"), prior, x, t, tape(noise))[0]
    close("5.5 CSD = -sigma FD(log p(y|x_t))", g, -sigma * slope, 1e-9)


@pytest.mark.parametrize("dims", DIMS)
def test_csd_moves_at_a_constant_speed_for_ever(dims):
    mu0, mu1, c, t, rate = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 600, 0.7
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    alpha, sigma, _ = levels(prior.schedule, t)
    stride = rate * sigma**2 * sigma * alpha * (mu1 - mu0) / (alpha**2 * c + sigma**2)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 41):
        x = x - rate * ask_gradient(CSD(), prior, x, t, RANDOM.at(n))
        close("5.5 CSD trajectory", x, start + n * stride, 1e-12)


def test_csd_mean_over_the_noise_of_a_mixture_has_no_noise_term():
    prior = prior_of(random_mixture(1, "full"), random_mixture(1, "full", seed=9))
    x = numbers(3, 1)
    slope = expected(SDS(3.0), prior, x, 400, hermite()) - expected(
        SDS(2.0), prior, x, 400, hermite()
    )
    close("5.5 E[CSD]", expected(CSD(), prior, x, 400, hermite()), slope, 1e-13)


@pytest.mark.parametrize(("t", "delta"), [(500, 80), (300, 200), (60, 80), (999, 999)])
@pytest.mark.parametrize("dims", DIMS)
def test_ism_of_gaussians(dims, t, delta):
    mu0, mu1, c, scale = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 7.5
    prior, s = prior_of(gaussian(mu1, c), gaussian(mu0, c)), max(t - delta, 0)
    x = numbers(3, dims, seed=3)
    alpha_s, _, rho_s = levels(prior.schedule, s)
    _, _, rho_t = levels(prior.schedule, t)
    z_s = inverted(prior, x, s) / alpha_s
    interval = c * (rho_t - rho_s) * (z_s - mu0) / ((c + rho_s**2) * (c + rho_t**2))
    text = scale * rho_t * (mu0 - mu1) / (c + rho_t**2)
    close("5.5 ISM", ask_gradient(exact(delta), prior, x, t), interval + text, 1e-12)


@pytest.mark.parametrize("dims", DIMS)
def test_ism_fixed_point(dims):
    mu0, mu1, c, scale, t, s = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 7.5, 500, 420
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    alpha_s, _, rho_s = levels(prior.schedule, s)
    _, _, rho_t = levels(prior.schedule, t)
    z_s = mu0 + scale * rho_t * (c + rho_s**2) / (c * (rho_t - rho_s)) * (mu1 - mu0)
    # For one Gaussian the inversion is affine with a scalar factor, found from two of its points.
    zero = inverted(prior, torch.zeros(1, dims, dtype=torch.float64), s)
    factor = (inverted(prior, torch.ones(1, dims, dtype=torch.float64), s) - zero)[:, :1]
    x = (alpha_s * z_s - zero) / factor
    g = ask_gradient(exact(t - s), prior, x, t)
    close("5.5 ISM fixed point", g / z_s.abs().max(), torch.zeros(1), 1e-13)


@pytest.mark.parametrize("dims", [1, 2])
def test_ism_trajectory_is_linear(dims):
    mu0, c, t, rate = numbers(dims, seed=1), 0.4, 500, 2.0
    prior = prior_of(gaussian(mu0, c))
    x = start = numbers(2, dims, seed=3)
    first = ask_gradient(exact(80), prior, x, t)
    # The inversion shows level 0 the clean latent, so its fixed point is mu0 up to 1 - alpha_0.
    zero = ask_gradient(exact(80), prior, torch.zeros(1, dims, dtype=torch.float64), t)
    k = ((first - zero) / start)[0, 0]
    goal = -zero / k
    close("5.5 ISM goal", goal, mu0, 1e-4)
    for n in range(1, 41):
        x = x - rate * ask_gradient(exact(80), prior, x, t)
        close("5.5 ISM trajectory", x - goal, (1 - rate * k) ** n * (start - goal), 1e-12)


def test_ism_tends_to_csd_as_the_interval_closes():
    prior, t = prior_of(random_mixture(2, "full"), random_mixture(2, "full", seed=9)), 200
    x = numbers(3, 2)
    # A stride of 1 keeps the path itself the same whatever the interval.
    none, *others = (ask_gradient(exact(delta, stride=1), prior, x, t) for delta in (0, 1, 2, 4, 8))
    gaps = torch.stack([(g - none).norm() for g in others])
    close("5.5 linear in the interval", gaps[1:] / gaps[:-1], torch.full((3,), 2.0), 0.1)
    x_t = inverted(prior, x, t, stride=1).reshape(3, 1, 1, 2)
    words = words_of(prior, 3)
    text_only = guided(prior, x_t, at(t, 3), words, 7.5) - guided(prior, x_t, at(t, 3), words, 0.0)
    close("5.5 ISM(s = t) = om delta", none, text_only.flatten(1), 1e-14)


@pytest.mark.parametrize("dims", DIMS)
def test_ism_is_csd_where_the_null_law_is_a_point(dims):
    prior, t = prior_of(random_mixture(dims, "full"), gaussian(numbers(dims, seed=5), 0.0)), 500
    x = numbers(3, dims)
    x_t = inverted(prior, x, t).reshape(3, *prior.latent_shape)
    words = words_of(prior, 3)
    low, high = (guided(prior, x_t, at(t, 3), words, scale) for scale in (0.0, 7.5))
    g = ask_gradient(exact(80), prior, x, t)
    close("5.5 ISM = CSD for a Dirac null", g, (high - low).flatten(1), 1e-10)


@pytest.mark.parametrize("delta", [20, 80, 400])
@pytest.mark.parametrize("dims", DIMS)
def test_ism_is_sds_where_the_null_law_is_the_picture_itself(dims, delta):
    x, t = numbers(1, dims), 500
    prior = prior_of(random_mixture(dims, "full"), gaussian(x[0], 0.0))
    alpha, sigma, _ = levels(prior.schedule, t)
    noise = (inverted(prior, x, t) - alpha * x) / sigma
    sds = ask_gradient(SDS(7.5, "uniform"), prior, x, t, tape(noise))
    close("5.5 ISM = SDS for a self-Dirac", ask_gradient(exact(delta), prior, x, t), sds, 1e-11)


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_x0_identity_of_any_network(scale, convention):
    prior, x, t, s = RandomNetwork(), numbers(3, 4, 8, 8), at(500, 3), at(420, 3)
    words, schedule = words_of(prior, 3), prior.schedule
    objective = ISM(scale, 80.0, strength=1.0, convention=convention)
    g = objective.gradient(prior, x, t, words, {}, RANDOM).gradient
    x_s = invert(prior, x, s, words.null, RANDOM, convention=convention)
    (eps_s,) = prior.predict(x_s, s, [words.null])
    x_t = schedule.ddim_step(x_s, eps_s, s, t)
    eps_t = guided(prior, x_t, t, words, scale)
    clean_s, clean_t = (
        schedule.clean_from_eps(x_s, eps_s, s),
        schedule.clean_from_eps(x_t, eps_t, t),
    )
    close("5.5 g = x0(x_s) - x0(x_t)", g, clean_s - clean_t, 1e-12)


def test_strength_and_negative_prompt():
    laws = {PROMPT: random_mixture(2, "full"), "bad": random_mixture(2, "full", seed=40)}
    from maquette.priors.analytic import GaussianMixture
    from maquette.records import Words

    prior = GaussianMixture(laws, (1, 1, 2))
    x, t = numbers(3, 1, 1, 2), at(500, 3)
    text, bad, null = (prior.condition([word] * 3) for word in (PROMPT, "bad", ""))
    g = ISM(stride=50).gradient(prior, x, t, Words(text, bad, null), {}, RANDOM).gradient
    x_s = invert(prior, x, t - 80, null, RANDOM, stride=50)
    eps_s = prior.predict(x_s, t - 80, [null])[0]
    x_t = prior.schedule.ddim_step(x_s, eps_s, t - 80, t)
    eps_bad, eps_text = prior.predict(x_t, t, [bad, text])
    rho = prior.schedule.rho(t, x)
    by_hand = 0.1 * rho * (eps_bad + 7.5 * (eps_text - eps_bad) - eps_s)
    close("5.5 negative in CFG, empty in inversion", g, by_hand, 1e-14)
