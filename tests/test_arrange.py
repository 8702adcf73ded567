"""Finishes and pairs of objects: what a caption says is what the picture shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator, Philox

from maquette.toybox.arrange import assemble
from maquette.toybox.captions import FLAT, RELATIONS, Description, held_out
from maquette.toybox.colours import COLOURS
from maquette.toybox.finish import MATERIALS, PATTERNS, marks_on
from maquette.toybox.kinds import KINDS
from maquette.toybox.shapes import Primitive, pack, support
from maquette.toybox.world import sample, true_picture, view_of

RED, BLUE, GREEN = COLOURS["red"], COLOURS["blue"], COLOURS["green"]
UP = np.array([[0.0, 0.0, 1.0]])


def random() -> Generator:
    return Generator(Philox(key=np.array([3, 4], np.uint64)))


def reach(parts: list[Primitive], direction: np.ndarray) -> float:
    return float(support(parts, direction).max())


def of(parts: list[Primitive], colour: tuple[float, float, float]) -> list[Primitive]:
    return [part for part in parts if part.colour == colour]


@pytest.mark.parametrize("base", FLAT)
def test_on_means_standing_on_it(base: str) -> None:
    described = Description("cone", ("red",), relation="on", other=Description(base, ("blue",)))
    parts = assemble(described, [(RED, RED), (BLUE, BLUE)], random())
    top, bottom = reach(of(parts, BLUE), UP), -reach(of(parts, RED), -UP)
    assert top == pytest.approx(bottom, abs=1e-6)
    assert reach(parts, UP) < 0.9


def test_beside_means_on_one_floor_and_not_touching() -> None:
    described = Description(
        "cube", ("red",), relation="beside", other=Description("ball", ("blue",))
    )
    parts = assemble(described, [(RED, RED), (BLUE, BLUE)], random())
    assert reach(of(parts, RED), -UP) == pytest.approx(reach(of(parts, BLUE), -UP), abs=1e-6)
    left = np.array([[0.0, 1.0, 0.0]])
    gap = -reach(of(parts, BLUE), -left) - reach(of(parts, RED), left)
    assert 0.01 < gap < 0.1


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_pairs_fit_like_single_objects(kind: str, relation: str) -> None:
    described = Description(kind, relation=relation, other=Description("table"))
    parts = assemble(described, [(RED, GREEN), (BLUE, BLUE)], random())
    directions = np.random.default_rng(0).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert float(support(parts, directions).max()) < 0.93


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_marks_a_fair_share_of_the_first_colour_only(pattern: str) -> None:
    parts = assemble(Description("can", pattern=pattern), [(RED, BLUE)], random())
    marks = np.array(marks_on(RED))
    assert all(bool(part.pattern) == (part.colour == RED) for part in parts)
    traced = view_of(pack(parts), 30.0, 20.0, 96)
    colours = traced.colour[traced.alpha == 1]
    hue = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    is_red, is_mark = (hue @ (np.array(rgb) / np.linalg.norm(rgb)) > 0.995 for rgb in (RED, marks))
    share = is_mark.sum() / (is_mark.sum() + is_red.sum())
    assert 0.2 < share < 0.65


def test_shine_adds_light_and_takes_none() -> None:
    dull, shiny = (
        true_picture(Description("ball", ("green",), material=word), 20.0, 20.0).astype(int)
        for word in MATERIALS
    )
    assert (shiny >= dull - 1).all()
    assert (shiny - dull).max() > 60
    assert ((shiny - dull).max(-1) > 20).mean() < 0.2


def test_small_is_smaller_than_usual_and_big_larger() -> None:
    widths = [
        (true_picture(Description("ball", ("red",), size=word), 0.0, 0.0) < 250).any(-1).sum()
        for word in ("small", "", "big")
    ]
    assert widths == sorted(widths)
    assert widths[0] < 0.65 * widths[1]


def test_split_is_by_pairs_and_patterns_of_a_kind_and_training_keeps_to_it() -> None:
    shown = {index: sample(9, index, 16) for index in range(400)}
    assert not any(held_out(one.description) for one in shown.values())
    hidden = [sample(9, index, 16, held_out=True) for index in range(60)]
    assert all(len(one.colours) == 2 for one in hidden)
    assert any(one.description.pattern for one in hidden)
    kept_out = [k for k in KINDS if any(held_out(Description(k, (), p)) for p in PATTERNS)]
    assert 0.2 < len(kept_out) / len(KINDS) < 0.6


def test_all_that_a_caption_can_tell_appears() -> None:
    drawn = [sample(11, index, 16).description for index in range(600)]
    assert {d.pattern for d in drawn} == {"", *PATTERNS}
    assert {d.material for d in drawn} == {"", *MATERIALS}
    assert {d.relation for d in drawn} == {"", *RELATIONS}
    share = np.mean([bool(d.relation) for d in drawn])
    assert 0.06 < share < 0.2
