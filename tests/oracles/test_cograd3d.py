"""CoGrad3D: which regions are looked at and with how much noise, against plain numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from regions import REGIONS, distance, views_in
from toys import RANDOM, close, levels, numbers

from maquette.cameras.adaptive import AdaptiveRegions, convergence
from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.ramps import exponential, resolve
from maquette.records import Outcome
from maquette.timesteps.regional import RegionalTime, baseline

SCHEDULE = NoiseSchedule.scaled_linear()
LOCAL = RegionalTime(progress=0.5)


def losses_of(seed, count=400, regions=12):
    """Losses of regions in a random order, as ``(region, loss)``."""
    generator = np.random.default_rng(seed)
    return [
        (int(generator.integers(regions)), float(generator.exponential())) for _ in range(count)
    ]


def heard(part, pairs, state=None):
    """The state of ``part`` after these losses, two views to a step."""
    state = part.init() if state is None else state
    for step in range(0, len(pairs), 2):
        regions, losses = zip(*pairs[step : step + 2], strict=True)
        value = torch.tensor(losses, dtype=torch.float64)
        t = torch.zeros(len(regions), dtype=torch.int64)
        state = part.learn(state, Outcome(1 + step // 2, views_in(regions), t, value))
    return state


def by_region(pairs):
    """The losses of each region in their order, regions without any included."""
    lists = {region: [] for region in range(REGIONS.count)}
    for region, loss in pairs:
        lists[region].append(loss)
    return lists


# Equations 6 and 7: which regions are looked at.


def indicator_by_hand(losses, stability=1e-6):
    n = len(losses)
    if n < 2:
        return 1.0
    mean = math.fsum(losses[:-1]) / (n - 1)
    return (mean * (n - 1) + losses[-1]) / (mean * n + stability)


@pytest.mark.parametrize("seed", range(3))
def test_the_indicator_and_its_softmax_by_hand(seed):
    pairs, cameras = losses_of(seed), AdaptiveRegions()
    state, lists = heard(cameras, pairs), by_region(pairs)
    r = np.array([indicator_by_hand(lists[region]) for region in range(REGIONS.count)])
    close("r", convergence(state, 1e-6), torch.from_numpy(r), 1e-13)
    weight = np.exp(r / 0.1)
    close("P", cameras.probabilities(state), torch.from_numpy(weight / weight.sum()), 1e-13)


def test_a_worse_loss_is_drawn_more_often_and_a_better_one_less():
    state = heard(AdaptiveRegions(), [(3, 1.0), (8, 1.0), (3, 2.0), (8, 0.5), (11, 7.0)])
    share = AdaptiveRegions().probabilities(state)
    assert float(share[3]) > float(share[0]) > float(share[8])
    # A single loss has nothing to be compared with.
    assert float(share[11]) == float(share[0])
    # r is (1 + 2) / 2 and (1 + 0.5) / 2, up to the stability.
    close("ratio", float((share[3] / share[8]).log()), (1.5 - 0.75) / 0.1, 1e-4)


def test_draws_follow_the_probabilities_and_lie_in_their_regions():
    cameras, count = AdaptiveRegions(temperature=0.3), 10_000
    state = heard(cameras, losses_of(4))
    share = cameras.probabilities(state)
    views = cameras.draw_from(state, count, 8, RANDOM)
    found = torch.bincount(REGIONS.of(views), minlength=REGIONS.count).double()
    # The sum of squared standardised counts has mean R - 1 and variance 2 (R - 1).
    chi = float(((found - count * share).square() / (count * share)).sum())
    assert abs(chi - 179) < 5 * math.sqrt(2 * 179)
    assert float(views.elevation_deg.min()) < -29
    assert float(views.elevation_deg.max()) > 59


@pytest.mark.parametrize("temperature", [1e-4, math.inf])
def test_temperatures_at_both_ends(temperature):
    cameras = AdaptiveRegions(temperature=temperature)
    state = heard(cameras, [(5, 1.0), (5, 9.0)])
    worst = torch.zeros(REGIONS.count, dtype=torch.float64)
    worst[5] = 1.0
    even = torch.full_like(worst, 1 / REGIONS.count)
    close("P", cameras.probabilities(state), worst if temperature < 1 else even, 1e-15)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(InputError, match="temperature"):
        AdaptiveRegions(temperature=temperature).draw(1, 8, RANDOM)


def test_a_region_seen_often_is_no_longer_told_from_others():
    """The paper's own formula: r - 1 falls as 1 / n; a falling temperature can make up for it."""
    for n in (2, 10, 100):
        state = heard(AdaptiveRegions(stability=0.0), [(0, 1.0)] * (n - 1) + [(0, 3.0)])
        close("r - 1", float(convergence(state, 0.0)[0]) - 1, (3.0 / 1.0 - 1) / n, 1e-13)
    falling = AdaptiveRegions(temperature=exponential(0.1, 0.001))
    late = resolve(falling, 1.0).probabilities(
        heard(AdaptiveRegions(), [(0, 1.0)] * 99 + [(0, 3.0)])
    )
    assert float(late[0]) > 0.99


def test_regions_draw_row_by_row():
    state, cameras = heard(AdaptiveRegions(), losses_of(1)), AdaptiveRegions()
    whole = cameras.draw_from(state, 4, 8, RANDOM)
    for row in range(4):
        one = cameras.draw_from(state, 1, 8, RANDOM.from_view(row))
        assert torch.equal(one.world_from_camera, whole[row : row + 1].world_from_camera)


# Section 3.3: how much noise.


def log_snr(schedule, t):
    alpha, sigma, _ = levels(schedule, t)
    return math.log(alpha**2 / sigma**2)


@pytest.mark.parametrize("schedule", [SCHEDULE, NoiseSchedule.flow(1000)], ids=["ddpm", "flow"])
@pytest.mark.parametrize("progress", [0.0, 0.2, 0.37, 0.5, 0.8, 1.0])
def test_the_baseline_lies_on_a_line_in_log_snr(schedule, progress):
    # The last level of a flow has no signal, so its line begins one earlier.
    last = 998 if float(schedule.alphas[-1]) == 0 else 999
    target = (1 - progress) * log_snr(schedule, last) + progress * log_snr(schedule, 0)
    off = [abs(log_snr(schedule, t) - target) for t in range(last + 1)]
    assert baseline(schedule, progress) == int(np.argmin(off))


def test_the_baseline_only_falls_and_stands_still_at_both_ends():
    def at(progress):
        return baseline(SCHEDULE, resolve(RegionalTime(), progress).progress)

    run = [at(step / 400) for step in range(401)]
    assert run == sorted(run, reverse=True)
    assert run[0] == run[80] > run[81 + 5] > run[320 - 5] > run[320] == run[400]
    assert baseline(SCHEDULE, 0.0) == 999
    assert baseline(SCHEDULE, 1.0) == 0


def test_a_schedule_without_a_log_snr_is_refused():
    half = torch.tensor([1.0, 0.0], dtype=torch.float64)
    with pytest.raises(InputError, match="both signal and noise"):
        baseline(NoiseSchedule(half, 1 - half), 0.5)


def states_by_hand(pairs, unit=1.0):
    """Every region's local state, by the recursion of equation 8."""
    states = np.zeros(REGIONS.count)
    for region, losses in by_region(pairs).items():
        average = 0.0
        for n, loss in enumerate(x / unit for x in losses):
            past = [x / unit for x in losses[:n]]
            if n == 1:
                average = past[0]
            elif n > 1:
                average = 0.9 * average + 0.1 * past[-1]
            first = loss - past[-1] if n >= 1 else 0.0
            second = loss - 2 * past[-1] + past[-2] if n >= 2 else 0.0
            off = loss - average if n >= 1 else 0.0
            update = 0.5 * first + 0.3 * second + 0.2 * off
            states[region] = 0.9 * states[region] + min(0.05, max(-0.05, update))
    return states


@pytest.mark.parametrize("unit", [1.0, 20.0, 1000.0])
def test_local_states_by_hand(unit):
    pairs = losses_of(2)
    state = heard(replace(LOCAL, unit=unit), pairs)
    close("state", state["local"], torch.from_numpy(states_by_hand(pairs, unit)), 1e-14)


def test_an_update_is_clipped_at_both_sides():
    rising = heard(LOCAL, [(7, 1.0), (7, 100.0)])["local"]
    falling = heard(LOCAL, [(7, 100.0), (7, 1.0)])["local"]
    assert float(rising[7]) == 0.05
    assert float(falling[7]) == -0.05
    assert int(rising.count_nonzero()) == 1


def test_the_unit_is_what_the_loss_is_measured_in():
    pairs = [(region, 0.01 * loss) for region, loss in losses_of(3)]
    small = heard(replace(LOCAL, unit=0.01), pairs)["local"]
    close("state", small, heard(LOCAL, losses_of(3))["local"], 1e-13)


def test_the_neighbourhood_average_by_hand():
    state = {**LOCAL.init(), "local": 0.5 * numbers(REGIONS.count).clamp(-1, 1)}
    wanted = []
    for a in range(REGIONS.count):
        weight = {b: 2.0 ** -distance(a, b) for b in range(180) if distance(a, b) < 2}
        total = sum(w * float(state["local"][b]) for b, w in weight.items())
        wanted.append(0.2 * total / sum(weight.values()))
    every = views_in(list(range(REGIONS.count)))
    close("shift", LOCAL.shift(state, every), torch.tensor(wanted, dtype=torch.float64), 1e-15)


def test_a_region_that_agrees_with_its_neighbours_is_moved_alike_at_the_rim():
    state = {**LOCAL.init(), "local": torch.full((REGIONS.count,), 0.3, dtype=torch.float64)}
    shift = LOCAL.shift(state, views_in(list(range(REGIONS.count))))
    close("shift", shift, torch.full_like(shift, 0.2 * 0.3), 1e-15)


@pytest.mark.parametrize("local", [0.5, -0.5])
def test_timesteps_fill_their_window_around_the_base(local):
    state = {**LOCAL.init(), "local": torch.full((REGIONS.count,), local, dtype=torch.float64)}
    t = LOCAL.draw_from(state, views_in([30] * 4000), SCHEDULE, RANDOM)
    base = baseline(SCHEDULE, 0.5) + 0.2 * local * 1000
    assert base - 101 < int(t.min()) < base - 95
    assert base + 95 < int(t.max()) < base + 101
    assert abs(float(t.double().mean()) - base) < 5 * 200 / math.sqrt(12 * 4000)


@pytest.mark.parametrize(("progress", "base"), [(0.0, 900), (0.999, 100)])
def test_the_base_is_clipped_before_the_window_is_laid(progress, base):
    t = replace(LOCAL, progress=progress).draw(views_in([30] * 4000), SCHEDULE, RANDOM)
    assert base - 100 <= int(t.min()) < base - 95
    assert base + 95 < int(t.max()) <= min(base + 100, 999)


def test_a_region_that_gets_worse_takes_more_noise():
    worse = heard(LOCAL, [(30, 1.0), (30, 2.0)])
    plain, more = (
        LOCAL.draw_from(s, views_in([30, 90]), SCHEDULE, RANDOM) for s in (LOCAL.init(), worse)
    )
    assert int(more[0]) > int(plain[0])
    assert int(more[1]) >= int(plain[1])
    off = replace(LOCAL, coupling=0.0).draw_from(worse, views_in([30, 90]), SCHEDULE, RANDOM)
    assert torch.equal(off, plain)


def test_regional_timesteps_draw_row_by_row():
    state, views = heard(LOCAL, losses_of(5)), views_in([0, 3, 77, 179])
    whole = LOCAL.draw_from(state, views, SCHEDULE, RANDOM)
    for row in range(4):
        one = LOCAL.draw_from(state, views[row : row + 1], SCHEDULE, RANDOM.from_view(row))
        assert torch.equal(one, whole[row : row + 1])


@pytest.mark.parametrize("bounds", [(0.5, 0.4), (-0.1, 0.5), (0.2, 1.1)])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(InputError, match="0 <= low <= high <= 1"):
        replace(LOCAL, low=bounds[0], high=bounds[1]).draw(views_in([0]), SCHEDULE, RANDOM)
