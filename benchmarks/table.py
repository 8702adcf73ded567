"""The tables of a benchmark for a page of documentation, as Markdown.

    python benchmarks/table.py runs/bench
    python benchmarks/table.py runs/bench --part leads

    python benchmarks/table.py runs/bench --part rows --part objects

Reads ``bench.json``, as ``maquette bench toy`` leaves it, and runs nothing anew. ``objects`` tells
prompts with one object from those with two.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from maquette.bench.statistics import interval
from maquette.bench.toy import RESULTS
from maquette.cli_bench import COLUMNS, COSTS
from maquette.toybox.captions import parse

PARTS = ("rows", "unseen", "leads", "objects")


def cell(value: dict | None, factor: float) -> str:
    """``mean [low, high]``, or a dash where nothing was measured."""
    if value is None or not value["count"]:
        return "-"
    mean, low, high = (factor * value[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def table(rows: dict[str, dict], *, costs: bool) -> list[str]:
    """The lines of one table."""
    heads = ["", *(head for head, _ in COLUMNS.values()), *(COSTS.values() if costs else ())]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in rows.items():
        cells = [cell(row[measure], factor) for measure, (_, factor) in COLUMNS.items()]
        cells += [f"{row[cost]['mean']:,.0f}" for cost in COSTS if costs]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def by_objects(found: dict) -> dict[str, dict]:
    """For each entrant its scores over the prompts with one object, and over those with two."""
    rows = {}
    for entrant in (one["name"] for one in found["entrants"]):
        own = [row for row in found["results"] if row["entrant"] == entrant]
        for name, two in (("one object", False), ("two objects", True)):
            some = [row for row in own if (parse(row["prompt"]).other is not None) is two]
            prompts = len({row["prompt"] for row in some})
            rows[f"{entrant}, {name} ({prompts})"] = {
                measure: asdict(interval({(r["prompt"], r["seed"]): r[measure] for r in some}))
                for measure in COLUMNS
            }
    return rows


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append", default=None)
    options = parser.parse_args()
    found = json.loads((options.folder / RESULTS).read_text(encoding="utf-8"))
    print(f"{found['machine']}, {found['date']}; {len(found['prompts'])} prompts, "
          f"{len(found['seeds'])} seeds")  # fmt: skip
    for part in options.part or PARTS:
        rows = by_objects(found) if part == "objects" else found["table"][part]
        print("", part, "", *table(rows, costs=part == "rows"), sep="\n")


if __name__ == "__main__":
    main()
