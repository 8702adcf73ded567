"""Workers end when the process that began them is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from maquette.processes import follow_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=follow_parent) as pool:
        list(pool.map(abs, range(8)))
        print("ready", flush=True)
        time.sleep(300)
"""


def test_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as began:
        assert began.stdout is not None
        assert began.stdout.readline() == "ready\n"
        began.send_signal(signal.SIGKILL)
        # The workers hold this pipe too: it ends when the last of them does.
        assert began.communicate(timeout=60) == ("", None)
