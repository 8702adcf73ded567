"""What a benchmark found, as the plain data of its page.

The tables are those of ``bench.json``. Curves are means over prompts, with the same intervals as
the tables have. Of the assets the page bears only so many, which ``showcase`` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maquette.bench.prompts import is_unseen
from maquette.bench.statistics import Interval, interval
from maquette.bench.toy import RESULTS
from maquette.errors import CheckpointError
from maquette.report.showcase import showcase
from maquette.store import read_json

__all__ = ["COLUMNS", "gather_benchmark", "is_benchmark"]

COLUMNS: tuple[tuple[str, str, float, int], ...] = (
    ("prompt_right", "prompt %", 100, 1),
    ("kind_right", "kind %", 100, 1),
    ("colour_right", "colours %", 100, 1),
    ("pattern_right", "pattern %", 100, 1),
    ("view_right", "views %", 100, 1),
    ("clip_score", "CLIP", 1, 1),
    ("janus", "Janus %", 100, -1),
    ("halo", "halo %", 100, -1),
    ("cpu_seconds", "CPU s", 1, -1),
    ("steps", "steps", 1, 0),
    ("evaluations", "evaluations", 1, 0),
    ("gaussians", "Gaussians", 1, 0),
)
"""Measures with their heads, what they are multiplied by, and whether more is better (1, -1)."""
SCORES = 8
"""So many of the columns say what an asset is like; the others say what it cost."""
PARTS = ("rows", "unseen", "leads")
DIGITS = 5
"""Significant digits of a number on the page."""

Say = Callable[[str], None]


def is_benchmark(folder: Path) -> bool:
    """Whether a benchmark has been finished in ``folder``."""
    return (folder / RESULTS).is_file()


def gather_benchmark(folder: Path, say: Say) -> dict[str, Any]:
    """The data of a page about the benchmark in ``folder``.

    Args:
        folder: as ``maquette bench`` leaves it, with its sheets and runs.
        say: told in a sentence what is being worked on.

    Returns:
        Facts of the benchmark; ``columns``; ``rows``, ``unseen`` and ``leads`` by entrant and
        measure as [mean, low, high, prompts]; ``curves`` by entrant; ``runs`` with what is shown
        of each, and ``notes`` on what is not.

    Raises:
        CheckpointError: ``bench.json`` is damaged.
        InputError: an asset or a sheet is missing or broken.
        DiskError: a file cannot be read.
    """
    say(f"Reading {folder / RESULTS}")
    data = read_json(folder / RESULTS)
    try:
        page = _page(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        raise CheckpointError(
            f"{folder / RESULTS} is no intact benchmark", "Run maquette bench again"
        ) from fault
    shown = showcase(folder, data["results"], data["prompts"], data["seeds"], say)
    return {**page, **shown}


def _page(data: Mapping[str, Any]) -> dict[str, Any]:
    """All that needs no other file; errors of many kinds where ``data`` is no benchmark."""
    entrants = [_entrant(entrant) for entrant in data["entrants"]]
    names = [entrant["name"] for entrant in entrants]
    prompts = [_text(prompt) for prompt in data["prompts"]]
    results = data["results"]
    for row in results:
        _check(row, names, prompts, data["seeds"])
    table = {part: _part(data["table"][part], names) for part in PARTS}
    told = {measure for row in table["rows"].values() for measure in row}
    columns = [
        {"key": key, "head": head, "factor": factor, "better": better, "cost": place >= SCORES}
        for place, (key, head, factor, better) in enumerate(COLUMNS)
        if key in told
    ]
    scores = [key for key, *_ in COLUMNS[:SCORES] if key in told]
    return {
        "columns": columns,
        "entrants": entrants,
        "prompts": [{"text": text, "unseen": is_unseen(text)} for text in prompts],
        "seeds": len(data["seeds"]),
        "budget": None if data["budget"] is None else _number(data["budget"]),
        "machine": f"{_text(data['machine'])}, {_text(data['date'])}",
        **table,
        "curves": {name: _curve(_of(results, name), scores) for name in names},
    }


def _entrant(entrant: Mapping[str, Any]) -> dict[str, Any]:
    settings = [_text(setting) for setting in entrant["settings"]]
    return {"name": _text(entrant["name"]), "recipe": _text(entrant["recipe"]), "how": settings}


def _check(
    row: Mapping[str, Any], names: Sequence[str], prompts: Sequence[str], seeds: Sequence[int]
) -> None:
    folder = _text(row["folder"])
    known = row["entrant"] in names and row["prompt"] in prompts and row["seed"] in seeds
    if not known or Path(folder).name != folder or folder in ("", ".", ".."):
        raise ValueError(folder)
    for key, *_ in COLUMNS:
        if row[key] is not None:
            _number(row[key])


def _part(
    rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """One of the three tables; what is known of nobody is left out."""
    return {
        name: {key: _ends(Interval(**row[key])) for key, *_ in COLUMNS if row.get(key) is not None}
        for name in names
        if (row := rows.get(name)) is not None
    }


def _of(results: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [row for row in results if row["entrant"] == name]


def _curve(rows: Sequence[Mapping[str, Any]], scores: Sequence[str]) -> dict[str, Any]:
    """What the judge said on the way: for each step that it looked at, means over prompts.

    Runs of one entrant have the same steps, but not always the same evaluations up to them.
    """
    looks = {
        step: {
            (row["prompt"], row["seed"]): look
            for row in rows
            for look in row["curve"]
            if look["step"] == step
        }
        for step in sorted({_number(look["step"]) for row in rows for look in row["curve"]})
    }
    series: dict[str, list[list[float] | None]] = {}
    for measure in scores:
        given = [{key: look.get(measure) for key, look in at.items()} for at in looks.values()]
        found = [interval(values) for values in given]
        if any(one.count for one in found):
            series[measure] = [_ends(one) if one.count else None for one in found]
    spent = [[_number(look["evaluations"]) for look in at.values()] for at in looks.values()]
    return {"evaluations": [_rounded(sum(at) / len(at)) for at in spent], "series": series}


def _ends(found: Interval) -> list[float]:
    ends = [_rounded(_number(value)) for value in (found.mean, found.low, found.high)]
    return [*ends, _number(found.count)]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
