"""TSM between its two ends, ISM and CSD: closed forms, limits, levels reached, and its cost."""

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    ask_gradient,
    at,
    close,
    gaussian,
    levels,
    numbers,
    prior_of,
    random_mixture,
    tape,
    words_of,
)

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.objectives.csd import CSD
from maquette.objectives.guidance import guided
from maquette.objectives.inversion import Convention, invert
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.objectives.tsm import TSM
from maquette.priors.analytic import GaussianMixture, Headed
from maquette.priors.base import Counting
from maquette.ramps import linear
from maquette.records import Words

DIMS = (1, 2, 16)
GAMMAS = (0.0, 0.3, 0.5, 1.0)
ROWS = torch.tensor([0, 30, 500, 999])


class Recording(Counting):
    """Writes down every latent and level that it is asked about, row by row."""

    def __init__(self, prior):
        super().__init__(prior)
        self.asked = []

    def predict(self, noised, t, conditions):
        self.asked.append((noised.clone(), t.tolist(), len(conditions)))
        return super().predict(noised, t, conditions)


def exact(gamma, delta_t=80.0, *, scale=7.5, stride=50, convention: Convention = "paper"):
    """TSM without weights, on a path of short strides."""
    return TSM(scale, gamma, delta_t, stride, "uniform", 1.0, convention)


def inverted(prior, x, s, stride=50, convention: Convention = "paper"):
    latent = x.reshape(len(x), *prior.latent_shape)
    null = prior.condition([""] * len(x))
    return invert(
        prior, latent, at(s, len(x)), null, RANDOM, stride=stride, convention=convention
    ).flatten(1)


def one_step(prior, x, s, t, stride=50, convention: Convention = "paper"):
    """The latents one DDIM step from the inverted ``x_s``, shaped ``[B, C, h, w]``."""
    x_s = inverted(prior, x, s, stride, convention).reshape(len(x), *prior.latent_shape)
    (eps_s,) = prior.predict(x_s, at(s, len(x)), [prior.condition([""] * len(x))])
    return prior.schedule.ddim_step(x_s, eps_s, at(s, len(x)), at(t, len(x)))


def level_between(s, t, lam):
    return s + round(lam * (t - s))


def interval_term(c, rho_s, rho_t, rho_m):
    """The factor on ``(z_s - mu0) / (c + rho_s^2)`` in the gradient of a Gaussian."""
    return rho_t * (c + rho_s * rho_t) / (c + rho_t**2) - rho_m * (c + rho_s * rho_m) / (
        c + rho_m**2
    )


@pytest.mark.parametrize(("t", "delta"), [(500, 80), (700, 600), (60, 80), (999, 999), (300, 0)])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dims", DIMS)
def test_closed_form_of_gaussians(dims, gamma, t, delta):
    mu0, mu1, c, scale = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 7.5
    prior, s = prior_of(gaussian(mu1, c), gaussian(mu0, c)), max(t - delta, 0)
    x = numbers(3, dims, seed=3)
    alpha_s, _, rho_s = levels(prior.schedule, s)
    _, _, rho_t = levels(prior.schedule, t)
    _, _, rho_m = levels(prior.schedule, level_between(s, t, gamma))
    z_s = inverted(prior, x, s) / alpha_s
    interval = (z_s - mu0) / (c + rho_s**2) * interval_term(c, rho_s, rho_t, rho_m)
    text = scale * rho_t * (mu0 - mu1) / (c + rho_t**2)
    close("5.6 TSM", ask_gradient(exact(gamma, delta), prior, x, t), interval + text, 1e-12)


@pytest.mark.parametrize("dims", DIMS)
def test_the_interval_term_falls_from_that_of_ism_to_nothing(dims):
    mu0, c, t, s = numbers(dims, seed=1), 2.0, 500, 100
    prior, x = prior_of(gaussian(mu0, c)), numbers(1, dims, seed=3)
    rho = prior.schedule.sigmas[s : t + 1] / prior.schedule.alphas[s : t + 1]
    rising = rho * (c + rho[0] * rho) / (c + rho**2)
    assert bool((rising.diff() > 0).all()), "the premise of the monotone norm"
    lams = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    sizes = [float(ask_gradient(exact(lam, t - s), prior, x, t).norm()) for lam in lams]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0.0
    ism = ask_gradient(ISM(7.5, t - s, 50, "uniform", 1.0), prior, x, t)
    assert sizes[0] == float(ism.norm())


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("dims", DIMS)
def test_it_is_ism_where_mu_is_s(dims, convention):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x = numbers(4, dims)
    latent, words = x.reshape(4, *prior.latent_shape), words_of(prior, 4)
    tsm = TSM(gamma={"paper": 0.0, "code": 1.0}[convention], convention=convention)
    ism = ISM(convention=convention)
    tsm_answer, ism_answer = (
        objective.gradient(prior, latent, ROWS, words, {}, RANDOM) for objective in (tsm, ism)
    )
    assert torch.equal(tsm_answer.gradient, ism_answer.gradient)
    assert torch.equal(tsm_answer.value, ism_answer.value)


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("dims", DIMS)
def test_it_is_csd_at_the_inverted_latent_where_mu_is_t(dims, convention):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x, t, scale = numbers(3, dims), 500, 7.5
    alpha, sigma, _ = levels(prior.schedule, t)
    x_t = one_step(prior, x, 420, t, convention=convention).flatten(1)
    csd = ask_gradient(CSD("uniform"), prior, x, t, tape((x_t - alpha * x) / sigma))
    gamma = {"paper": 1.0, "code": 0.0}[convention]
    g = ask_gradient(exact(gamma, convention=convention), prior, x, t)
    close("5.6 TSM(mu = t) = scale CSD", g, scale * csd, 1e-12)
    assert csd.abs().max() > 1e-2


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dims", DIMS)
def test_every_mu_is_csd_where_the_null_law_is_a_point(dims, gamma):
    prior, t = prior_of(random_mixture(dims, "full"), gaussian(numbers(dims, seed=5), 0.0)), 500
    x = numbers(3, dims)
    x_t, words = one_step(prior, x, 300, t), words_of(prior, 3)
    low, high = (guided(prior, x_t, at(t, 3), words, scale) for scale in (0.0, 7.5))
    g = ask_gradient(exact(gamma, 200), prior, x, t)
    close("5.6 TSM = CSD for a Dirac null", g, (high - low).flatten(1), 1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dims", DIMS)
def test_every_mu_is_sds_where_the_null_law_is_the_picture_itself(dims, gamma):
    x, t = numbers(1, dims), 500
    prior = prior_of(random_mixture(dims, "full"), gaussian(x[0], 0.0))
    alpha, sigma, _ = levels(prior.schedule, t)
    noise = (inverted(prior, x, t) - alpha * x) / sigma
    sds = ask_gradient(SDS(7.5, "uniform"), prior, x, t, tape(noise))
    close("5.6 TSM = SDS for a self-Dirac", ask_gradient(exact(gamma), prior, x, t), sds, 1e-11)


@pytest.mark.parametrize(
    ("convention", "gamma", "lam", "offset"),
    [("paper", 0.3, 0.3, 24), ("code", 0.3, 0.9539392014169457, 76), ("code", 0.8, 0.6, 48)],
)
def test_what_gamma_means(convention, gamma, lam, offset):
    objective = TSM(gamma=gamma, convention=convention)
    close("5.6 lam", objective.lam, lam, 1e-15)
    prior = Recording(RandomNetwork())
    objective.gradient(prior, numbers(1, 4, 8, 8), at(500), words_of(prior, 1), {}, RANDOM)
    assert [t for _, t, _ in prior.asked][-3:] == [[420], [500], [420 + offset]]


@pytest.mark.parametrize("gamma", [-0.1, 1.5])
def test_a_gamma_that_leaves_the_interval_is_refused(gamma):
    prior = prior_of(gaussian([0.0], 1.0))
    with pytest.raises(InputError, match="between 0 and 1"):
        ask_gradient(TSM(gamma=gamma), prior, numbers(1, 1), 500)


def test_a_gamma_that_changes_with_progress_must_have_been_resolved():
    with pytest.raises(InputError, match="not resolved"):
        _ = TSM(gamma=linear(0.0, 1.0)).lam


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("delta", [80, 400, 900])
def test_the_latent_has_really_reached_mu(convention, delta):
    """Intervals of several strides: x_mu is on the line from x_s, at the level it is shown at."""
    prior, x = Recording(RandomNetwork()), numbers(2, 4, 8, 8)
    objective = TSM(gamma=0.5, delta_t=delta, stride=100, convention=convention)
    words, t = words_of(prior, 2), torch.tensor([950, 980])
    objective.gradient(prior, x, t, words, {}, RANDOM)
    x_s, levels_s, _ = prior.asked[-3]
    x_mu, levels_mu, _ = prior.asked[-1]
    (eps_s,) = prior.prior.predict(x_s, torch.tensor(levels_s), [words.null])
    for row in range(2):
        s, mu = levels_s[row], levels_mu[row]
        assert mu == s + round(objective.lam * (int(t[row]) - s))
        a_s, _, rho_s = levels(prior.schedule, s)
        a_m, _, rho_m = levels(prior.schedule, mu)
        there = x_s[row] / a_s + (rho_m - rho_s) * eps_s[row]
        close("5.6 x_mu has arrived", x_mu[row] / a_m, there, 1e-12)


@pytest.mark.parametrize("gamma", [0.3, 0.7])
@pytest.mark.parametrize("convention", ["paper", "code"])
def test_difference_to_ism_for_any_network(convention, gamma):
    prior, x, s, t = RandomNetwork(), numbers(3, 4, 8, 8), 420, 500
    words = words_of(prior, 3)
    tsm, ism = (
        part.gradient(prior, x, at(t, 3), words, {}, RANDOM).gradient
        for part in (TSM(gamma=gamma, convention=convention), ISM(convention=convention))
    )
    mu = level_between(s, t, TSM(gamma=gamma, convention=convention).lam)
    x_s = invert(prior, x, at(s, 3), words.null, RANDOM, convention=convention)
    (eps_s,) = prior.predict(x_s, at(s, 3), [words.null])
    x_mu = prior.schedule.ddim_step(x_s, eps_s, at(s, 3), at(mu, 3))
    (eps_mu,) = prior.predict(x_mu, at(mu, 3), [words.null])
    factor = 0.1 * levels(prior.schedule, t)[2]
    close("5.6 TSM - ISM", tsm - ism, factor * (eps_s - eps_mu), 1e-13)
    assert (tsm - ism).abs().max() > 1e-4


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("dims", DIMS)
def test_fixed_point(dims, gamma):
    mu0, mu1, c, scale, t, s = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 7.5, 500, 420
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    alpha_s, _, rho_s = levels(prior.schedule, s)
    _, _, rho_t = levels(prior.schedule, t)
    _, _, rho_m = levels(prior.schedule, level_between(s, t, gamma))
    push = scale * rho_t / (c + rho_t**2) * (c + rho_s**2)
    z_s = mu0 + push / interval_term(c, rho_s, rho_t, rho_m) * (mu1 - mu0)
    # For one Gaussian the inversion is affine with a scalar factor, found from two of its points.
    zero = inverted(prior, torch.zeros(1, dims, dtype=torch.float64), s)
    factor = (inverted(prior, torch.ones(1, dims, dtype=torch.float64), s) - zero)[:, :1]
    x = (alpha_s * z_s - zero) / factor
    g = ask_gradient(exact(gamma), prior, x, t)
    close("5.6 TSM fixed point", g / z_s.abs().max(), torch.zeros(1), 1e-13)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("dims", DIMS)
def test_trajectory_is_linear(dims, gamma):
    mu0, c, t, s, rate = numbers(dims, seed=1), 0.4, 500, 420, 4.0
    prior = prior_of(gaussian(mu0, c))
    origin = torch.zeros(1, dims, dtype=torch.float64)
    alpha_s, _, rho_s = levels(prior.schedule, s)
    _, _, rho_t = levels(prior.schedule, t)
    _, _, rho_m = levels(prior.schedule, level_between(s, t, gamma))
    zero = inverted(prior, origin, s)
    # z_s is affine in x with slope ``factor / alpha_s``, and the gradient in z_s - mu0.
    factor = float((inverted(prior, origin + 1, s) - zero)[0, 0])
    k = interval_term(c, rho_s, rho_t, rho_m) / (c + rho_s**2) * factor / alpha_s
    goal = (alpha_s * mu0 - zero) / factor
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 41):
        x = x - rate * ask_gradient(exact(gamma), prior, x, t)
        close("5.6 TSM trajectory", x - goal, (1 - rate * k) ** n * (start - goal), 1e-12)
    assert 0.0 < rate * k < 1.0
    close("5.6 TSM goal", goal, mu0, 1e-4)


@pytest.mark.parametrize("dims", DIMS)
def test_with_mu_at_t_it_moves_at_a_constant_speed_for_ever(dims):
    mu0, mu1, c, t, rate = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 600, 0.7
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    _, _, rho = levels(prior.schedule, t)
    stride = rate * 7.5 * rho * (mu1 - mu0) / (c + rho**2)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 41):
        x = x - rate * ask_gradient(exact(1.0), prior, x, t)
        close("5.6 TSM(mu = t) trajectory", x, start + n * stride, 1e-10)


@pytest.mark.parametrize(
    ("objective", "per_view"),
    [
        (TSM(), 3 + 4),  # s = 420: from -1 by 199, 399 and 420; then s once, t twice and mu once.
        (TSM(convention="code"), 3 + 4),
        (TSM(gamma=0.0), 3 + 3),  # mu = s: the cost of ISM.
        (TSM(gamma=1.0, convention="code"), 3 + 3),
        (TSM(gamma=1.0), 3 + 4),
        (TSM(stride=1000), 1 + 4),
        (TSM(delta_t=600.0), 1 + 4),
        (TSM(delta_t=600.0, convention="code"), 0 + 4),
        (TSM(delta_t=0.0), 3 + 3),  # An interval of nothing is mu = s = t.
    ],
    ids=repr,
)
def test_evaluations_per_view(objective, per_view):
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    objective.gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * per_view


def test_nothing_is_asked_twice():
    prior, x = Recording(RandomNetwork()), numbers(3, 4, 8, 8)
    TSM().gradient(prior, x, torch.tensor([0, 90, 700]), words_of(prior, 3), {}, RANDOM)
    single = [
        (level, tuple(row.flatten().tolist()))
        for noised, of_rows, count in prior.asked
        for row, level in zip(noised, of_rows, strict=True)
        if count == 1 and level != 0  # Level 0 is also where the clean latent is shown.
    ]
    assert len(single) == len(set(single))


def test_negative_prompt_strength_and_weight():
    laws = {PROMPT: random_mixture(2, "full"), "bad": random_mixture(2, "full", seed=40)}
    prior = GaussianMixture(laws, (1, 1, 2))
    x, t, s, mu = numbers(3, 1, 1, 2), at(500, 3), at(420, 3), at(444, 3)
    text, bad, null = (prior.condition([word] * 3) for word in (PROMPT, "bad", ""))
    g = TSM(stride=50).gradient(prior, x, t, Words(text, bad, null), {}, RANDOM).gradient
    x_s = invert(prior, x, s, null, RANDOM, stride=50)
    eps_s = prior.predict(x_s, s, [null])[0]
    x_t, x_mu = (prior.schedule.ddim_step(x_s, eps_s, s, level) for level in (t, mu))
    eps_bad, eps_text = prior.predict(x_t, t, [bad, text])
    eps_mu = prior.predict(x_mu, mu, [null])[0]
    rho = prior.schedule.rho(t, x)
    by_hand = 0.1 * rho * (eps_bad + 7.5 * (eps_text - eps_bad) - eps_mu)
    close("5.6 negative in CFG, empty in inversion and target", g, by_hand, 1e-14)


@pytest.mark.parametrize("convention", ["paper", "code"])
@pytest.mark.parametrize("head", ["x0", "v", "flow"])
@pytest.mark.parametrize("dims", DIMS)
def test_same_gradient_behind_every_head(dims, head, convention):
    schedule = NoiseSchedule.flow(1000) if head == "flow" else NoiseSchedule.scaled_linear()
    laws = random_mixture(dims, "full"), random_mixture(dims, "full", seed=50)
    prior, objective = prior_of(*laws, schedule=schedule), TSM(stride=100, convention=convention)
    x = numbers(4, dims, seed=9)
    plain = ask_gradient(objective, prior, x, 450)
    headed = ask_gradient(objective, Headed(prior, head), x, 450)
    close(f"5.2 TSM behind {head}", headed, plain, 1e-10)
