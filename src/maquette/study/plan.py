"""What a study asks, and of whom: all that a participant may know, and nothing of recipes.

The papers ask in two ways. PGC (section 5.4) lets users turn the assets of all methods for a prompt
and pick the preferred one; CoGrad3D (section 4.1) lets them rank the assets in random order, ten of
forty prompts each. Here the two are one: a participant chooses one asset of a group, or all of them
from the best to the worst.

Order is random but keyed by (seed, participant, group), so that it can be told afterwards. The page
computes it too (``page/study.js``), and both must agree; hence a hash of 32 bits in plain integers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from maquette import store
from maquette.errors import CheckpointError

__all__ = [
    "PARTICIPANT",
    "QUESTIONS",
    "Group",
    "Kind",
    "Study",
    "beside",
    "key_path",
    "ordered",
    "read_study",
]

Kind = Literal["pick", "rank"]
"""``pick``: the best asset of a group. ``rank``: all of them, the best first."""

QUESTIONS = (
    "Fits the text best",
    "Looks best: shape, colours and details",
    "Is most consistent from all sides",
)
"""Asked where no others are given: after CoGrad3D's "adherence to the prompt, visual quality"."""

PARTICIPANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""How a participant may be called; plain letters, so that page and program hash the same bytes."""

_IDENTITY = re.compile(r"[0-9a-f]{16}")
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Group:
    """The assets of one prompt that are compared with each other.

    Attributes:
        id: 16 hexadecimal digits.
        prompt: what all of them should show.
        assets: 16 hexadecimal digits each, sorted, so that their order tells nothing; the file
            ``<asset>.jpg`` shows it.
    """

    id: str
    prompt: str
    assets: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """All that the published folder says of a study.

    Attributes:
        kind: how questions are answered.
        questions: asked about each group, in this order.
        groups: at least one.
        seed: of every order.
        each: groups that one participant is shown.
        views: sides from which each asset is shown.
        columns: of the grid of views in each file.
    """

    kind: Kind
    questions: tuple[str, ...]
    groups: tuple[Group, ...]
    seed: int
    each: int
    views: int
    columns: int

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that stand for this study and no other."""
        return store.sha256_of(store.canonical(dataclasses.asdict(self)))[:16]

    @cached_property
    def by_id(self) -> dict[str, Group]:
        """The groups by their ids."""
        return {group.id: group for group in self.groups}

    def facts(self) -> dict[str, Any]:
        """Plain data, for files and for the page."""
        return {"id": self.id, **dataclasses.asdict(self)}

    def groups_of(self, participant: str) -> list[Group]:
        """The groups that a participant is shown, in order."""
        order = ordered(self.by_id, self.seed, participant)
        return [self.by_id[name] for name in order[: self.each]]

    def shown(self, participant: str, group: Group) -> list[str]:
        """The assets of ``group`` in the order in which a participant sees them."""
        return ordered(group.assets, self.seed, participant, group.id)

    def chosen_when_complete(self, group: Group) -> int:
        """How many assets a complete answer names."""
        return 1 if self.kind == "pick" else len(group.assets)


def ordered(names: Iterable[str], *key: object) -> list[str]:
    """``names`` shuffled as ``key`` says: sorted by a hash of key and name.

    The hash is FNV-1a with the last mixing of MurmurHash3 over it, which spreads names that differ
    in a few digits; the letters of key and names must be ASCII.
    """
    return sorted(names, key=lambda name: (_hash("/".join(map(str, (*key, name)))), name))


def _hash(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode("ascii"):
        value = ((value ^ byte) * 0x01000193) & _WORD
    value = ((value ^ value >> 16) * 0x85EBCA6B) & _WORD
    value = ((value ^ value >> 13) * 0xC2B2AE35) & _WORD
    return value ^ value >> 16


def beside(folder: Path, ending: str) -> Path:
    """The path next to a study's folder that ends in ``ending``: never published with it."""
    folder = folder.expanduser().resolve()
    return folder.with_name(folder.name + ending)


def key_path(folder: Path) -> Path:
    """Where the key of the study in ``folder`` lies: which asset is whose."""
    return beside(folder, "-key.json")


def read_study(folder: Path) -> tuple[Study, dict[str, bytes]]:
    """The study in a published folder and its files by name, all of them verified.

    Raises:
        CheckpointError: the folder is no study, or anything in it is missing or altered.
    """
    if not (folder / store.MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} is no study: it has no {store.MANIFEST}",
            "Give a folder that maquette study build made",
        )
    manifest, files = store.read_sealed(folder)
    try:
        facts = dict(manifest["study"])
        identity = facts.pop("id")
        groups = tuple(Group(**{**g, "assets": tuple(g["assets"])}) for g in facts["groups"])
        study = Study(**{**facts, "questions": tuple(facts["questions"]), "groups": groups})
        names = [study.id, *(i for group in study.groups for i in (group.id, *group.assets))]
        sound = study.id == identity and all(_IDENTITY.fullmatch(name) for name in names)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder} holds no study") from error
    if not sound:
        raise CheckpointError(f"{folder} is damaged: it is not the study that it says it is")
    return study, files
