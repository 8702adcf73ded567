"""Captions of the toy world, their inverse, and the combinations that training never sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from maquette.toybox.colours import COLOURS
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS
from maquette.toybox.wording import RELATIONS, VIEWS, WORDING

__all__ = [
    "FLAT",
    "RELATIONS",
    "VIEWS",
    "VOCABULARY",
    "Description",
    "caption",
    "descriptions",
    "held_out",
    "parse",
]

FLAT = ("table", "cube", "can")
"""Kinds that something can stand on."""
_HELD_OUT_SHARE = 0.15
_HELD_OUT_KEY = b"maquette toy world, held-out colour pairs, 1"
_KIND_WORDS = dict.fromkeys(word for name in KINDS for word in name.split())
VOCABULARY: tuple[str, ...] = (
    *("a", "an", "and", ",", "view"),
    *VIEWS,
    *COLOURS,
    *PATTERNS,
    *MATERIALS,
    *SIZES,
    *RELATIONS,
    *(word for word in _KIND_WORDS if word not in COLOURS),
)


@dataclass(frozen=True)
class Description:
    """What a caption says about an object, and about another one that it stands with.

    Attributes:
        kind: a name from ``KINDS``.
        colours: up to as many colour words as the kind has slots. One word on a kind with two slots
            means that both have this colour; none leaves the colours open.
        pattern: of ``PATTERNS``, or none for a plain surface.
        material: of ``MATERIALS``; none is the usual one.
        size: of ``SIZES``; none is the usual one.
        relation: of ``RELATIONS``, where there is a second object.
        other: the second object, which has no further one.

    Raises:
        ValueError: for an unknown word, more colours than slots, one colour twice, half a relation,
            or something on what nothing can stand on.
    """

    kind: str
    colours: tuple[str, ...] = ()
    pattern: str = ""
    material: str = ""
    size: str = ""
    relation: str = ""
    other: Description | None = None

    def __post_init__(self) -> None:
        _check("kind", self.kind, KINDS)
        for colour in self.colours:
            _check("colour", colour, COLOURS)
        for name, table in (("pattern", PATTERNS), ("material", MATERIALS), ("size", SIZES)):
            if getattr(self, name):
                _check(name, getattr(self, name), table)
        slots = KINDS[self.kind].slots
        if len(self.colours) > slots:
            raise ValueError(f"A {self.kind} takes at most {slots} colours, got {self.colours}.")
        if len(self.colours) == 2 and self.colours[0] == self.colours[1]:
            raise ValueError(f"Say {self.colours[0]!r} once to colour the whole {self.kind}.")
        if bool(self.relation) != (self.other is not None):
            raise ValueError("A relation needs two objects.")
        if self.other is not None:
            _check("relation", self.relation, RELATIONS)
            if self.other.other is not None:
                raise ValueError("At most two objects stand together.")
            if self.relation == "on" and self.other.kind not in FLAT:
                raise ValueError(
                    f"Nothing can stand on a {self.other.kind}, only on a {', '.join(FLAT)}."
                )

    @property
    def colour_words(self) -> tuple[str, ...]:
        """All colours that are named, of both objects."""
        return self.colours + (self.other.colours if self.other is not None else ())


def _check(name: str, word: str, table: object) -> None:
    known = list(table)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if word not in known:
        raise ValueError(f"Unknown {name} {word!r}; there are {', '.join(known)}.")


def caption(description: Description, view: str | None = None) -> str:
    """The caption: ``"a shiny yellow and orange duck on a striped green table, side view"``."""
    d = description
    words = (d.size, d.material, d.pattern, " and ".join(d.colours), d.kind)
    phrase = " ".join(filter(None, words))
    phrase = f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
    if d.other is not None:
        phrase = f"{phrase} {d.relation} {caption(d.other)}"
    return phrase + (f", {view} view" if view else "")


def parse(prompt: str) -> Description:
    """What an ordinary prompt describes; the inverse of ``caption``, and more.

    The view word is passed over.

    Raises:
        ValueError: names the words that were not understood.
    """
    said = WORDING.understood(prompt)
    things = [_described(thing) for thing in said.things]
    return (
        replace(things[0], relation=said.relation, other=things[1]) if said.relation else things[0]
    )


def _described(thing: Mapping[str, tuple[str, ...]]) -> Description:
    pattern, material, size = (
        thing.get(name, ("",))[0] for name in ("patterns", "materials", "sizes")
    )
    return Description(thing["kinds"][0], thing.get("colours", ()), pattern, material, size)


def held_out(description: Description) -> bool:
    """Whether an ordered colour pair, or a pattern, of this kind is kept out of training.

    A keyed hash decides each by itself, so that new kinds and words move no old one across. With
    two objects, either decides.
    """
    d = description
    if d.other is not None and held_out(d.other):
        return True
    pair = len(d.colours) == 2 and _is_kept_out(d.kind, *d.colours)
    return pair or (bool(d.pattern) and _is_kept_out(d.kind, d.pattern))


def _is_kept_out(*words: str) -> bool:
    digest = hashlib.blake2b("/".join(words).encode(), key=_HELD_OUT_KEY, digest_size=8).digest()
    return int.from_bytes(digest, "big") < _HELD_OUT_SHARE * 2**64


@lru_cache(maxsize=3)
def _descriptions(split: bool | None) -> tuple[Description, ...]:
    every = []
    for kind in KINDS.values():
        if kind.slots == 1:
            every += [Description(kind.name, (colour,)) for colour in COLOURS]
        else:
            pairs = ((a, b) for a in COLOURS for b in COLOURS if a != b)
            every += [Description(kind.name, pair) for pair in pairs]
    return tuple(d for d in every if split is None or held_out(d) == split)


def descriptions(held_out: bool | None = None) -> list[Description]:
    """All fully coloured plain objects in a fixed order; only one side of the split if asked.

    These have two different colours, or one colour where the kind has one slot, and nothing else.
    """
    return list(_descriptions(held_out))
