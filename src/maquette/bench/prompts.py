"""The prompts of a benchmark on the toy world, drawn by a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maquette.errors import InputError
from maquette.toybox.captions import Description, caption, held_out, parse
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import describe

__all__ = ["drawn_prompts", "is_unseen", "listed_prompts"]


def drawn_prompts(count: int, seed: int) -> list[str]:
    """``count`` different prompts, every third of them a combination that no training saw.

    All colours are told. Patterns, materials, sizes and second objects are as frequent as in the
    world's own captions, and kinds go round in a random order.
    """
    random = np.random.Generator(np.random.Philox(key=seed))
    chosen: list[str] = []
    for unseen, share in ((False, count - count // 3), (True, count // 3)):
        kinds = list(KINDS)
        order = [kinds[i] for i in random.permutation(len(kinds))] * (1 + share // len(kinds))
        for kind in order[:share]:
            text = ""
            while not text or text in chosen:
                found, _ = describe(random, unseen)
                text = caption(found) if found.kind == kind and _is_told(found) else ""
            chosen.append(text)
    return chosen


def listed_prompts(path: Path) -> list[str]:
    """The prompts of a file, one on each line.

    Raises:
        InputError: it cannot be read, holds no prompt, an empty line between prompts, or one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"The prompts in {path} cannot be read: {fault}") from fault
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"Line {number} of {path} holds no prompt", "Take the line out")
        if lines.index(line) < number - 1:
            raise InputError(
                f"Line {number} of {path} repeats {line.strip()!r}", "Name each prompt once"
            )
    return [line.strip() for line in lines]


def is_unseen(prompt: str) -> bool:
    """Whether the prompt names a combination that is kept out of training."""
    try:
        return held_out(parse(prompt))
    except ValueError:
        return False


def _is_told(description: Description) -> bool:
    other = description.other
    return bool(description.colours) and (other is None or bool(other.colours))
