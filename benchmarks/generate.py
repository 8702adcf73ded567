"""How long does a user wait? Whole processes, from the command to the finished files.

    python benchmarks/generate.py
    python benchmarks/generate.py --runs 5

Runs ``maquette generate`` with the defaults in fresh processes, one after another, and prints the
wall and CPU seconds and the peak memory of each; then the CPU seconds of what comes before the
first step, each in a process of its own. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPTS = ("a red car", "a blue and white mug", "a yellow duck", "a green tree", "a brown bear")
BEFORE = {
    "import torch": ("", "import torch"),
    "import diffusers and transformers": (
        "import torch",
        "from diffusers import AutoencoderKL, UNet2DConditionModel; "
        "from transformers import CLIPTextModel, CLIPTokenizer",
    ),
    "read the prior": (
        "from maquette.priors.embedded import embedded, weights_folder; "
        "from diffusers import AutoencoderKL, UNet2DConditionModel; "
        "from transformers import CLIPTextModel, CLIPTokenizer",
        "embedded()",
    ),
}
"""What is timed, after what has been done before it."""


def process(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of a command that has to succeed."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}.")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def cpu_seconds(before: str, timed: str) -> float:
    """CPU seconds of ``timed`` in a fresh process that has done ``before``."""
    code = f"{before}\nimport time; start = time.process_time()\n{timed}\n"
    code += "print(time.process_time() - start)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(said.stdout.split()[-1])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, {datetime.date.today()}")
    walls, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(options.runs):
            prompt, out = PROMPTS[index % len(PROMPTS)], Path(folder) / str(index)
            command = [sys.executable, "-m", "maquette", "generate", prompt, "--out", str(out)]
            wall, cpu, peak = process(command)
            print(f"{prompt:32s}{wall:8.1f} s wall{cpu:8.1f} s CPU{peak:8.0f} MiB", flush=True)
            walls.append(wall)
            peaks.append(peak)
    print(f"{'median':32s}{statistics.median(walls):8.1f} s wall{max(peaks):21.0f} MiB at the most")
    for name, (before, timed) in BEFORE.items():
        seconds = statistics.median(cpu_seconds(before, timed) for _ in range(3))
        print(f"{name:36s}{seconds:8.2f} s CPU")


if __name__ == "__main__":
    main()
