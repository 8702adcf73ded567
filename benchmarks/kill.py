"""Kill -9 at random moments through the real command line; compare with a run left alone.

    python benchmarks/kill.py                      50 kills of the tiny run, analytic prior
    python benchmarks/kill.py --full "a red mug"   50 kills of full-size runs, embedded prior

A trial starts ``maquette generate``, kills its process group at a random moment of the time that an
unharmed run takes, and repeats ``maquette resume`` likewise until the run is done. All that
a run promises to reproduce must then be the same bytes. The last line is a JSON summary.
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
from pathlib import Path

TINY = Path(__file__).resolve().parent.parent / "tests" / "tiny.py"
MAQUETTE = [sys.executable, "-m", "maquette.cli"]
TRANSIENT = (".lock", "timings.jsonl")


def main() -> int:
    """Run all trials and print the figures; 0 where every one of them came out the same."""
    options = _options()
    work = Path(tempfile.mkdtemp(prefix="maquette-kill-"))
    moments = random.Random(options.seed)
    start, again = _commands(options)
    began = time.time()
    folder = _run(start, work / "unharmed", None)
    lasts = time.time() - began
    assert folder is not None
    # Half of the time before the first file is the interpreter's, where there is nothing to harm.
    idle = ((folder / "run.json").stat().st_mtime - began) / 2
    wanted = digest(folder)
    kills, trials, differing, unreadable = 0, 0, 0, 0
    while kills < options.kills:
        trials += 1
        out, command = work / f"trial-{trials}", start
        while True:
            began = time.time()
            moment = moments.uniform(idle, lasts) if kills < options.kills else None
            done = _run(command, out, moment)
            if done is not None:
                # A machine that got faster must not let runs end before they are killed.
                fresh = command is start and done != Path()
                lasts = min(lasts, time.time() - began) if fresh else lasts
                idle = min(idle, 0.8 * lasts)
                break
            kills += 1
            found = list(out.iterdir()) if out.is_dir() else []
            # A kill before the run has a folder leaves nothing to resume; one starts it again.
            ready = len(found) == 1 and (found[0] / "run.json").is_file()
            command = [*again, str(found[0])] if ready else start
        unreadable += done == Path()
        same = done != Path() and digest(done) == wanted
        differing += not same
        print(f"trial {trials}: {kills} kills so far, {'same bytes' if same else 'DIFFERENT'}")
        shutil.rmtree(out)
    shutil.rmtree(work)
    figures = {"kills": kills, "trials": trials, "different": differing, "unreadable": unreadable}
    print(json.dumps({**figures, "seconds": round(lasts, 1), "full": bool(options.full)}))
    return int(differing > 0)


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file that a run promises to reproduce."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TRANSIENT
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--full", metavar="PROMPT", default="", help="full-size runs of this prompt"
    )
    parser.add_argument("--steps", type=int, default=None, help="of a full-size run")
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
    tiny = ["--prior", f"{TINY}:prior"]
    start = [*MAQUETTE, "generate", "a disc", "--recipe", f"{TINY}:recipe", *tiny, *shared]
    return start, [*MAQUETTE, "resume", *tiny, *shared]


def _run(command: list[str], out: Path, seconds: float | None) -> Path | None:
    """Run a command, killed after some seconds: its folder, None if killed, Path() if failed."""
    full = command if command[3] == "resume" else [*command, "--out", str(out)]
    started = subprocess.Popen(full, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = started.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
        return None
    return Path(told.strip()) if started.returncode == 0 else Path()


if __name__ == "__main__":
    sys.exit(main())
