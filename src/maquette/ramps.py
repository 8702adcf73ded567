"""Ramps: numbers that change with progress.

A ramp is a value, resolved once per step for all parts, so that a part only ever sees numbers.
Progress runs from 0 at the first step to 1 at the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from maquette.errors import InputError

__all__ = [
    "Number",
    "Ramp",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "number",
    "resolve",
    "steps",
]

SHAPES = ("linear", "cosine", "exponential", "steps")


@dataclass(frozen=True)
class Ramp:
    """A piecewise curve through ``(progress, value)`` knots.

    Attributes:
        knots: ``(progress, value)`` in rising order of progress; constant outside.
        shape: how to go from knot to knot: ``linear``, ``cosine``, ``exponential`` or ``steps``.
    """

    knots: tuple[tuple[float, float], ...]
    shape: str = "linear"

    def __post_init__(self) -> None:
        at = [progress for progress, _ in self.knots]
        if not at or at != sorted(at):
            raise InputError(f"A ramp's knots must rise in progress: {self.knots}")
        if self.shape not in SHAPES:
            raise InputError(f"A ramp cannot be {self.shape!r}", f"Choose from {', '.join(SHAPES)}")

    def __call__(self, progress: float) -> float:
        """The value at ``progress`` in [0, 1]."""
        before = [k for k in self.knots if k[0] <= progress]
        after = [k for k in self.knots if k[0] > progress]
        if not before:
            return float(after[0][1])
        if not after or self.shape == "steps":
            return float(before[-1][1])
        (p0, v0), (p1, v1) = before[-1], after[0]
        u = (progress - p0) / (p1 - p0)
        if self.shape == "cosine":
            u = 0.5 - 0.5 * math.cos(math.pi * u)
        if self.shape == "exponential":
            return float(v0 * (v1 / v0) ** u)
        return float(v0 + (v1 - v0) * u)


Number = float | Ramp


def constant(value: float) -> Ramp:
    """The same value at all times."""
    return Ramp(((0.0, value),))


def linear(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Ramp:
    """From ``start`` at progress ``begin`` to ``end`` at ``finish``, straight."""
    return Ramp(((begin, start), (finish, end)))


def cosine(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Ramp:
    """Like :func:`linear` with soft ends."""
    return Ramp(((begin, start), (finish, end)), "cosine")


def exponential(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Ramp:
    """From ``start`` to ``end`` by equal factors; both must have the same sign and not be 0."""
    return Ramp(((begin, start), (finish, end)), "exponential")


def steps(*knots: tuple[float, float]) -> Ramp:
    """Jumps: each value holds from its progress to the next one's."""
    return Ramp(knots, "steps")


def number(value: Number) -> float:
    """``value`` as a plain number; refuses a ramp that was not resolved for a step."""
    if isinstance(value, Ramp):
        raise InputError(f"A part was asked while {value} was not resolved", "Use Recipe.at(step)")
    return float(value)


def resolve(part: Any, progress: float) -> Any:
    """A copy of a frozen dataclass with every ramp in it, at any depth, replaced by its number.

    Dicts, tuples and nested dataclasses are walked; everything else is returned as it is.
    """
    if isinstance(part, Ramp):
        return part(progress)
    if is_dataclass(part) and not isinstance(part, type):
        changed = {f.name: resolve(getattr(part, f.name), progress) for f in fields(part) if f.init}
        if all(changed[name] is getattr(part, name) for name in changed):
            return part
        return replace(part, **changed)
    if isinstance(part, tuple):
        values = tuple(resolve(item, progress) for item in part)
        return part if all(a is b for a, b in zip(values, part, strict=True)) else values
    if isinstance(part, dict):
        entries = {key: resolve(value, progress) for key, value in part.items()}
        return part if all(entries[key] is part[key] for key in part) else entries
    return part
