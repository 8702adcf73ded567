"""Ordinary wording: what a user types becomes the caption that the networks have learnt.

Words are sorted by what they say, whatever their order: "Mug, red & blue, with stripes" is a
striped red and blue mug. Synonyms stand in one table. What is not understood is named, never
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maquette.toybox.captions import RELATIONS, VIEWS, Description, caption
from maquette.toybox.colours import COLOURS
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS

__all__ = ["SYNONYMS", "plain", "understood"]

SYNONYMS: dict[str, str] = {
    **{"gray": "grey", "violet": "purple", "lilac": "purple", "turquoise": "cyan", "aqua": "cyan"},
    **{"teal": "cyan", "scarlet": "red", "crimson": "red", "navy": "blue", "tan": "brown"},
    **{"gold": "yellow", "golden": "yellow", "lime": "green", "rose": "pink", "silver": "grey"},
    **{"automobile": "car", "plane": "airplane", "aeroplane": "airplane", "jet": "airplane"},
    **{"lorry": "truck", "cup": "mug", "bunny": "rabbit", "kitten": "cat", "kitty": "cat"},
    **{"puppy": "dog", "hound": "dog", "teddy": "teddy bear", "ship": "boat", "tv": "television"},
    **{"sneaker": "shoe", "boot": "shoe", "home": "house", "present": "gift", "piglet": "pig"},
    **{"icecream": "ice cream", "pony": "horse", "chopper": "helicopter", "tortoise": "turtle"},
    **{"locomotive": "train", "dino": "dinosaur", "ape": "monkey", "calf": "cow", "bull": "cow"},
    **{"toad": "frog", "spaceship": "rocket", "toadstool": "mushroom", "desk": "table"},
    **{"box": "cube", "sphere": "ball", "tin": "can", "flask": "bottle", "fir": "tree"},
    **{"stripy": "striped", "stripes": "striped", "stripe": "striped", "dotted": "spotted"},
    **{"polka-dotted": "spotted", "dots": "spotted", "spots": "spotted", "spotty": "spotted"},
    **{"checked": "checkered", "chequered": "checkered", "checks": "checkered"},
    **{"checkerboard": "checkered", "glossy": "shiny", "polished": "shiny", "gleaming": "shiny"},
    **{"dull": "matte", "mat": "matte", "little": "small", "tiny": "small", "mini": "small"},
    **{"large": "big", "huge": "big", "giant": "big", "near": "beside", "by": "beside"},
    **{"atop": "on", "upon": "on", "rear": "back", "top": "overhead", "above": "overhead"},
}
"""One word each, in the singular; the second is one of the vocabulary's own."""

PHRASES = {
    "next to": "beside",
    "close to": "beside",
    "on top of": "on",
    "standing on": "on",
    "sitting on": "on",
    "polka dot": "spotted",
    "polka dotted": "spotted",
    "ice-cream": "ice cream",
}
FILLERS = {
    *(
        "a",
        "an",
        "the",
        "and",
        ",",
        "of",
        "with",
        "in",
        "that",
        "which",
        "is",
        "are",
        "has",
        "some",
    ),
    *("one", "its", "my", "this", "coloured", "colored", "view", "seen", "from", "single"),
    *("photo", "picture", "image", "render", "rendering", "drawing", "model", "3d", "toy", "&"),
}
_TWO_WORDS = {name.split()[0]: name for name in KINDS if " " in name}


def understood(prompt: str) -> tuple[Description, str | None]:
    """What a prompt describes, and the view word that it asks for, if any.

    Raises:
        ValueError: names the words that were not understood, or what is missing.
    """
    words = list(_words(prompt))
    view = next((word for word in words if word in VIEWS), None)
    words = [word for word in words if word not in VIEWS]
    places = [place for place, word in enumerate(words) if word in RELATIONS]
    if len(places) > 1:
        raise ValueError(f"Found more than two objects in {prompt!r}.")
    if not places:
        return _object(words, prompt), view
    first, second = words[: places[0]], words[places[0] + 1 :]
    other = _object(second, prompt)
    own = _object(first, prompt)
    described = replace(own, relation=words[places[0]], other=other)
    return described, view


def plain(prompt: str) -> str:
    """The caption that says the same; a text that describes no object comes back in lower case."""
    try:
        described, view = understood(prompt)
    except ValueError:
        return prompt.lower()
    return caption(described, view)


def _object(words: list[str], prompt: str) -> Description:
    kinds = [word for word in words if word in KINDS]
    if len(kinds) != 1:
        found = f"{len(kinds)} kinds" if kinds else "no known kind"
        raise ValueError(f"Found {found} in {prompt!r}; the kinds are {', '.join(KINDS)}.")
    tables = {"pattern": PATTERNS, "material": MATERIALS, "size": SIZES}
    said = {name: [word for word in words if word in table] for name, table in tables.items()}
    for name, own in said.items():
        if len(own) > 1:
            raise ValueError(f"Found two words of {name} for one object in {prompt!r}.")
    colours = tuple(word for word in words if word in COLOURS)
    used = {*kinds, *colours, *(word for own in said.values() for word in own)}
    unknown = [word for word in words if word not in used]
    if unknown:
        raise ValueError(
            f"Did not understand {' '.join(unknown)!r} in {prompt!r}; say 'a red {kinds[0]}' or "
            f"'a striped red {kinds[0]}' with colours from {', '.join(COLOURS)}."
        )
    return Description(kinds[0], colours, **{name: own[0] for name, own in said.items() if own})


def _words(prompt: str) -> Iterator[str]:
    """The meaningful words in the vocabulary's form, kinds of two words as one."""
    text = f" {prompt.lower()} "
    for phrase, word in PHRASES.items():
        text = text.replace(f" {phrase} ", f" {word} ")
    found = re.findall(r"[^\s,.;:!?]+", text)
    skip = False
    for place, word in enumerate(found):
        if skip:
            skip = False
            continue
        after = _known(found[place + 1]) if place + 1 < len(found) else ""
        two = _TWO_WORDS.get(word)
        if two is not None and after == two.split()[1]:
            skip = True
            yield two
            continue
        known = _known(word)
        if known not in FILLERS:
            yield known


def _known(word: str) -> str:
    """``word`` in the vocabulary's form: a synonym's meaning, and the singular of a plural."""
    known = {*KINDS, *COLOURS, *PATTERNS, *MATERIALS, *SIZES, *VIEWS, *RELATIONS, *FILLERS}
    known |= {name.split()[1] for name in _TWO_WORDS.values()}
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), f"{word[:-3]}y"):
        if form in SYNONYMS:
            return SYNONYMS[form]
        if form in known:
            return form
    return word
