"""Ordinary wording: what a user types becomes the caption that a small prior has learnt.

Words are sorted by what they say, whatever their order: "Mug, red & blue, with stripes" is a
striped red and blue mug. What is not understood is named, never dropped. All words come from
tables, which a prior brings along in its card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from maquette.errors import InputError

__all__ = ["Said", "Wording"]


@dataclass(frozen=True)
class Said:
    """What a text tells.

    Attributes:
        things: for each object, the words of every class that is told, by the class's name.
        relation: between the two objects, or "".
        view: the view word, or "".
    """

    things: tuple[dict[str, tuple[str, ...]], ...]
    relation: str = ""
    view: str = ""


@dataclass(frozen=True)
class Wording:
    """The tables of a prior's language.

    Attributes:
        classes: words by class, in the order of a caption; the last are the kinds of object. A
            word may be two. Several colours are joined by "and"; of other classes one may be told.
        relations: words between two objects.
        views: words before "view".
        synonyms: single words and what they stand for.
        phrases: several words and the one that they stand for.
        fillers: words that tell nothing.
    """

    classes: Mapping[str, Sequence[str]]
    relations: Sequence[str] = ()
    views: Sequence[str] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)
    fillers: Sequence[str] = ()

    def plain(self, text: str) -> str:
        """The caption that says the same; what is not understood comes back in lower case."""
        try:
            said = self.understood(text)
        except ValueError:
            return text.lower()
        joined = f" {said.relation} ".join(self._phrase(thing) for thing in said.things)
        return joined + (f", {said.view} view" if said.view else "")

    def understood(self, text: str) -> Said:
        """What ``text`` tells.

        Raises:
            ValueError: names the words that were not understood, or what is missing.
        """
        words = list(self._words(text))
        view = next((word for word in words if word in self.views), "")
        words = [word for word in words if word not in self.views]
        places = [place for place, word in enumerate(words) if word in self.relations]
        if len(places) > 1:
            raise ValueError(f"Found more than two objects in {text!r}.")
        if not places:
            return Said((self._thing(words, text),), "", view)
        first, second = words[: places[0]], words[places[0] + 1 :]
        things = self._thing(first, text), self._thing(second, text)
        return Said(things, words[places[0]], view)

    def check(self, text: str, who: str) -> None:
        """Raise InputError, which says what ``who`` does know, where ``text`` is not understood."""
        self.check_words(text, who)
        try:
            self.understood(text)
        except ValueError as fault:
            raise InputError(str(fault).removesuffix("."), self._known_words) from fault

    def check_words(self, text: str, who: str) -> None:
        """The same only for words that are in none of the tables."""
        unknown = [word for word in dict.fromkeys(self._words(text)) if word not in self._all]
        if not unknown:
            return
        near = get_close_matches(unknown[0], [*self._told, *self.synonyms], 1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        shown = ", ".join(map(repr, unknown[:5]))
        raise InputError(f"{who} does not know {shown}", guess + self._known_words)

    def tables(self) -> dict[str, Any]:
        """All tables as plain data, for a card; ``Wording(**tables)`` makes it again."""
        return {
            "classes": {name: list(words) for name, words in self.classes.items()},
            "relations": list(self.relations),
            "views": list(self.views),
            "synonyms": dict(self.synonyms),
            "phrases": dict(self.phrases),
            "fillers": list(self.fillers),
        }

    def _phrase(self, thing: Mapping[str, tuple[str, ...]]) -> str:
        told = [" and ".join(thing[name]) for name in self.classes if name in thing]
        phrase = " ".join(told)
        return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"

    def _thing(self, words: list[str], text: str) -> dict[str, tuple[str, ...]]:
        thing = {
            name: told
            for name, own in self.classes.items()
            if (told := tuple(dict.fromkeys(word for word in words if word in own)))
        }
        *_, kinds = self.classes
        unknown = [word for word in words if not any(word in told for told in thing.values())]
        if unknown:
            raise ValueError(f"Did not understand {' '.join(unknown)!r} in {text!r}.")
        if len(thing.get(kinds, ())) != 1:
            found = " and ".join(thing.get(kinds, ("none",)))
            known = ", ".join(self.classes[kinds])
            raise ValueError(f"Found {found} in {text!r} where one of these belongs: {known}.")
        for name, told in thing.items():
            if len(told) > 1 and name != "colours":
                raise ValueError(f"Found {' and '.join(told)} for one object in {text!r}.")
        return thing

    def _words(self, text: str) -> Iterator[str]:
        """The telling words in the tables' own form, those of two words as one."""
        spoken = " ".join(re.findall(r"[^\s,.;:!?]+", text.lower()))
        text = f" {spoken} "
        for phrase, word in self.phrases.items():
            text = text.replace(f" {phrase} ", f" {word} ")
        found = [self._known(word) for word in text.split()]
        place = 0
        while place < len(found):
            pair = " ".join(found[place : place + 2])
            word = pair if pair in self._all else found[place]
            place += len(word.split()) if word == pair else 1
            if word not in self.fillers:
                yield word

    def _known(self, word: str) -> str:
        """``word`` in the tables' form: a synonym's meaning, and the singular of a plural."""
        for form in (word, word.removesuffix("s"), word.removesuffix("es"), f"{word[:-3]}y"):
            if form in self.synonyms:
                return self.synonyms[form]
            if form in self._all:
                return form
        return word

    @property
    def _known_words(self) -> str:
        told = [*self._told, *(f"{word} view" for word in self.views)]
        return f"It knows these words: {', '.join(told)}"

    @property
    def _told(self) -> list[str]:
        return [word for words in (*self.classes.values(), self.relations) for word in words]

    @cached_property
    def _all(self) -> frozenset[str]:
        parts = {part for word in self._told for part in word.split()}
        return frozenset(parts | {*self._told, *self.views, *self.fillers})
