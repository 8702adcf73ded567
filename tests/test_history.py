"""Regions of views and their histories: boxes that tile the views, and losses noted as by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maquette.errors import InputError
from maquette.history import (
    Learner,
    Regions,
    blank,
    deviation,
    first_difference,
    noted,
    second_difference,
    seen,
)
from maquette.ramps import linear, resolve
from maquette.records import Outcome, Views

REGIONS = Regions()


def views(azimuth: list[float], elevation: list[float], distance: list[float]) -> Views:
    around, up, away = (torch.tensor(values) for values in (azimuth, elevation, distance))
    return Views(around, up, away, torch.full_like(away, 40.0), 8, 8)


def region_of(azimuth: float, elevation: float, distance: float) -> int:
    return int(REGIONS.of(views([azimuth], [elevation], [distance])))


def outcome(at: Views, losses: list[float]) -> Outcome:
    value = torch.tensor(losses, dtype=torch.float64)
    return Outcome(1, at, torch.zeros(len(losses), dtype=torch.int64), value)


def history_of(losses: list[float], region: int = 0, regions: int = 2) -> dict[str, Tensor]:
    history = blank(regions)
    for loss in losses:
        history = noted(history, region, loss)
    return history


def test_regions_are_numbered_distance_first_then_azimuth_then_elevation() -> None:
    assert REGIONS.count == 180
    assert region_of(-179.0, -29.0, 3.1) == 0
    assert region_of(-179.0, -29.0, 3.5) == 1
    assert region_of(-167.0, -29.0, 3.1) == 2
    assert region_of(-179.0, 1.0, 3.1) == 60
    assert region_of(179.0, 59.0, 3.5) == 179


@given(
    region=st.integers(0, 179),
    shares=st.tuples(*[st.floats(0.001, 0.999)] * 3),
    turns=st.integers(-2, 2),
)
def test_a_place_in_a_region_lies_in_it_whichever_way_round(region, shares, turns) -> None:
    fractions = [torch.tensor([share], dtype=torch.float64) for share in shares]
    elevation, azimuth, distance = REGIONS.at(torch.tensor([region]), *fractions)
    assert region_of(float(azimuth) + 360 * turns, float(elevation), float(distance)) == region


def test_regions_have_equal_sizes_and_leave_no_gap() -> None:
    zero, every = torch.zeros(180, dtype=torch.float64), torch.arange(180)
    low = torch.stack(REGIONS.at(every, zero, zero, zero))
    high = torch.stack(REGIONS.at(every, zero + 1, zero + 1, zero + 1))
    sizes = torch.tensor([30.0, 12.0, 0.3], dtype=torch.float64)[:, None]
    assert float((high - low - sizes).abs().max()) <= 1e-12
    assert len({tuple(corner) for corner in low.mT.tolist()}) == 180


def test_views_outside_belong_to_the_nearest_region() -> None:
    assert region_of(0.0, -80.0, 1.0) == region_of(0.0, -29.0, 3.1)
    assert region_of(0.0, 89.0, 9.0) == region_of(0.0, 59.0, 3.5)
    assert region_of(180.0, 0.0, 3.1) == region_of(-180.0, 0.0, 3.1)


def test_steps_between_regions_are_counted_along_the_axes_and_go_round() -> None:
    apart = REGIONS.apart(torch.arange(180))
    for a in (0, 1, 59, 60, 77, 179):
        for b in range(180):
            (ea, aa, da), (eb, ab, db) = (divmod_all(x) for x in (a, b))
            around = min((aa - ab) % 30, (ab - aa) % 30)
            assert int(apart[a, b]) == abs(ea - eb) + around + abs(da - db)
    assert torch.equal(apart, apart.mT)
    # A region in the middle has six neighbours but for the distance, where there are two in all.
    assert int((apart[60] < 2).sum()) == 1 + 2 + 2 + 1


def divmod_all(region: int) -> tuple[int, int, int]:
    return region // 60, region // 2 % 30, region % 2


def test_ranges_may_be_ramps_or_a_single_value() -> None:
    regions = resolve(Regions(distance=(linear(4.0, 2.0), 4.0)), 1.0)
    assert int(regions.of(views([-179.0], [-29.0], [2.9]))) == 0
    assert int(regions.of(views([-179.0], [-29.0], [3.1]))) == 1
    flat = Regions(elevation_deg=(15.0, 15.0))
    assert int(flat.of(views([-179.0], [15.0], [3.1]))) == 0
    place = flat.at(*[torch.zeros(1, dtype=torch.int64)] * 4)
    assert float(place[0]) == 15.0


@pytest.mark.parametrize("axis", ["elevations", "azimuths", "distances"])
def test_no_region_along_an_axis_is_refused(axis: str) -> None:
    with pytest.raises(InputError, match="regions"):
        replace(REGIONS, **{axis: 0})


@given(st.lists(st.floats(0.0, 1e6), max_size=8))
def test_a_history_is_what_one_would_write_down(losses: list[float]) -> None:
    history = history_of(losses, region=1)
    assert int(history["count"][1]) == len(losses)
    newest = [*reversed(losses), 0.0, 0.0, 0.0][:3]
    assert history["losses"][1].tolist() == newest
    assert math.isclose(float(history["earlier"][1]), math.fsum(losses[:-1]), rel_tol=1e-14)
    average = losses[0] if len(losses) > 1 else 0.0
    for loss in losses[1:-1]:
        average = 0.9 * average + 0.1 * loss
    assert math.isclose(float(history["average"][1]), average, rel_tol=1e-14)
    for value in history.values():
        assert torch.equal(value[0], torch.zeros_like(value[0]))


def test_differences_are_those_of_the_newest_losses() -> None:
    losses = [5.0, 2.0, 4.0, 9.0]
    for count, first, second in ((0, 0, 0), (1, 0, 0), (2, -3, 0), (3, 2, 5), (4, 5, 3)):
        history = history_of(losses[:count])
        assert first_difference(history).tolist() == [first, 0]
        assert second_difference(history).tolist() == [second, 0]
        assert second == 0 or second == np.diff(losses[:count], 2)[-1]


def test_the_deviation_is_from_the_average_before_the_newest_loss() -> None:
    assert deviation(history_of([])).tolist() == [0, 0]
    assert deviation(history_of([5.0])).tolist() == [0, 0]
    assert deviation(history_of([5.0, 2.0])).tolist() == [-3, 0]
    expected = 4.0 - (0.9 * 5.0 + 0.1 * 2.0)
    assert abs(float(deviation(history_of([5.0, 2.0, 4.0]))[0]) - expected) <= 1e-15


def test_noting_changes_a_copy_and_keeps_what_else_there_is() -> None:
    before = {**history_of([1.0]), "local": torch.tensor([0.25, 0.5])}
    copies = {name: value.clone() for name, value in before.items()}
    after = noted(before, 0, 2.0)
    assert all(torch.equal(before[name], copies[name]) for name in copies)
    assert torch.equal(after["local"], before["local"])
    assert all(after[name] is not before[name] for name in before)


def test_a_faster_average_forgets_faster() -> None:
    history = blank(1)
    for loss in (8.0, 4.0, 0.0):
        history = noted(history, 0, loss, decay=0.25)
    assert float(history["average"]) == 0.25 * 8.0 + 0.75 * 4.0


def test_losses_that_are_not_finite_are_left_out() -> None:
    at = views([0.0, 90.0, 180.0], [0.0, 0.0, 0.0], [3.1, 3.1, 3.1])
    found = seen(REGIONS, outcome(at, [1.0, math.inf, 2.0]))
    assert found == [(region_of(0.0, 0.0, 3.1), 1.0), (region_of(180.0, 0.0, 3.1), 2.0)]
    assert seen(REGIONS, outcome(at, [math.nan] * 3)) == []


def test_a_part_that_learns_nothing_needs_neither_method() -> None:
    at = views([0.0], [0.0], [3.1])
    assert Learner().init() == {}
    kept = {"x": torch.ones(1)}
    assert Learner().learn(kept, outcome(at, [1.0])) == kept
