"""Which runs a folder holds: itself, or those of a comparison or a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maquette.errors import CheckpointError
from maquette.store import read_json

__all__ = ["members"]

RUN, RESULT = "run.json", "result.json"
LISTS = {
    "comparison.json": ("runs", "maquette compare"),
    "bench.json": ("results", "maquette bench toy"),
}
"""Files that list runs: under which name, and what writes them."""
BENCH_RUNS = "runs"


def members(folder: Path) -> list[Path]:
    """The runs of a folder of ``maquette compare`` or ``bench toy``, or the folder itself.

    A benchmark that is not through has the runs that are finished.

    Raises:
        CheckpointError: the list of runs is damaged or empty.
    """
    for name, (key, command) in LISTS.items():
        if (folder / name).is_file():
            inside = folder if name == "comparison.json" else folder / BENCH_RUNS
            return [inside / run for run in _listed(folder / name, key, command)]
    finished = [] if (folder / RUN).is_file() else (folder / BENCH_RUNS).glob(f"*/{RESULT}")
    return sorted(path.parent for path in finished) or [folder]


def _listed(path: Path, key: str, command: str) -> list[str]:
    entries: Any = read_json(path).get(key)
    given = (
        [entry.get("folder") for entry in entries if isinstance(entry, dict)]
        if isinstance(entries, list)
        else []
    )
    names = [name for name in given if isinstance(name, str) and name == Path(name).name]
    for name in given:
        if name not in names or name in ("", "."):
            raise CheckpointError(f"{path} names no proper folder: {name!r}")
    if not names:
        raise CheckpointError(f"{path} names no runs", f"Run {command} again")
    return names
