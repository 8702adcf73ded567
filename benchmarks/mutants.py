"""Do the oracles notice a wrong formula? One-line faults, put in one at a time.

    python benchmarks/mutants.py            # all of them
    python benchmarks/mutants.py tsm pgc    # those whose name contains one of these

Each mutant of ``mutant_catalogue`` is put into a copy of the sources, on which ``pytest -m
oracles`` is run: first the test files that are about that formula, then all others. It is killed
where a test fails, and survives where all pass. A fault that stops the tests from being collected
is an error in the catalogue, not a kill. Prints one line a mutant, and the score; the exit code is
1 unless all were killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mutant_catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent
PASSED, FAILED = 0, 1
"""Exit codes of pytest."""


def copy_sources(place: Path) -> None:
    """Sources and tests, without the weights and whatever was compiled."""
    ignore = shutil.ignore_patterns("__pycache__", "weights")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", place)
    (place / "src/maquette/weights").symlink_to(ROOT / "src/maquette/weights")


def run_oracles(place: Path, tests: list[str]) -> int:
    """Pytest's exit code."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{place / 'src'}{os.pathsep}{place / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "oracles",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *tests], cwd=place, env=environment, capture_output=True, check=False
    )
    if done.returncode not in (PASSED, FAILED):
        raise SystemExit(done.stdout.decode()[-3000:])
    return done.returncode


def is_killed(place: Path, mutant: Mutant) -> bool:
    """Whether an oracle notices; the file is as before afterwards."""
    file = place / "src/maquette" / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        near = [f"tests/{name}.py" for name in mutant.tests]
        return run_oracles(place, near) == FAILED or run_oracles(place, ["tests"]) == FAILED
    finally:
        file.write_text(text, encoding="utf-8")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; all mutants by default")
    wanted = parser.parse_args().names
    chosen = [m for m in MUTANTS if not wanted or any(part in m.name for part in wanted)]
    killed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copy_sources(place)
        for mutant in chosen:
            gone = is_killed(place, mutant)
            killed += gone
            print(f"{'killed  ' if gone else 'SURVIVED'} {mutant.name}", flush=True)
    print(f"{killed} of {len(chosen)} killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
