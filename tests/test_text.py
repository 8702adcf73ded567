"""Prompts that know where the camera stands, and the words of one step."""

from __future__ import annotations

import pytest
import torch

from maquette.priors.analytic import GaussianMixture
from maquette.priors.text import view_texts, words_for
from maquette.records import Views

TEXTS = ["a mug", "a mug, front view", "a mug, back view", "a dull mug"]


def views(*angles_deg: tuple[float, float]) -> Views:
    azimuth_deg, elevation_deg = torch.tensor(angles_deg).float().T
    ones = torch.ones(len(angles_deg))
    return Views(azimuth_deg, elevation_deg, 3 * ones, 40 * ones, 4, 4)


def prior() -> GaussianMixture:
    pictures = torch.rand(len(TEXTS), 4, 4, 3, generator=torch.Generator().manual_seed(0))
    return GaussianMixture.from_pictures(dict(zip(TEXTS, pictures.double(), strict=True)))


def test_each_view_gets_its_own_word() -> None:
    given = {
        (0, 0): "front",
        (44, 15): "front",
        (-44, 15): "front",
        (350, 0): "front",
        (46, 0): "side",
        (-90, 0): "side",
        (134, 0): "side",
        (136, 0): "back",
        (180, -10): "back",
        (-170, 49): "back",
        (0, 51): "overhead",
        (180, 80): "overhead",
    }
    texts = view_texts("a mug", views(*given))
    assert texts == [f"a mug, {word} view" for word in given.values()]


def test_the_empty_prompt_stays_empty() -> None:
    assert view_texts("", views((0, 0), (180, 0))) == ["", ""]


def test_the_words_of_a_step_are_the_prompts_and_the_empty_one() -> None:
    model, ring = prior(), views((0, 0), (180, 0))
    words = words_for(model, "a mug", "", ring)
    expected = model.condition(["a mug, front view", "a mug, back view"])
    assert torch.equal(words.positive.embedding, expected.embedding)
    assert torch.equal(words.null.embedding, model.condition(["", ""]).embedding)
    assert words.negative is words.null


def test_a_negative_prompt_stands_for_itself_without_view_words() -> None:
    model, ring = prior(), views((0, 0), (180, 0))
    words = words_for(model, "a mug", "a dull mug", ring)
    assert torch.equal(words.negative.embedding, model.condition(["a dull mug"] * 2).embedding)
    assert not torch.equal(words.negative.embedding, words.null.embedding)


@pytest.mark.parametrize("count", [1, 3])
def test_there_is_one_row_per_view(count: int) -> None:
    words = words_for(prior(), "a mug", "a dull mug", Views.ring(count))
    for condition in (words.positive, words.negative, words.null):
        assert condition.embedding.shape[0] == count
