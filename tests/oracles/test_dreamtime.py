"""DreamTime: the schedule solves its equation, and where that has a closed form, is that form."""

import math
from dataclasses import replace

import pytest
import torch
from toys import (
    RANDOM,
    antithetic,
    close,
    even_in_rho,
    expected,
    gaussian,
    levels,
    numbers,
    prior_of,
)

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.objectives.sds import SDS
from maquette.ramps import linear, resolve
from maquette.records import Views
from maquette.timesteps.dreamtime import DreamTime

SCHEDULE = NoiseSchedule.scaled_linear()
WHOLE = DreamTime(low=0.0, high=1.0)


def level(sampler, progress, schedule=SCHEDULE):
    """The one timestep at a progress."""
    return int(resolve(sampler, progress).draw(Views.ring(1), schedule, RANDOM))


def run(sampler, steps, schedule=SCHEDULE):
    """The timesteps of a whole run of ``steps``, as a recipe resolves them."""
    return [level(sampler, step / (steps - 1), schedule) for step in range(steps)]


def flat(steps):
    """A schedule whose every level has the same rho: only the preference for the middle is left."""
    half = torch.full((steps,), 0.5, dtype=torch.float64).sqrt()
    return NoiseSchedule(half, half)


def weights(schedule, mean, width, first, last):
    """W from its definition, in timesteps and by plain numbers, from ``first`` to ``last``."""
    rho = [levels(schedule, t)[2] for t in range(first, last + 1)]
    near = [math.exp(-((t - mean) ** 2) / (2 * width**2)) for t in range(first, last + 1)]
    return torch.tensor(rho, dtype=torch.float64) * torch.tensor(near, dtype=torch.float64)


@pytest.mark.parametrize(
    ("sampler", "first", "last"), [(DreamTime(), 20, 980), (WHOLE, 0, 999)], ids=["bounds", "whole"]
)
def test_the_share_above_t_is_the_progress(sampler, first, last):
    w = weights(SCHEDULE, 500.0, 125.0, first, last)
    w = w / w.sum()
    share = w.flip(0).cumsum(0).flip(0)
    for step in range(101):
        p = step / 100
        t = level(sampler, p)
        residual = float((share[t - first] - p).abs())
        assert residual <= float((share - p).abs().min()) + 1e-12, (p, t)
        # The first steps lie beyond the last level's own share, which has none above it.
        close("DreamTime: sum_{t' >= t} W = i / N", residual, 0.0, float(w.max()))


def test_it_never_rises_and_uses_the_paper_s_numbers():
    ts = run(DreamTime(), 2001)
    assert ts == sorted(ts, reverse=True)
    assert ts[0] == 980
    assert ts[-1] < 200
    # rho grows with t, so the middle of the run lies above the preferred 500.
    assert 500 < ts[1000] < 600
    middle = sum(375 <= t <= 625 for t in ts) / len(ts)
    w = weights(SCHEDULE, 500.0, 125.0, 20, 980)
    close("DreamTime: time within a width", middle, w[355:606].sum() / w.sum(), 2e-3)


def test_the_time_spent_at_a_level_is_its_weight():
    schedule, steps = even_in_rho(40, 4.0), 4001
    ts = torch.tensor(run(DreamTime(0.5, 0.125, 0.0, 1.0), steps, schedule))
    spent = torch.bincount(ts, minlength=40).double() / steps
    w = weights(schedule, 20.0, 5.0, 0, 39)
    w = w / w.sum()
    # The nearest share wins: each level takes half of its own weight and half of the one below.
    below = torch.cat([torch.zeros(1), w[:-1]])
    above_last = torch.zeros(40).double()
    above_last[-1] = w[-1] / 2
    close("DreamTime: W is time", spent, (w + below) / 2 + above_last, 2 / steps)


@pytest.mark.parametrize("width", [0.05, 0.125, 0.2])
def test_without_the_noise_factor_it_is_the_normal_quantile(width):
    steps = 100_000
    sampler = replace(WHOLE, mean=0.6, width=width)
    normal = torch.distributions.Normal(0.6, width)
    ends = normal.cdf(torch.tensor([0.0, 1.0], dtype=torch.float64))
    for p in (0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999):
        t = level(sampler, p, flat(steps)) / steps
        exact = normal.icdf(ends[1] - p * (ends[1] - ends[0]))
        close("DreamTime: normal quantile", t, exact, 3e-5)


def test_with_rho_even_in_t_it_solves_the_integral():
    steps, m, s = 100_000, 0.5, 0.125

    def integral(t):
        """The integral of ``t exp(-(t - m)^2 / 2 s^2)`` from ``t`` up."""
        u = (t - m) / s
        tail = 0.5 * math.erfc(u / math.sqrt(2))
        return s**2 * math.exp(-(u**2) / 2) + m * s * math.sqrt(2 * math.pi) * tail

    schedule = even_in_rho(steps, 4.0)
    for p in (0.01, 0.2, 0.5, 0.8, 0.99):
        t = level(WHOLE, p, schedule) / steps
        share = (integral(t) - integral(1.0)) / (integral(0.0) - integral(1.0))
        close("DreamTime: share in closed form", share, p, 5e-5)


def test_without_either_factor_it_is_a_straight_line():
    ts = run(replace(WHOLE, width=math.inf), 11, flat(1000))
    assert ts == [999, *range(900, -1, -100)]


def test_a_narrow_preference_stays_at_its_level():
    # One level has all the weight: the share leaps from 0 to 1 there, and halfway 1 is nearer.
    assert run(DreamTime(width=1e-5), 21) == [980] * 11 + [500] * 10
    assert set(run(DreamTime(mean=0.999, width=1e-6, high=0.5), 5)) == {500}
    gradual = run(DreamTime(width=0.003), 201)
    assert all(490 <= t <= 510 for t in gradual[2:-2])


def test_progress_may_start_late():
    late = replace(DreamTime(), progress=linear(0.0, 1.0, begin=0.5))
    assert {level(late, p) for p in (0.0, 0.2, 0.5)} == {980}
    assert level(late, 0.75) == level(DreamTime(), 0.5)


def test_all_views_share_t_and_nothing_is_drawn():
    sampler = resolve(DreamTime(), 0.4)
    one, other = (sampler.draw(Views.ring(5), SCHEDULE, RANDOM.at(step)) for step in (0, 7))
    assert torch.equal(one, other)
    assert len(set(one.tolist())) == 1


def test_a_level_without_signal_takes_no_part():
    assert run(WHOLE, 5, NoiseSchedule.flow(10))[0] == 8
    assert level(DreamTime(width=math.inf, low=0.0, high=1.0), 0.0, NoiseSchedule.flow(1000)) == 998


def test_what_is_refused():
    for bounds in ((0.5, 0.4), (-0.1, 0.5), (0.2, 1.1)):
        with pytest.raises(InputError, match="0 <= low <= high <= 1"):
            level(DreamTime(low=bounds[0], high=bounds[1]), 0.5)
    with pytest.raises(InputError, match="leaves no timestep"):
        level(DreamTime(width=0.0), 0.5)
    with pytest.raises(InputError, match="any signal"):
        level(DreamTime(low=1.0, high=1.0), 0.5, NoiseSchedule.flow(10))
    with pytest.raises(InputError, match="not resolved"):
        DreamTime().draw(Views.ring(1), SCHEDULE, RANDOM)


@pytest.mark.parametrize("dims", [1, 2, 16])
def test_the_trajectory_of_sds_under_it(dims):
    mean, c, rate, steps = numbers(dims, seed=1), 0.4, 1.5, 80
    prior = prior_of(gaussian(mean, c))
    w = weights(SCHEDULE, 500.0, 125.0, 20, 980)
    share = w.flip(0).cumsum(0).flip(0) / w.sum()
    x = start = numbers(2, dims, seed=3)
    left = 1.0
    for step, t in enumerate(run(DreamTime(), steps)):
        x = x - rate * expected(SDS(1.0), prior, x, t, antithetic(dims))
        # The level is found anew from the definition, so that a wrong one shows in the path.
        own = 20 + int((share - step / (steps - 1)).abs().argmin())
        alpha, sigma, _ = levels(prior.schedule, own)
        left *= 1 - rate * sigma**2 * alpha * sigma / (alpha**2 * c + sigma**2)
        close("DreamTime: path of SDS", x - mean, left * (start - mean), 1e-11)
    assert left < 1e-3
