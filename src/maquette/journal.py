"""What a run tells: ``metrics.jsonl``, one line per step, and ``timings.jsonl`` beside it.

Metrics say nothing about clocks or machines, so the file of a run that was killed and resumed is,
byte for byte, that of one that was not: a resume cuts it back to the checkpoint's step. Wall-clock
times stay out of it, in a file of their own that only ever grows, and so does the most memory that
was ever held.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from maquette import store
from maquette.records import Report

try:
    import resource
except ImportError:  # Windows tells no peak.
    resource = None

__all__ = ["Journal"]

METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"


class Journal:
    """The open journal of a run.

    Args:
        folder: of the run.
        step: the step that the run goes on from; later lines are cut off.

    Raises:
        DiskError: it cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._paths = folder / METRICS, folder / TIMINGS
        self.complete = self._cut(step)
        with store.disk_errors(folder / METRICS):
            self._handles = [_open(path) for path in self._paths]
        self._before = time.perf_counter()

    def add(self, report: Report) -> None:
        """Note one step."""
        now = time.perf_counter()
        timing = {
            "step": report.step,
            "seconds": round(now - self._before, 4),
            "at": round(time.time(), 3),
            **_peaks(),
        }
        self._before = now
        for handle, path, line in zip(
            self._handles, self._paths, (_metrics(report), timing), strict=True
        ):
            data = (json.dumps(line, allow_nan=False) + "\n").encode()
            with store.disk_errors(path, len(data)):
                while data:
                    data = data[os.write(handle, data) :]

    def sync(self) -> None:
        """Make what was noted survive a power cut; a checkpoint comes only after that."""
        for handle, path in zip(self._handles, self._paths, strict=True):
            with store.disk_errors(path):
                os.fsync(handle)

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._handles:
            os.close(handle)
        self._handles = []

    def _cut(self, step: int) -> bool:
        """Keep the lines up to ``step``; False where some of them are missing."""
        path = self._paths[0]
        with store.disk_errors(path):
            there = path.read_bytes() if path.is_file() else b""
        lines = there.splitlines(keepends=True)
        kept: list[bytes] = []
        for line in lines[:step]:
            if not line.endswith(b"\n") or _step_of(line) != len(kept) + 1:
                break
            kept.append(line)
        if b"".join(kept) != there:
            store.write_file(path, b"".join(kept))
        return len(kept) == step


def _metrics(report: Report) -> dict[str, Any]:
    return {
        "step": report.step,
        "loss": _number(report.loss),
        "losses": {name: _number(value) for name, value in report.losses.items()},
        "evaluations": report.evaluations,
        "count": report.count,
        "t": list(report.t),
        "skipped": report.skipped,
        "pixel_gradient_norm": _number(report.pixel_gradient_norm),
    }


def _peaks() -> dict[str, float]:
    """The most memory so far, in units of 2^20 bytes, where the system tells it."""
    found = {}
    if resource is not None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts bytes, all others units of 1024.
        found["peak_memory_mib"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
    if torch.cuda.is_initialized():
        found["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def _number(value: float) -> float | None:
    """JSON has no word for what is not finite."""
    return value if math.isfinite(value) else None


def _step_of(line: bytes) -> int | None:
    try:
        return json.loads(line).get("step")
    except (ValueError, AttributeError, RecursionError):
        return None


def _open(path: Path) -> int:
    nofollow = getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | nofollow, 0o666)
