"""What a run cost, as its folder tells: seconds, network evaluations and memory.

``timings.jsonl`` has a line for every step, steps that were done again after a crash counted again;
``result.json`` and ``metrics.jsonl`` know the evaluations. What no file tells is None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from maquette.store import disk_errors, read_json

__all__ = ["COSTS", "is_number", "journal_lines", "run_cost", "total_seconds"]

RESULT, METRICS, TIMINGS = "result.json", "metrics.jsonl", "timings.jsonl"
PEAKS = ("peak_memory_mib", "peak_gpu_memory_mib")
COSTS = ("seconds", "evaluations", *PEAKS)


def run_cost(folder: Path) -> dict[str, float | None]:
    """The costs of a run by the names of ``COSTS``.

    Returns:
        ``seconds`` of all steps at the wall clock; ``evaluations`` of the U-Net, for single
        pictures; ``peak_memory_mib``, the most that the process ever held until its last step, in
        units of 2^20 bytes, what it did before the run included; and ``peak_gpu_memory_mib``, the
        most that PyTorch had allocated on a CUDA device.

    Raises:
        CheckpointError: ``result.json`` is damaged.
        DiskError: a file is there and cannot be read.
    """
    lines = list(journal_lines(folder / TIMINGS))
    peaks = {
        name: max((line[name] for line in lines if is_number(line.get(name))), default=None)
        for name in PEAKS
    }
    return {"seconds": total_seconds(folder), "evaluations": _evaluations(folder), **peaks}


def total_seconds(folder: Path) -> float | None:
    """What the steps of a run took at the wall clock, repeated ones counted; None if unknown."""
    known = [line.get("seconds") for line in journal_lines(folder / TIMINGS)]
    seconds = [value for value in known if is_number(value)]
    return round(math.fsum(seconds), 1) if seconds else None


def journal_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The intact lines of a journal; a run that goes on may be writing its last one.

    Raises:
        DiskError: the file is there and cannot be read.
    """
    with disk_errors(path):
        data = path.read_bytes() if path.is_file() else b""
    for line in data.splitlines():
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(parsed, dict):
            yield parsed


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a finite number, which True is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _evaluations(folder: Path) -> float | None:
    if (folder / RESULT).is_file() and is_number(
        told := read_json(folder / RESULT).get("evaluations")
    ):
        return told
    known = [line.get("evaluations") for line in journal_lines(folder / METRICS)]
    return next((value for value in reversed(known) if is_number(value)), None)
