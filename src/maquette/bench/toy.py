"""The benchmark: every entrant on every prompt with every seed, in parallel, safe to kill.

All state is in the runs' own folders; the table is made from them at the end. So it may be killed
at any moment and started again, and comes to the same table.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from maquette.bench.entrants import Entrant
from maquette.bench.jobs import Job, run_job
from maquette.bench.prompts import is_unseen
from maquette.bench.statistics import Interval, Key, interval, lead
from maquette.errors import InputError
from maquette.folders import check_output, check_prompt
from maquette.metrics.evaluate import MEASURES
from maquette.processes import follow_parent
from maquette.store import disk_errors, write_json

__all__ = ["RESULTS", "Table", "bench_toy", "sheet_path"]

RESULTS, SHEETS = "bench.json", "sheet-{}.png"
SCORES = (*MEASURES, "janus", "halo")
COSTS = ("cpu_seconds", "steps", "evaluations", "gaussians")
RUN_BYTES = 2 << 20


@dataclass(frozen=True)
class Table:
    """What a benchmark found.

    Attributes:
        folder: holds the runs, ``bench.json`` and one sheet for each entrant.
        rows: for each entrant, intervals of its scores and of what it cost.
        unseen: the same on combinations that no training saw.
        leads: for each entrant but the first, how far the first is ahead of it, prompt by prompt.
        machine: what it ran on, and when.
    """

    folder: Path
    rows: dict[str, dict[str, Interval]]
    unseen: dict[str, dict[str, Interval]]
    leads: dict[str, dict[str, Interval]]
    machine: str


def bench_toy(
    entrants: Sequence[Entrant],
    prompts: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    budget: int | None = 1200,
    processes: int = 2,
    out: Path = Path("runs/bench"),
    on_done: Callable[[int, int, dict[str, Any]], object] = lambda *_: None,
) -> Table:
    """Run, judge and compare; finished runs are kept, and the others go on.

    Args:
        entrants: rows of the table; leads are those of the first.
        prompts: of the toy world, each once.
        seeds: of the runs.
        budget: network evaluations of every run; None gives each its own number of steps.
        processes: runs at the same time, each on one thread.
        out: where everything lies.
        on_done: told the number of finished runs, of all, and the newest row.

    Raises:
        InputError: nothing to compare, a prompt twice or unknown, or a setting that does not fit.
        MaquetteError: whatever ends a run; what was done is kept.
    """
    _check(entrants, prompts, seeds, budget, processes)
    out = Path(out).expanduser()
    check_output(out, RUN_BYTES)
    runs = out / "runs"
    jobs = [
        Job(prompt, entrant, seed, budget, runs)
        for entrant in entrants
        for prompt in prompts
        for seed in seeds
    ]
    results = []
    for row in _all(jobs, processes):
        results.append(row)
        on_done(len(results), len(jobs), row)
    results.sort(key=lambda row: [job_key(job) for job in jobs].index(row_key(row)))
    facts = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "date": str(datetime.date.today()),
        "entrants": [asdict(entrant) for entrant in entrants],
        "prompts": list(prompts),
        "seeds": list(seeds),
        "budget": budget,
    }
    table = _table(out, results, f"{facts['machine']}, {facts['date']}")
    write_json(out / RESULTS, {**facts, "results": results, "table": _plain(table)})
    _write_sheets(out, results)
    return table


def job_key(job: Job) -> tuple[str, str, int]:
    """What tells one run from another within a benchmark."""
    return job.entrant.name, job.prompt, job.seed


def row_key(row: dict[str, Any]) -> tuple[str, str, int]:
    """The same of a row of the results."""
    return row["entrant"], row["prompt"], row["seed"]


def sheet_path(folder: Path, entrant: str) -> Path:
    """Where the sheet of an entrant's assets lies; its rows are the entrant's rows of results."""
    return folder / SHEETS.format("".join(c if c.isalnum() else "-" for c in entrant))


def _all(jobs: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    """Rows in the order of the jobs."""
    if processes == 1:
        yield from map(run_job, jobs)
        return
    # Spawned, because a fork of a process with threads may hang.
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=follow_parent) as pool:
        try:
            yield from pool.map(run_job, jobs)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _check(
    entrants: Sequence[Entrant],
    prompts: Sequence[str],
    seeds: Sequence[int],
    budget: int | None,
    processes: int,
) -> None:
    if not (entrants and prompts and seeds) or processes < 1 or (budget is not None and budget < 1):
        raise InputError(
            f"{len(entrants)} recipes, {len(prompts)} prompts and {len(seeds)} seeds with {budget} "
            f"evaluations on {processes} processes compare nothing",
            "Give at least one of each",
        )
    for what, given in (("prompt", prompts), ("seed", seeds)):
        twice = [one for one in given if list(given).count(one) > 1]
        if twice:
            raise InputError(f"The {what} {twice[0]!r} is there twice", "Name each once")
    from maquette.rehearsal import rehearse
    from maquette.toybox.wording import WORDING

    for prompt in prompts:
        WORDING.check(check_prompt(prompt), "The toy world")
    for entrant in entrants:
        rehearse(entrant.made())


def _table(out: Path, results: list[dict[str, Any]], machine: str) -> Table:
    names = list(dict.fromkeys(row["entrant"] for row in results))
    first = names[0]
    unseen = [row for row in results if is_unseen(row["prompt"])]

    def row_of(rows: list[dict[str, Any]], name: str) -> dict[str, Interval]:
        return {m: interval(_values(rows, name, m)) for m in (*SCORES, *COSTS)}

    return Table(
        folder=out,
        rows={name: row_of(results, name) for name in names},
        unseen={name: row_of(unseen, name) for name in names},
        leads={
            name: {m: lead(_values(results, first, m), _values(results, name, m)) for m in SCORES}
            for name in names[1:]
        },
        machine=machine,
    )


def _values(rows: list[dict[str, Any]], entrant: str, measure: str) -> dict[Key, float | None]:
    return {(row["prompt"], row["seed"]): row[measure] for row in rows if row["entrant"] == entrant}


def _plain(table: Table) -> dict[str, Any]:
    """The table as plain data; intervals of nothing are None, as JSON has no NaN."""
    return {
        part: {
            name: {m: asdict(i) if i.count else None for m, i in row.items()}
            for name, row in getattr(table, part).items()
        }
        for part in ("rows", "unseen", "leads")
    }


def _write_sheets(out: Path, results: list[dict[str, Any]]) -> None:
    """One sheet for each entrant: a row of eight views for each of its runs."""
    import numpy as np

    from maquette.export.backdrop import backdrop
    from maquette.export.ply import read_ply
    from maquette.export.sheet import contact_sheet, write_png
    from maquette.export.turntable import turntable_frames
    from maquette.metrics.evaluate import ring_of

    for name in dict.fromkeys(row["entrant"] for row in results):
        own = [row for row in results if row["entrant"] == name]
        scenes = (read_ply(out / "runs" / row["folder"] / "asset.ply") for row in own)
        pictures = [
            frame
            for scene in scenes
            for frame in turntable_frames(scene, ring_of(), backdrop(scene))
        ]
        captions = [f"{row['prompt']}, seed {row['seed']}" for row in own]
        sheet = contact_sheet(np.stack(pictures), 8, row_captions=captions)
        with disk_errors(out):
            write_png(sheet_path(out, name), sheet)
