"""SJC and NFSD: what they share with SDS and CSD, their laws for Gaussians, their trajectories."""

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    antithetic,
    ask_gradient,
    at,
    close,
    expected,
    gaussian,
    hermite,
    levels,
    numbers,
    prior_of,
    random_mixture,
    tape,
    words_of,
)

from maquette.errors import PriorError
from maquette.noise import NoiseSchedule
from maquette.objectives.csd import CSD
from maquette.objectives.nfsd import NFSD
from maquette.objectives.sds import SDS
from maquette.objectives.sjc import SJC
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting
from maquette.records import Words

DIMS = (1, 2, 16)
BASELINES = ("clean", "noised")
C = 0.4


class Offset(RandomNetwork):
    """A network to whose every prediction the same field is added."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def _one(self, noised, t, condition):
        return super()._one(noised, t, condition) + self.field


class Echo(Offset):
    """Answers every question with the same field."""

    def _one(self, noised, t, condition):
        return self.field.expand_as(noised)


def guided_gaussians(dims):
    """A prior of two Gaussians of equal variance, and the null's and the prompt's mean."""
    mu0, mu1 = numbers(dims, seed=1), numbers(dims, seed=2)
    return prior_of(gaussian(mu1, C), gaussian(mu0, C)), mu0, mu1


def ve_slope(prior, t):
    """``rho / (c + rho^2)``, the slope of a Gaussian's noise prediction where noise is added."""
    _, _, rho = levels(prior.schedule, t)
    return rho / (C + rho**2)


@pytest.mark.parametrize("t", [0, 100, 500, 980])
@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
def test_sjc_is_sds_with_uniform_weight(dims, scale, t):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x = numbers(3, dims, seed=5)
    sds = ask_gradient(SDS(scale, "uniform"), prior, x, t)
    noise = RANDOM.normal("noise", x.reshape(3, 1, 1, dims)).flatten(1)
    clean, noised = (ask_gradient(SJC(scale, b), prior, x, t) for b in BASELINES)
    # At t = 0 the estimate of the clean latent is divided by rho = 0.03, and so is its rounding.
    close("5.4 SJC = SDS", clean, sds, 1e-12)
    close("5.4 SJC without variance reduction = SDS + noise", noised, sds + noise, 1e-12)
    weighted = ask_gradient(SJC(scale, weight="sigma_squared"), prior, x, t)
    close("5.4 weighted SJC = SDS", weighted, ask_gradient(SDS(scale), prior, x, t), 1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
def test_sjc_is_sds_for_any_network(baseline):
    prior, x, t = RandomNetwork(), numbers(3, 4, 8, 8), torch.tensor([20, 500, 980])
    noise = RANDOM.normal("noise", x) * (baseline == "noised")
    sjc, sds = (
        objective.gradient(prior, x, t, words_of(prior, 3), {}, RANDOM).gradient
        for objective in (SJC(7.5, baseline), SDS(7.5, "uniform"))
    )
    close("5.4 SJC = SDS, network", sjc, sds + noise, 1e-12)


@pytest.mark.parametrize("t", [100, 400, 800])
@pytest.mark.parametrize("dims", [1, 2])
def test_sjc_is_the_score_of_the_noised_pictures(dims, t):
    law, h = random_mixture(dims, "full"), 1e-3
    prior = prior_of(law)
    _, _, rho = levels(prior.schedule, t)
    x, noise = numbers(1, dims, seed=3), numbers(1, dims, seed=4)
    blurred = law.matrices().double() + rho**2 * torch.eye(dims, dtype=torch.float64)
    density = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(law.weights),
        torch.distributions.MultivariateNormal(law.means, blurred),
    )
    shifts, z = h * torch.eye(dims, dtype=torch.float64), x + rho * noise
    near = density.log_prob(z + shifts) - density.log_prob(z - shifts)
    far = density.log_prob(z + 2 * shifts) - density.log_prob(z - 2 * shifts)
    score = (8 * near - far) / (12 * h)
    g = ask_gradient(SJC(1.0, "noised"), prior, x, t, tape(noise))[0]
    close("5.4 SJC = -rho FD(log p_rho(z))", g, -rho * score, 1e-9)


@pytest.mark.parametrize("dims", [1, 2])
def test_both_baselines_have_the_same_mean(dims):
    prior, x = prior_of(random_mixture(dims, "full", seed=3)), numbers(2, dims, seed=4)
    rule = hermite(60 if dims == 1 else 24, dims)
    clean, noised = (expected(SJC(1.0, b), prior, x, 300, rule) for b in BASELINES)
    close("5.4 variance reduction keeps the mean", clean, noised, 1e-12)


@pytest.mark.parametrize("t", [20, 300, 980])
@pytest.mark.parametrize("dims", DIMS)
def test_sjc_mean_and_noise_of_a_gaussian(dims, t):
    mean, x, noise = numbers(dims, seed=1), numbers(3, dims, seed=2), numbers(3, dims, seed=6)
    prior = prior_of(gaussian(mean, C))
    _, _, rho = levels(prior.schedule, t)
    factors = {"clean": -C / (C + rho**2), "noised": rho**2 / (C + rho**2)}
    for baseline, factor in factors.items():
        sjc = SJC(1.0, baseline)
        average = expected(sjc, prior, x, t, antithetic(dims))
        close("5.4 E[SJC]", average, ve_slope(prior, t) * (x - mean), 1e-12)
        quiet = ask_gradient(sjc, prior, x, t, tape(torch.zeros_like(x)))
        noisy = ask_gradient(sjc, prior, x, t, tape(noise))
        close("5.4 noise of SJC", noisy - quiet, factor * noise, 1e-12)


@pytest.mark.parametrize("dims", DIMS)
def test_sjc_of_a_point_is_the_same_for_every_noise(dims):
    mean, x, t = numbers(dims, seed=1), numbers(3, dims, seed=2), 350
    prior = prior_of(gaussian(mean, 0.0))
    _, _, rho = levels(prior.schedule, t)
    for seed in range(3):
        g = ask_gradient(SJC(1.0), prior, x, t, tape(numbers(3, dims, seed=seed)))
        close("5.4 SJC, Dirac", g, (x - mean) / rho, 1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
def test_sjc_trajectory(dims, scale, baseline):
    (prior, mu0, mu1), t, rate = guided_gaussians(dims), 500, 0.2
    k, goal = ve_slope(prior, t), mu0 + scale * (mu1 - mu0)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 61):
        x = x - rate * expected(SJC(scale, baseline), prior, x, t, antithetic(dims))
        close("5.4 SJC trajectory", x - goal, (1 - rate * k) ** n * (start - goal), 1e-11)
    assert (x - goal).norm() < 0.01 * (start - goal).norm()


@pytest.mark.parametrize("dims", DIMS)
def test_sjc_and_sds_walk_the_same_noisy_path(dims):
    prior, rate = prior_of(random_mixture(dims, "full")), 0.1
    by_sjc = by_sds = numbers(2, dims, seed=3)
    for n in range(60):
        t, random = 900 - 10 * n, RANDOM.at(n)
        by_sjc = by_sjc - rate * ask_gradient(SJC(7.5), prior, by_sjc, t, random)
        by_sds = by_sds - rate * ask_gradient(SDS(7.5, "uniform"), prior, by_sds, t, random)
        close("5.4 SJC and SDS paths", by_sjc, by_sds, 1e-10)


def test_sjc_refuses_a_level_without_signal():
    prior = prior_of(gaussian([0.5], C), schedule=NoiseSchedule.flow(1000))
    with pytest.raises(PriorError, match="no signal left"):
        ask_gradient(SJC(), prior, numbers(1, 1), 999)


class ThreeLaws:
    """A prompt, a negative prompt and the null, each a law of its own; common words for NFSD."""

    def __init__(self, text, bad, null):
        shape = (1, 1, text.means.shape[1])
        self.prior = GaussianMixture({PROMPT: text, "bad": bad}, shape, null=null)

    def words(self, count):
        return Words(*(self.prior.condition([text] * count) for text in (PROMPT, "bad", "")))

    def gradient(self, objective, x, t, random=RANDOM):
        latent, t = x.reshape(len(x), 1, 1, -1), torch.as_tensor(t).expand(len(x))
        words = self.words(len(x))
        return objective.gradient(self.prior, latent, t, words, {}, random).gradient.flatten(1)

    @staticmethod
    def gaussians(dims):
        means = [numbers(dims, seed=seed) for seed in (1, 2, 3)]
        return ThreeLaws(*(gaussian(mean, C) for mean in means)), *means


@pytest.mark.parametrize("dims", DIMS)
def test_nfsd_by_its_definition(dims):
    world = ThreeLaws(*(random_mixture(dims, "full", seed=seed) for seed in (0, 20, 40)))
    x, t = numbers(4, dims), torch.tensor([50, 199, 200, 800])
    latent = x.reshape(4, 1, 1, dims)
    schedule = world.prior.schedule
    x_t = schedule.add_noise(latent, RANDOM.normal("noise", latent), t)
    words = world.words(4)
    text, bad, null = world.prior.predict(x_t, t, [words.positive, words.negative, words.null])
    delta_d = torch.cat([null[:2], (null - bad)[2:]])
    by_hand = schedule.sigma(t, x_t) ** 2 * (delta_d + 7.5 * (text - null))
    close("NFSD: by hand", world.gradient(NFSD(), x, t), by_hand.flatten(1), 1e-14)


@pytest.mark.parametrize("t", [20, 199, 200, 700])
@pytest.mark.parametrize("dims", DIMS)
def test_nfsd_without_a_negative_prompt(dims, t):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x = numbers(3, dims)
    g = ask_gradient(NFSD(7.5, weight="uniform"), prior, x, t)
    noise = RANDOM.normal("noise", x.reshape(3, 1, 1, dims)).flatten(1)
    as_sds = ask_gradient(SDS(7.5, "uniform"), prior, x, t) + noise
    as_csd = 7.5 * ask_gradient(CSD("uniform"), prior, x, t)
    close("NFSD: = SDS + noise, or CSD", g, as_sds if t < 200 else as_csd, 1e-13)


@pytest.mark.parametrize("dims", DIMS)
def test_nfsd_moves_at_a_constant_speed_where_it_subtracts(dims):
    world, mu1, bad, mu0 = ThreeLaws.gaussians(dims)
    t, rate, scale = 500, 0.7, 7.5
    alpha, sigma, _ = levels(world.prior.schedule, t)
    k = sigma**2 * alpha * sigma / (alpha**2 * C + sigma**2)
    # Towards the prompt's mean by the scale, and once from the negative's to the null's.
    stride = rate * k * (scale * (mu1 - mu0) + (mu0 - bad))
    x = start = numbers(2, dims, seed=4)
    for n in range(1, 41):
        x = x - rate * world.gradient(NFSD(scale), x, t, RANDOM.at(n))
        close("NFSD: trajectory, t >= 200", x, start + n * stride, 1e-11)


@pytest.mark.parametrize("dims", DIMS)
def test_nfsd_descends_as_sds_where_it_does_not(dims):
    world, mu1, _, mu0 = ThreeLaws.gaussians(dims)
    t, scale = 199, 7.5
    alpha, sigma, _ = levels(world.prior.schedule, t)
    spread = alpha**2 * C + sigma**2
    k, goal = sigma**2 * alpha * sigma / spread, mu0 + scale * (mu1 - mu0)
    rate, node = 0.1 / k, numbers(2, dims, seed=8)
    x = start = numbers(2, dims, seed=4)
    for n in range(1, 61):
        up, down = (world.gradient(NFSD(scale), x, t, tape(s * node)) for s in (1, -1))
        close("NFSD: noise, t < 200", (up - down) / 2, sigma**4 / spread * node, 1e-13)
        x = x - rate * (up + down) / 2
        close("NFSD: trajectory, t < 200", x - goal, 0.9**n * (start - goal), 1e-11)


def coefficient_sum(objective, t):
    """What a field common to all predictions adds to the gradient, divided by that field."""
    field, x = 1 + numbers(1, 4, 8, 8, seed=7).square(), numbers(3, 4, 8, 8)
    plain, shifted = (
        objective.gradient(prior, x, at(t, 3), words_of(prior, 3), {}, RANDOM).gradient
        for prior in (RandomNetwork(), Offset(field))
    )
    return (shifted - plain) / field


@pytest.mark.parametrize(
    ("objective", "t", "total"),
    [
        # The true noise has the coefficient -1 in the first and 0 in all others.
        (SJC(7.5), 500, 1.0),
        (SJC(7.5, "noised"), 500, 1.0),
        (NFSD(weight="uniform"), 199, 1.0),
        (NFSD(weight="uniform"), 200, 0.0),
    ],
    ids=repr,
)
def test_coefficients_of_the_predictions(objective, t, total):
    close("5.3 sum of coefficients", coefficient_sum(objective, t), torch.tensor(total), 1e-12)


def test_equal_predictions_give_nothing_to_do():
    x, noise = numbers(3, 4, 8, 8), numbers(3, 4, 8, 8, seed=1)
    prior = Echo(noise)
    for objective, t, answer in (
        (SJC(7.5), 500, 0.0 * noise),
        (SJC(7.5, "noised"), 500, noise),
        (NFSD(weight="uniform"), 200, 0.0 * noise),
        (NFSD(weight="uniform"), 199, noise),
    ):
        words = words_of(prior, 3)
        g = objective.gradient(prior, x, at(t, 3), words, {}, tape(noise)).gradient
        close("5.3 all predictions are the noise", g, answer, 1e-13)


@pytest.mark.parametrize(("objective", "per_view"), [(SJC(), 2), (NFSD(), 3)], ids=repr)
def test_evaluations_per_view(objective, per_view):
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    objective.gradient(prior, x, torch.tensor([20, 500, 980]), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * per_view
