"""ASD: closed forms of Gaussians, where it attracts and where it repels, and its later timestep."""

from dataclasses import dataclass

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    Tape,
    antithetic,
    ask_gradient,
    at,
    close,
    gaussian,
    hermite,
    levels,
    numbers,
    prior_of,
    random_mixture,
    words_of,
)

from maquette.noise import NoiseSchedule
from maquette.objectives.asd import ASD
from maquette.objectives.csd import CSD
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting
from maquette.records import Words

DIMS = (1, 2, 16)
C = 0.4
PAIRS = [(100, 140), (300, 500), (420, 421), (600, 900), (979, 999)]


@dataclass(frozen=True)
class FullShift(Tape):
    """The noise is given, and so is the share of the longest shift: all of it."""

    def uniform(self, purpose, count):
        return torch.ones(count, dtype=torch.float64)


def full_shift(noise):
    return FullShift(noise=noise)


def shifted(t, later, scale=1.0, weight="uniform"):
    """ASD whose longest shift goes from ``t`` to ``later``."""
    # Half a timestep more keeps the cut to whole timesteps away from rounding.
    return ASD(scale, (later - t + 0.5) / (t - 20), 0.02, weight)


def mean_gradient(objective, prior, x, t, rule):
    """The gradient ``[B, D]`` averaged over the noise, at the longest shift."""
    points, weights = rule
    repeated, noise = x.repeat_interleave(len(points), 0), points.repeat(len(x), 1)
    g = ask_gradient(objective, prior, repeated, t, full_shift(noise))
    return torch.einsum("m,bmd->bd", weights, g.reshape(len(x), len(points), -1))


def slope(prior, t, later):
    """The mean field of a Gaussian is this times ``x - mean``."""
    (_, _, rho), (_, _, end) = (levels(prior.schedule, level) for level in (t, later))
    return (rho - end) * (C - rho * end) / ((C + rho**2) * (C + end**2))


class Recorder(RandomNetwork):
    """Remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def predict(self, noised, t, conditions):
        self.seen.append((noised, t))
        return super().predict(noised, t, conditions)


def later_of(objective, t, random=RANDOM):
    """The second timesteps that ``objective`` asks about, for the first ones ``t``."""
    prior = Recorder()
    x = torch.zeros(len(t), 4, 8, 8, dtype=torch.float64)
    objective.gradient(prior, x, t, words_of(prior, len(t)), {}, random)
    (_, first), (_, second) = prior.seen
    assert torch.equal(first, t)
    return second


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
def test_without_a_shift_it_is_csd(dims, scale):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x = numbers(3, dims)
    g = ask_gradient(ASD(scale, 0.0), prior, x, 500)
    csd = ask_gradient(CSD(), prior, x, 500)
    close("5.9 ASD(ratio = 0) = (om - 1) CSD", g, (scale - 1) * csd, 1e-13)
    if scale == 1.0:
        close("5.9 ASD(om = 1, ratio = 0)", g, torch.zeros(1), 1e-14)


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize(("t", "later"), PAIRS)
@pytest.mark.parametrize("dims", DIMS)
def test_asd_is_the_difference_of_two_sds(dims, t, later, scale):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x, noise = numbers(3, dims), numbers(3, dims, seed=4)
    g = ask_gradient(shifted(t, later, scale), prior, x, t, full_shift(noise))
    # Both have the same noise, which drops out.
    here = ask_gradient(SDS(scale, "uniform"), prior, x, t, full_shift(noise))
    there = ask_gradient(SDS(1.0, "uniform"), prior, x, later, full_shift(noise))
    close("5.9 ASD = SDS(t) - SDS(t')", g, here - there, 1e-13)


def test_by_its_definition():
    laws = {PROMPT: random_mixture(2, "full"), "bad": random_mixture(2, "full", seed=40)}
    prior, x = GaussianMixture(laws, (1, 1, 2)), numbers(3, 1, 1, 2)
    words = Words(*(prior.condition([text] * 3) for text in (PROMPT, "bad", "")))
    t, later, schedule = at(500, 3), at(548, 3), prior.schedule
    noise = RANDOM.normal("noise", x)
    g = ASD().gradient(prior, x, t, words, {}, full_shift(noise)).gradient
    x_t, x_later = (schedule.add_noise(x, noise, level) for level in (t, later))
    bad, text = prior.predict(x_t, t, [words.negative, words.positive])
    target = prior.predict(x_later, later, [words.positive])[0]
    # t' = 500 + 0.1 (500 - 20), the target has no guidance, the weight is that of t.
    by_hand = schedule.sigma(t, x) ** 2 * (bad + 7.5 * (text - bad) - target)
    close("5.9 ASD by hand", g, by_hand, 1e-14)


@pytest.mark.parametrize(("t", "later"), PAIRS)
@pytest.mark.parametrize("dims", DIMS)
def test_mean_and_noise_of_a_gaussian(dims, t, later):
    mean, x, noise = numbers(dims, seed=1), numbers(3, dims, seed=2), numbers(3, dims, seed=6)
    prior = prior_of(gaussian(mean, C))
    objective = shifted(t, later, weight="sigma_squared")
    (_, sigma, rho), (_, _, end) = (levels(prior.schedule, level) for level in (t, later))
    average = mean_gradient(objective, prior, x, t, antithetic(dims))
    by_hand = sigma**2 * slope(prior, t, later) * (x - mean)
    close("5.9 E[ASD]", average, by_hand, 1e-13)
    noisy = ask_gradient(objective, prior, x, t, full_shift(noise)) - average
    spread = rho**2 / (C + rho**2) - end**2 / (C + end**2)
    close("5.9 noise of ASD", noisy, sigma**2 * spread * noise, 1e-13)


@pytest.mark.parametrize("dims", DIMS)
def test_a_point_attracts_whatever_the_noise(dims):
    mean, x = numbers(dims, seed=1), numbers(3, dims, seed=2)
    prior = prior_of(gaussian(mean, 0.0))
    for t, later in PAIRS:
        (_, _, rho), (_, _, end) = (levels(prior.schedule, level) for level in (t, later))
        for seed in range(3):
            noise = full_shift(numbers(3, dims, seed=seed))
            g = ask_gradient(shifted(t, later), prior, x, t, noise)
            close("5.9 ASD, Dirac", g, (x - mean) * (1 / rho - 1 / end), 1e-12)
            assert bool(((g * (x - mean)).sum(1) > 0).all())


def test_it_repels_at_low_noise_and_attracts_at_high_noise():
    mean, x = numbers(2, seed=1), numbers(3, 2, seed=2)
    prior, signs = prior_of(gaussian(mean, C)), []
    for t, later in PAIRS:
        g = mean_gradient(shifted(t, later), prior, x, t, antithetic(2))
        (_, _, rho), (_, _, end) = (levels(prior.schedule, level) for level in (t, later))
        along = (g * (x - mean)).sum(1)
        assert bool(((along > 0) == (rho * end > C)).all()), (t, later)
        signs.append(bool(along[0] > 0))
    assert signs == [False, True, True, True, True]
    assert levels(prior.schedule, 140)[2] * levels(prior.schedule, 100)[2] < C


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize(("t", "later"), [(100, 140), (600, 900)])
@pytest.mark.parametrize("dims", DIMS)
def test_trajectory_towards_the_fixed_point_or_away(dims, t, later, scale):
    mu0, mu1 = numbers(dims, seed=1), numbers(dims, seed=2)
    prior = prior_of(gaussian(mu1, C), gaussian(mu0, C))
    _, _, rho = levels(prior.schedule, t)
    k = slope(prior, t, later)
    text = rho * (mu0 - mu1) / (C + rho**2)
    goal = mu1 - (scale - 1) * text / k
    objective, rate = shifted(t, later, scale), 0.1 / abs(k)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 31):
        x = x - rate * mean_gradient(objective, prior, x, t, antithetic(dims))
        by_hand = goal + (0.9 if k > 0 else 1.1) ** n * (start - goal)
        close("5.9 ASD trajectory", x / goal.norm(), by_hand / goal.norm(), 1e-11)


def test_mean_of_a_mixture_by_quadrature():
    prior = prior_of(random_mixture(1, "full"), random_mixture(1, "full", seed=9))
    x, (t, later) = numbers(3, 1), (300, 500)
    mean = mean_gradient(shifted(t, later, 7.5), prior, x, t, hermite())
    here = mean_gradient(SDS(7.5, "uniform"), prior, x, t, hermite())
    there = mean_gradient(SDS(1.0, "uniform"), prior, x, later, hermite())
    close("5.9 E[ASD], mixture", mean, here - there, 1e-13)


def test_the_later_timestep_never_leaves_the_schedule():
    t = torch.tensor([0, 5, 19, 20, 29, 30, 500, 950, 980, 998, 999])
    ends = later_of(ASD(), t, full_shift(torch.zeros(11, 4, 8, 8)))
    assert ends.tolist() == [0, 5, 19, 20, 29, 31, 548, 999, 999, 999, 999]
    far = later_of(ASD(ratio=50.0), t)
    assert bool((far >= t).all())
    assert int(far.max()) == 999
    raised = later_of(ASD(low=0.5), t, full_shift(torch.zeros(11, 4, 8, 8)))
    assert raised.tolist() == [0, 5, 19, 20, 29, 30, 500, 995, 999, 999, 999]


def test_shifts_are_uniform_for_each_view_and_step():
    t = torch.cat([at(520, 200), at(120, 200)])
    drawn = [later_of(ASD(ratio=0.2), t, RANDOM.at(step)) - t for step in range(4)]
    for part, longest in ((slice(0, 200), 100), (slice(200, 400), 20)):
        shifts = torch.cat([shift[part] for shift in drawn])
        assert int(shifts.min()) == 0
        assert 0.95 * longest - 1 < int(shifts.max()) < longest
        assert abs(float(shifts.double().mean()) - (longest - 1) / 2) < longest / 20
    assert not torch.equal(drawn[0], drawn[1])
    alone = later_of(ASD(ratio=0.2), t[7:], RANDOM.from_view(7)) - t[7:]
    assert torch.equal(alone, drawn[0][7:])


def test_it_stands_a_level_without_signal():
    prior = prior_of(gaussian([0.5], C), schedule=NoiseSchedule.flow(1000))
    g = ask_gradient(shifted(990, 1040), prior, numbers(2, 1), 990)
    assert bool(torch.isfinite(g).all())


class Offset(RandomNetwork):
    """A network to whose every prediction the same field is added."""

    def _one(self, noised, t, condition):
        return super()._one(noised, t, condition) + numbers(1, 4, 8, 8, seed=7)


class Echo(RandomNetwork):
    """Answers every question with the same field."""

    def _one(self, noised, t, condition):
        return numbers(1, 4, 8, 8, seed=7).expand_as(noised)


def test_coefficients_sum_to_zero():
    x, t = numbers(3, 4, 8, 8), at(500, 3)
    plain, common, equal = (
        ASD().gradient(prior, x, t, words_of(prior, 3), {}, RANDOM).gradient
        for prior in (RandomNetwork(), Offset(), Echo())
    )
    close("5.3 a common field changes nothing", common, plain, 1e-13)
    close("5.3 equal predictions give nothing", equal, torch.zeros(1), 1e-15)
    assert plain.abs().max() > 0.1


def test_evaluations_per_view():
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    ASD().gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * 3
