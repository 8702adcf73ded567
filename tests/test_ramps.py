"""Ramps: their shapes, their resolution in nested parts, and what they refuse."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from maquette.errors import InputError
from maquette.ramps import (
    Ramp,
    constant,
    cosine,
    exponential,
    linear,
    number,
    resolve,
    steps,
)


@dataclass(frozen=True)
class Inner:
    scale: Any = linear(0.0, 10.0)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    bounds: tuple = (linear(1.0, 2.0), 5.0)
    rates: dict = field(default_factory=lambda: {"means": linear(4.0, 2.0), "name": "x"})
    plain: str = "unchanged"


def values(ramp):
    return [ramp(p) for p in (0.0, 0.25, 0.5, 1.0)]


def test_shapes():
    assert values(constant(3.0)) == [3.0] * 4
    assert values(linear(0.0, 8.0)) == [0.0, 2.0, 4.0, 8.0]
    assert values(exponential(1.0, 16.0)) == pytest.approx([1.0, 2.0, 4.0, 16.0])
    assert values(cosine(0.0, 2.0)) == pytest.approx([0.0, 1 - 0.5**0.5, 1.0, 2.0])
    assert values(steps((0.0, 1.0), (0.5, 7.0))) == [1.0, 1.0, 7.0, 7.0]


def test_a_ramp_holds_its_ends_outside_its_knots():
    ramp = linear(1.0, 3.0, begin=0.25, finish=0.5)
    assert [ramp(p) for p in (0.0, 0.25, 0.375, 0.5, 0.9)] == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_many_knots():
    ramp = Ramp(((0.0, 0.0), (0.5, 1.0), (1.0, 0.0)))
    assert [ramp(p) for p in (0.25, 0.5, 0.75)] == [0.5, 1.0, 0.5]


def test_resolution_reaches_every_depth_and_keeps_what_has_no_ramp():
    part = Outer()
    half = resolve(part, 0.5)
    assert half.inner.scale == 5.0
    assert half.bounds == (1.5, 5.0)
    assert half.rates == {"means": 3.0, "name": "x"}
    assert isinstance(part.inner.scale, Ramp)
    assert resolve(half, 0.1) is half


def test_number_refuses_what_was_not_resolved():
    assert number(3) == 3.0
    with pytest.raises(InputError, match="not resolved"):
        number(linear(0.0, 1.0))


@pytest.mark.parametrize("knots", [(), ((0.5, 1.0), (0.2, 2.0))])
def test_knots_must_rise(knots):
    with pytest.raises(InputError, match="must rise"):
        Ramp(knots)


def test_unknown_shapes_are_refused():
    with pytest.raises(InputError, match="'cosin'"):
        Ramp(((0.0, 1.0),), "cosin")
