"""Ordinary wording becomes the caption that says the same, and what is not understood is named."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from maquette.priors.wording import Wording
from maquette.toybox.captions import FLAT, VIEWS, VOCABULARY, Description, caption, parse
from maquette.toybox.colours import COLOURS
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS
from maquette.toybox.wording import WORDING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mug, red & blue, with stripes", "a striped red and blue mug"),
        ("the little glossy Teddy in brown and pink", "a small shiny brown and pink teddy bear"),
        ("a polka dot red ball on a blue table", "a spotted red ball on a blue table"),
        ("A BEAR NEXT TO A GREEN TREE!", "a bear beside a green tree"),
        ("an automobile that is gray", "a grey car"),
        ("ice creams, white and brown", "a white and brown ice cream"),
        ("a photo of a puppy seen from above", "a dog, overhead view"),
        ("a mug with spots, rear view", "a spotted mug, back view"),
        ("horses", "a horse"),
        ("a red and red mug", "a red mug"),
        ("elephant orange", "an orange elephant"),
        ("icecream", "an ice cream"),
    ],
)
def test_ordinary_wording_is_understood(text: str, expected: str) -> None:
    assert WORDING.plain(text) == expected


def single() -> some.SearchStrategy[Description]:
    def build(kind: str, colours: list[str], pattern: str, material: str, size: str) -> Description:
        return Description(
            kind, tuple(colours[: KINDS[kind].slots]), pattern, material=material, size=size
        )

    return some.builds(
        build,
        some.sampled_from(sorted(KINDS)),
        some.lists(some.sampled_from(sorted(COLOURS)), max_size=2, unique=True),
        some.sampled_from(["", *PATTERNS]),
        some.sampled_from(["", *MATERIALS]),
        some.sampled_from(["", *SIZES]),
    )


def described() -> some.SearchStrategy[Description]:
    def pair(first: Description, second: Description, relation: str) -> Description:
        relation = relation if second.kind in FLAT else "beside"
        values = (first.kind, first.colours, first.pattern, first.material, first.size)
        return Description(*values, relation, second)

    pairs = some.builds(pair, single(), single(), some.sampled_from(["on", "beside"]))
    return some.one_of(single(), pairs)


@given(described(), some.sampled_from([None, *VIEWS]))
def test_a_caption_is_its_own_plain_wording_and_leads_back(
    description: Description, view: str | None
) -> None:
    text = caption(description, view)
    assert WORDING.plain(text) == text
    assert parse(text) == description
    assert set(re.findall(r"\w+|,", text)) <= set(VOCABULARY)


@given(described(), some.randoms(use_true_random=False))
def test_the_order_of_adjectives_tells_nothing(description: Description, random) -> None:
    if description.other is not None or description.kind not in ("mug", "ball"):
        return
    words = caption(description).split()[1:]
    adjectives = [word for word in words[:-1] if word not in COLOURS and word != "and"]
    random.shuffle(adjectives)
    rest = [word for word in words if word not in adjectives]
    assert WORDING.plain(" ".join([*rest, *adjectives])) == caption(description)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("two mugs", "two"),
        ("a DSLR photo of a corgi", "dslr corgi"),
        ("a red mug and a dog", "mug and dog"),
        ("a striped spotted mug", "striped and spotted"),
        ("red", "one of these"),
        ("a mug on a table on a cube", "more than two"),
        ("", "one of these"),
    ],
)
def test_what_is_not_understood_is_named(text: str, culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        WORDING.understood(text)
    assert WORDING.plain(text.upper()) == text.lower()


@pytest.mark.parametrize(
    "text", ["a ball on a duck", "a red, green and blue mug", "a green red ball"]
)
def test_what_the_world_does_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"on|most"):
        parse(text)


def test_tables_come_back_from_a_card() -> None:
    again = Wording(**json.loads(json.dumps(WORDING.tables())))
    for text in ("Mug, red & blue, with stripes", "two mugs"):
        assert again.plain(text) == WORDING.plain(text)


def test_synonyms_stand_for_words_of_the_vocabulary_and_hide_none() -> None:
    known = {*VOCABULARY, *KINDS}
    for word, meaning in {**WORDING.synonyms, **WORDING.phrases}.items():
        assert meaning in known, word
        assert word not in {*KINDS, *COLOURS, *PATTERNS, *MATERIALS, *SIZES, *VIEWS}, word
