"""Kill -9 at random moments through the real command line; compare with a run left alone.

    python benchmarks/kill.py                      50 kills of the tiny run, analytic prior
    python benchmarks/kill.py --full "a red mug"   50 kills of full-size runs, embedded prior

A trial starts ``maquette generate`` and kills its process group at a random moment: after a random
number of further steps and a random part of a step, or, one time in eight, before the first. Then
it does the same with ``maquette resume`` until the run is done. All that a run promises to
reproduce must then be the same bytes. The last line is a JSON summary.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TINY = Path(__file__).resolve().parent.parent / "tests" / "tiny.py"
MAQUETTE = [sys.executable, "-m", "maquette"]
TRANSIENT = (".lock", "timings.jsonl")
EARLY = 1 / 8
"""Share of the kills that come before the process has done a step."""


@dataclass
class Unharmed:
    """The run that was left alone: its digest, its steps, and how long things take."""

    digest: dict[str, str]
    steps: int
    step_seconds: float
    start_seconds: float


def main() -> int:
    """Run all trials and print the figures; 0 where every one of them came out the same."""
    options = _options()
    work = Path(tempfile.mkdtemp(prefix="maquette-kill-"))
    random_moments = random.Random(options.seed)
    start, again = _commands(options)
    unharmed = _leave_alone(start, work / "unharmed")
    kills, trials, different, most = 0, 0, 0, 0
    while kills < options.kills:
        trials, own = trials + 1, 0
        out, command = work / f"trial-{trials}", start
        while (code := _run(command, out, unharmed, random_moments, kills < options.kills)) is None:
            kills, own = kills + 1, own + 1
            # A kill before the run has a folder leaves nothing to resume; one starts it again.
            command = [*again, str(folder)] if (folder := _folder(out)) else start
        folder = _folder(out)
        same = code == 0 and folder is not None and digest(folder) == unharmed.digest
        different, most = different + (not same), max(most, own)
        print(f"trial {trials}: {own} kills, {'same bytes' if same else 'DIFFERENT'}", flush=True)
        shutil.rmtree(out)
    shutil.rmtree(work)
    figures = {"kills": kills, "trials": trials, "most_in_one": most, "different": different}
    print(json.dumps({**figures, "steps": unharmed.steps, "full": bool(options.full)}))
    return int(different > 0)


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file that a run promises to reproduce."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TRANSIENT
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill runs and compare what becomes of them.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--full", metavar="PROMPT", default="", help="full-size runs of this prompt"
    )
    parser.add_argument("--steps", type=int, default=0, help="of a full-size run")
    parser.add_argument("--every", type=int, default=0, help="steps between two checkpoints")
    return parser.parse_args()


def _commands(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """How a run is started and how it is resumed."""
    every = options.every or (25 if options.full else 5)
    shared = ["--quiet", "--threads", "1", "--checkpoint-every", str(every)]
    if options.full:
        steps = ["--steps", str(options.steps)] if options.steps else []
        return [*MAQUETTE, "generate", options.full, *steps, *shared], [
            *MAQUETTE,
            "resume",
            *shared,
        ]
    prior = ["--prior", f"{TINY}:prior"]
    start = [*MAQUETTE, "generate", "a disc", "--recipe", f"{TINY}:recipe", *prior, *shared]
    return start, [*MAQUETTE, "resume", *prior, *shared]


def _leave_alone(command: list[str], out: Path) -> Unharmed:
    began = time.time()
    subprocess.run([*command, "--out", str(out)], stdout=subprocess.DEVNULL, check=True)
    folder = _folder(out)
    assert folder is not None
    lines = (folder / "timings.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0])["at"], json.loads(lines[-1])["at"]
    pace = (last - first) / max(len(lines) - 1, 1)
    return Unharmed(digest(folder), len(lines), pace, first - began)


def _run(
    command: list[str], out: Path, unharmed: Unharmed, moments: random.Random, kill: bool
) -> int | None:
    """Run a command to its end and give its exit code, or kill it and give None."""
    folder = _folder(out)
    told, done = _lines(folder, "timings.jsonl"), _lines(folder, "metrics.jsonl")
    target = told + moments.randint(1, max(unharmed.steps - done, 0) + 2)
    early, share = moments.random() < EARLY, moments.random()
    full = command if command[3] == "resume" else [*command, "--out", str(out)]
    started = subprocess.Popen(full, stdout=subprocess.DEVNULL, start_new_session=True)
    if done >= unharmed.steps:
        # All steps are done: what is left is to read the checkpoint and to write the asset.
        early, share = True, 2 * share
    if kill and early:
        _sleep(started, share * unharmed.start_seconds)
    while kill and not early and started.poll() is None:
        if _lines(_folder(out), "timings.jsonl") >= target:
            break
        # The last steps lie beyond the end: there the files of the asset are being written.
        beyond = target - told > unharmed.steps - done
        if beyond and _lines(_folder(out), "metrics.jsonl") == unharmed.steps:
            break
        time.sleep(0.002)
    if kill and not early:
        _sleep(started, 2 * share * unharmed.step_seconds)
    if kill and started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        return None
    return started.wait()


def _sleep(started: subprocess.Popen, seconds: float) -> None:
    """Sleep, or until the process ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and started.poll() is None:
        time.sleep(0.001)


def _folder(out: Path) -> Path | None:
    """The run's folder, once it can be resumed."""
    return next((path.parent for path in out.glob("*/run.json")), None)


def _lines(folder: Path | None, name: str) -> int:
    path = folder / name if folder else None
    return path.read_bytes().count(b"\n") if path and path.is_file() else 0


if __name__ == "__main__":
    sys.exit(main())
