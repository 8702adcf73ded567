"""Kill -9 a benchmark at random moments; compare its table with one left alone.

    python benchmarks/kill_bench.py
    python benchmarks/kill_bench.py --kills 20 --recipes maquette,ptd --budget 240

Kills ``maquette bench toy`` after a random part of the time that it takes when left alone, starts
the same command again, and so on. What stands in ``bench.json`` at the end must be the same but for
the seconds. The last line is a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def facts(out: Path) -> dict:
    """All that a benchmark promises to reproduce: everything but dates and seconds."""
    found = json.loads((out / "bench.json").read_text())
    del found["date"]
    for row in (*found["results"], *(r for part in found["table"].values() for r in part.values())):
        row.pop("cpu_seconds", None)
    return found


def main() -> int:
    """Print a line for each kill and trial; 0 where all tables are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--recipes", default="dreamfusion,pgc")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--budget", type=int, default=200)
    options = parser.parse_args()
    command = [sys.executable, "-m", "maquette", "bench", "toy", "--recipes", options.recipes]
    command += ["--prompts", str(options.prompts), "--budget", str(options.budget), "--out"]
    moments, kills, trials, different = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="maquette-kill-") as work:
        whole, began = Path(work) / "whole", time.monotonic()
        subprocess.run([*command, str(whole)], stdout=subprocess.DEVNULL, check=True)
        seconds = time.monotonic() - began
        while kills < options.kills:
            trials += 1
            broken = Path(work) / f"trial-{trials}"
            own = kill_until_done([*command, str(broken)], seconds, moments, options.kills - kills)
            same = facts(whole) == facts(broken)
            print(f"trial {trials}: {own} kills, {'same table' if same else 'DIFFERENT'}")
            kills, different = kills + own, different + (not same)
    figures = {"kills": kills, "trials": trials, "different": different}
    print(json.dumps({**figures, "seconds_alone": round(seconds, 1)}))
    return int(different > 0)


def kill_until_done(command: list[str], seconds: float, moments: random.Random, most: int) -> int:
    """Start a benchmark again and again until it is done; how often it was killed."""
    kills = 0
    while True:
        limit = moments.uniform(0, seconds / 2) if kills < most else None
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            code = running.wait(limit)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            kills += 1
            print(f"killed after {limit:.1f} s", flush=True)
            continue
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}.")
        return kills


if __name__ == "__main__":
    sys.exit(main())
