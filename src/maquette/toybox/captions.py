"""Captions of the toy world, their inverse, and the colour pairs that training never sees."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from maquette.toybox.colours import COLOURS
from maquette.toybox.kinds import KINDS

__all__ = ["VIEWS", "VOCABULARY", "Description", "caption", "descriptions", "held_out", "parse"]

VIEWS = ("front", "side", "back", "overhead")
_HELD_OUT_SHARE = 0.15
_HELD_OUT_KEY = b"maquette toy world, held-out colour pairs, 1"
_KIND_WORDS = dict.fromkeys(word for name in KINDS for word in name.split())
VOCABULARY: tuple[str, ...] = (
    *("a", "an", "and", ",", "view"),
    *VIEWS,
    *COLOURS,
    *(word for word in _KIND_WORDS if word not in COLOURS),
)


@dataclass(frozen=True)
class Description:
    """What a caption says about an object.

    Attributes:
        kind: a name from ``KINDS``.
        colours: up to as many colour words as the kind has slots. One word on a kind with two slots
            means that both have this colour; none leaves the colours open.

    Raises:
        ValueError: for an unknown kind or colour, more colours than slots, or one colour twice.
    """

    kind: str
    colours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Unknown kind {self.kind!r}; the kinds are {', '.join(KINDS)}.")
        for colour in self.colours:
            if colour not in COLOURS:
                raise ValueError(
                    f"Unknown colour {colour!r}; the colours are {', '.join(COLOURS)}."
                )
        slots = KINDS[self.kind].slots
        if len(self.colours) > slots:
            raise ValueError(f"A {self.kind} takes at most {slots} colours, got {self.colours}.")
        if len(self.colours) == 2 and self.colours[0] == self.colours[1]:
            raise ValueError(f"Say {self.colours[0]!r} once to colour the whole {self.kind}.")


def caption(description: Description, view: str | None = None) -> str:
    """The caption, for example ``"a yellow and orange duck, side view"``."""
    words = " ".join(filter(None, (" and ".join(description.colours), description.kind)))
    article = "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}" + (f", {view} view" if view else "")


def parse(prompt: str) -> Description:
    """The inverse of ``caption``; ignores upper case, the article and the view suffix.

    Raises:
        ValueError: names the words that were not understood.
    """
    text = re.sub(rf"\s*,?\s*({'|'.join(VIEWS)})\s+view\s*$", "", prompt.strip().lower())
    words = text.rstrip(" .").split()
    if words and words[0] in ("a", "an", "the"):
        words = words[1:]
    kind = next((n for n in (2, 1) if len(words) >= n and " ".join(words[-n:]) in KINDS), 0)
    if kind == 0:
        raise ValueError(
            f"Found no known kind at the end of {prompt!r}; the kinds are {', '.join(KINDS)}."
        )
    name, words = " ".join(words[-kind:]), words[:-kind]
    colours = tuple(words[::2])
    unknown = [word for word in colours if word not in COLOURS]
    unknown += [word for word in words[1::2] if word != "and"]
    if unknown or (words and len(words) % 2 == 0):
        culprits = " ".join(unknown or words)
        raise ValueError(
            f"Did not understand {culprits!r} in {prompt!r}; say 'a {name}', 'a red {name}' or"
            f" 'a red and blue {name}' with colours from {', '.join(COLOURS)}."
        )
    return Description(name, colours)


def held_out(description: Description) -> bool:
    """Whether this ordered colour pair of this kind is kept out of training.

    A keyed hash decides each pair by itself, so that new kinds and colours move no old pair across.
    Descriptions without two different colours are never held out.
    """
    if len(description.colours) != 2:
        return False
    text = "/".join((description.kind, *description.colours)).encode()
    digest = hashlib.blake2b(text, key=_HELD_OUT_KEY, digest_size=8).digest()
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
    """All fully coloured descriptions in a fixed order; only one side of the split if asked.

    These have two different colours, or one colour where the kind has one slot.
    """
    return list(_descriptions(held_out))
