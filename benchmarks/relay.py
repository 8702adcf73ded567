"""Where does the time of a run go? Every arrow of the relay, by Python's profiler.

    python benchmarks/relay.py
    python benchmarks/relay.py --recipe dreamfusion --steps 100

Runs some steps of a recipe on the embedded prior and prints the milliseconds of a step for each
arrow: scene to pictures, pictures to latents, latents to an answer, and back; and the seconds of
what happens once. The profiler's own cost is in the figures, so only compare them with each other.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime
import platform
import pstats
import subprocess
import sys
import time

import torch

from maquette.distill import distill
from maquette.lookup import find_recipe
from maquette.overrides import override
from maquette.priors.embedded import embedded
from maquette.run import Run

ARROWS = {
    "cameras and words": ("draw_from", "words"),
    "render": ("render",),
    "encode": ("encode",),
    "network": ("predict",),
    "encode backward": ("grad",),
    "render backward": ("backward",),
    "fusion": ("fuse",),
    "regularisers": ("__call__",),
    "optimiser": ("step",),
    "records": ("learn", "report", "grow"),
}
"""Arrows, and the functions that are theirs."""
PLACES = {
    "render": "scenes/gaussians.py",
    "encode": "stable_diffusion.py",
    "predict": "stable_diffusion.py",
    "grad": "autograd/__init__.py",
    "backward": "autograd/__init__.py",
    "__call__": "losses.py",
    "step": "maquette/optimiser.py",
    "words": "priors/text.py",
    "fuse": "gradients/fusion.py",
    "learn": "maquette/run.py",
    "report": "maquette/run.py",
    "grow": "maquette/run.py",
}
"""Of functions that other files have as well, the end of the path of the file that is meant."""


def once(prompt: str, recipe) -> Run:
    """A started run; prints how long everything took that happens once."""
    code = "import maquette.generation, maquette.priors.embedded, diffusers, transformers"
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    imported = time.perf_counter()
    prior = embedded()
    loaded = time.perf_counter()
    run = Run.start(prompt, recipe, prior, 0)
    started = time.perf_counter()
    print(f"once, in seconds: imports {imported - clock:.2f}, loading the prior "
          f"{loaded - imported:.2f}, the start {started - loaded:.2f}")  # fmt: skip
    return run


def spent(stats: dict, names: tuple[str, ...]) -> float:
    """Cumulative seconds in functions of these names; calls among themselves count once."""
    total = 0.0
    for (file, _, name), (_, _, _, cumulative, _) in stats.items():
        if name in names and file.endswith(PLACES.get(name, "")):
            total += cumulative
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="maquette")
    parser.add_argument("--prompt", default="a red and blue mug")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {datetime.date.today()}, {options.recipe}, {options.threads} thread(s)")
    recipe = override(find_recipe(options.recipe), [f"steps={options.steps}"])
    run = once(options.prompt, recipe)
    steps = distill(run)
    for _ in range(5):  # Compiles the kernels and fills the caches.
        next(steps)
    profile, done = cProfile.Profile(), run.step
    profile.enable()
    for _ in steps:
        pass
    profile.disable()
    stats = pstats.Stats(profile)
    each = 1e3 / (run.step - done)
    whole = each * stats.total_tt  # pyright: ignore[reportAttributeAccessIssue]
    told = 0.0
    for arrow, names in ARROWS.items():
        share = each * spent(stats.stats, names)  # pyright: ignore[reportAttributeAccessIssue]
        told += share
        print(f"{arrow:20s}{share:8.1f} ms{100 * share / whole:7.0f} %")
    print(f"{'all else':20s}{whole - told:8.1f} ms{100 * (whole - told) / whole:7.0f} %")
    print(f"{'a step':20s}{whole:8.1f} ms")


if __name__ == "__main__":
    main()
