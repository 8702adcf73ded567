"""The tables of a benchmark for a page of documentation, as Markdown.

    python benchmarks/table.py runs/bench
    python benchmarks/table.py runs/bench --part leads

Reads ``bench.json``, as ``maquette bench toy`` leaves it, and computes nothing anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maquette.bench.toy import RESULTS
from maquette.cli_bench import COLUMNS, COSTS

PARTS = ("rows", "unseen", "leads")


def cell(value: dict | None, factor: float) -> str:
    """``mean [low, high]``, or a dash where nothing was measured."""
    if value is None:
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
        print("", part, "", *table(found["table"][part], costs=part == "rows"), sep="\n")


if __name__ == "__main__":
    main()
