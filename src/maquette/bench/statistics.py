"""Means that say how sure they are: bootstrap over prompts, and leads compared prompt by prompt.

Runs of one prompt are alike, so prompts are drawn again and not runs: an interval tells what other
prompts of the same kind would give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "interval", "lead"]

DRAWS = 4000

Key = tuple[str, int]
"""A prompt and a seed."""


@dataclass(frozen=True)
class Interval:
    """A mean over prompts with its 95 % bootstrap interval; ``count`` prompts, NaN for none."""

    mean: float
    low: float
    high: float
    count: int


def interval(values: Mapping[Key, float | None]) -> Interval:
    """The mean over prompts of the means over seeds (Efron's percentile bootstrap over prompts).

    Args:
        values: one number for each run; None and NaN have no meaning and are left out.
    """
    groups: dict[str, list[float]] = {}
    for (prompt, _), value in values.items():
        if value is not None and math.isfinite(value):
            groups.setdefault(prompt, []).append(value)
    return _interval([float(np.mean(group)) for group in groups.values()])


def lead(one: Mapping[Key, float | None], other: Mapping[Key, float | None]) -> Interval:
    """How far ``one`` is above ``other``, in the runs that both have."""
    both = {
        key: value - theirs
        for key, value in one.items()
        if value is not None and (theirs := other.get(key)) is not None
    }
    return interval(both)


def _interval(means: Sequence[float]) -> Interval:
    if not means:
        return Interval(math.nan, math.nan, math.nan, 0)
    random = np.random.Generator(np.random.Philox(key=0))
    drawn = random.choice(np.array(means), (DRAWS, len(means))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(np.mean(means)), float(low), float(high), len(means))
