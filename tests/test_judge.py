"""The judge's arithmetic, on a made-up CLIP that sees exactly what it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maquette.records import Views
from maquette.toybox.captions import VIEWS, Description, caption, descriptions, parse
from maquette.toybox.colours import COLOURS
from maquette.toybox.judge import Judge, Verdict, distractors, true_pictures
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import true_picture

NAMES = [*KINDS, *[f"first {c}" for c in COLOURS], *[f"second {c}" for c in COLOURS]]


def vector(text: str) -> Tensor:
    """A unit vector with one axis for each thing that a caption says."""
    description = parse(text)
    said = [description.kind]
    said += [f"{p} {c}" for p, c in zip(("first", "second"), description.colours, strict=False)]
    row = torch.zeros(len(NAMES))
    row[[NAMES.index(name) for name in said]] = 1
    return row / row.norm()


class Seeing:
    """Picture ``i`` shows ``shown[i]``."""

    preparation = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # noqa: RUF012

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def picture_features(self, pictures: Tensor) -> Tensor:
        return torch.stack([vector(text) for text in self.shown])

    def text_features(self, texts: list[str]) -> Tensor:
        return torch.stack([vector(text) for text in texts])


class Looking(nn.Module):
    """Says for every picture the view whose number its mean brightness is."""

    config = SimpleNamespace(image_size=4)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        level = (pixel_values.mean((1, 2, 3)) + 1) / 2 * 4
        return SimpleNamespace(logits=-(level[:, None] - torch.arange(4)).abs())


def verdict(prompt: str, shown: list[str], **changes: Any) -> Verdict:
    judge = Judge(Seeing(shown), Looking())  # pyright: ignore[reportArgumentType]
    given = {"pictures": torch.zeros(len(shown), 4, 4, 3), "views": None, **changes}
    return judge.verdict(given["pictures"], parse(prompt), given["views"])


def test_the_right_thing_in_the_right_colours_is_right() -> None:
    for description in descriptions()[::211]:
        text = caption(description)
        seen = verdict(text, [text])
        assert seen.prompt_right.tolist() == [1]
        assert seen.kind_right.tolist() == [1]
        assert seen.colour_right.tolist() == [1]
        assert float(seen.clip_score) == pytest.approx(100, abs=1e-3)


def test_each_measure_finds_its_own_mistake() -> None:
    shown = [
        "a red and blue mug",
        "a red and blue duck",
        "a red and green mug",
        "a green and blue mug",
        "a green and yellow duck",
    ]
    seen = verdict("a red and blue mug", shown)
    assert seen.kind_right.tolist() == [1, 0, 1, 1, 0]
    assert seen.colour_right.tolist() == [1, 1, 0.5, 0.5, 0]
    assert seen.prompt_right[0] == 1
    assert seen.prompt_right[4] == 0
    expected = torch.tensor([3, 2, 2, 2, 0]) / 3 * 100
    torch.testing.assert_close(seen.clip_score, expected.double(), rtol=1e-4, atol=1e-3)


def test_a_kind_with_one_slot_is_judged_by_its_one_colour() -> None:
    seen = verdict("a red ball", ["a red ball", "a blue ball", "a red cube"])
    assert seen.colour_right.tolist() == [1, 0, 1]
    assert seen.kind_right.tolist() == [1, 1, 0]


def test_without_colours_there_is_no_colour_to_judge() -> None:
    assert torch.isnan(verdict("a mug", ["a mug"]).colour_right).all()


def test_views_are_right_where_the_words_agree() -> None:
    ring = Views.ring(4, size=4)  # Front, side, back and side.
    brightness = torch.tensor([0.0, 1.0, 2.0, 3.0]) / 4
    pictures = brightness[:, None, None, None].expand(4, 4, 4, 3)
    seen = verdict("a red and blue mug", ["a red mug"] * 4, pictures=pictures, views=ring)
    assert seen.view_right.tolist() == [1, 1, 1, 0]


def test_objects_without_a_front_have_no_right_view() -> None:
    ring, pictures = Views.ring(2, size=4), torch.zeros(2, 4, 4, 3)
    assert torch.isnan(verdict("a red ball", ["a red ball"] * 2, views=ring).view_right).all()
    assert torch.isnan(verdict("a red mug", ["a red mug"] * 2, pictures=pictures).view_right).all()


def test_view_probabilities_sum_to_one_in_the_order_of_the_words() -> None:
    judge = Judge(Seeing([]), Looking())  # pyright: ignore[reportArgumentType]
    chances = judge.view_probabilities(torch.full((1, 4, 4, 3), 0.75))
    assert chances.shape == (1, len(VIEWS))
    assert float(chances.sum()) == pytest.approx(1)
    assert VIEWS[int(chances.argmax())] == "overhead"


def test_distractors_are_99_others_spread_over_all_kinds_and_colours() -> None:
    for description in [*descriptions()[::501], Description("mug", ("red",))]:
        prompt = caption(description)
        others = distractors(prompt)
        assert len(set(others)) == len(others) == 99
        assert prompt not in others
        assert others == distractors(prompt)
        assert len({parse(text).kind for text in others}) >= 30
        assert {parse(text).colours[0] for text in others} == set(COLOURS)


def test_distractors_say_as_much_as_the_prompt() -> None:
    assert {len(parse(text).colours) for text in distractors("a red mug")} == {1}
    bare = distractors("a mug")
    assert sorted([*bare, "a mug"]) == sorted(caption(Description(kind)) for kind in KINDS)


def test_true_pictures_are_the_worlds_own() -> None:
    views = Views.ring(3, size=16, elevation_deg=20, distance=3.1, fov_y_deg=41, start_deg=10)
    description = parse("a red and blue mug")
    pictures = true_pictures(description, views, variation=5)
    assert pictures.shape == (3, 16, 16, 3)
    for azimuth_deg, picture in zip((10.0, 130.0, 250.0), pictures, strict=True):
        expected = true_picture(
            description, azimuth_deg, 20, 16, distance=3.1, fov_y_deg=41, variation=5
        )
        assert np.array_equal((picture * 255).round().byte().numpy(), expected)
