"""A run's journal as columns of numbers, few enough to be drawn.

Every number of a line of ``metrics.jsonl`` is a curve, whatever its name: those of a group, as the
regularisers, go by the group's name and their own, and a list counts as its mean. A long run is
drawn by means over equal stretches, because the single values of a distillation jump too much to be
looked at, and a page has no room for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maquette.metrics.cost import is_number, journal_lines

__all__ = ["POINTS", "read_curves"]

METRICS = "metrics.jsonl"
POINTS = 300
"""Most points of a curve."""
DIGITS = 5
"""Significant digits of a value on the page."""
ALONG = ("step", "evaluations")
"""What curves are drawn over."""


def read_curves(folder: Path) -> dict[str, Any]:
    """The curves of a run or a drawing.

    Args:
        folder: with a ``metrics.jsonl``, which may be missing or end in half a line.

    Returns:
        ``step`` and ``evaluations``, lists of at most ``POINTS`` numbers, and ``series``, by name
        lists as long, with None where there was no finite number.

    Raises:
        DiskError: the file is there and cannot be read.
    """
    rows = [dict(_numbers(line)) for line in journal_lines(folder / METRICS)]
    rows = [row for row in rows if all(name in row for name in ALONG)]
    names = dict.fromkeys(name for row in rows for name in row if name not in ALONG)
    size = max(1, -(-len(rows) // POINTS))
    stretches = [rows[start : start + size] for start in range(0, len(rows), size)]
    # A stretch stands where it ends, so that a curve ends at the run's last step.
    along = {name: [stretch[-1][name] for stretch in stretches] for name in ALONG}
    series = {name: [_mean(stretch, name) for stretch in stretches] for name in names}
    return {**along, "series": series}


def _numbers(line: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, float | None]]:
    for name, value in line.items():
        if isinstance(value, dict) and not group:
            yield from _numbers(value, f"{name}: ")
        elif isinstance(value, list):
            known = [number for number in value if is_number(number)]
            if known:
                yield group + name, sum(known) / len(known)
        elif value is None or is_number(value):
            yield group + name, value


def _mean(rows: Sequence[Mapping[str, float | None]], name: str) -> float | None:
    known = [value for row in rows if (value := row.get(name)) is not None]
    return float(f"{sum(known) / len(known):.{DIGITS}g}") if known else None
