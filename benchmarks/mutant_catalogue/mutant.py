"""What one fault is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mutant", "faults_in"]


class Mutant(NamedTuple):
    """One fault.

    Attributes:
        name: what is wrong.
        file: below ``src/maquette``.
        old: stands once in the file.
        new: what is put in its place.
        tests: the files below ``tests`` that are asked first, without their ending.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def faults_in(file: str, *tests: str, **faults: tuple[str, str]) -> list[Mutant]:
    """Mutants of ``file``: name of the fault = (old, new); ``tests`` are asked first."""
    stem = file.removesuffix(".py").replace("/", ".")
    return [
        Mutant(f"{stem}: {name.replace('_', ' ')}", file, old, new, tests)
        for name, (old, new) in faults.items()
    ]
