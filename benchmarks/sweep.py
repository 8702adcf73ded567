"""Which values should the default recipe have? One question at a time, on prompts for tuning only.

    python benchmarks/sweep.py
    python benchmarks/sweep.py start steps --prompts 12 --seeds 2

Each question is a benchmark whose first entrant is the recipe as it is; the others have one value
changed. The last table of each tells how far the recipe is ahead of every change, prompt by prompt.
The prompts are drawn by a seed that no table of results uses, and no run of theirs has these seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maquette.bench.entrants import Entrant
from maquette.bench.prompts import drawn_prompts
from maquette.bench.toy import bench_toy
from maquette.cli_bench import show

PROMPT_SEED, FIRST_SEED = 7, 100

QUESTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "start": (
        ("init=inits.Sphere", "init.radius=0.7"),
        ("init.count=1500",),
        ("init.count=2000",),
        ("init.opacity=0.5",),
        ("init.guidance_scale=1.5",),
    ),
    "steps": (("steps=250",), ("steps=800",)),
    "guidance": (("objective.guidance_scale=4",), ("objective.guidance_scale=12",)),
    "timesteps": (
        ("timesteps.low=linear(0.6, 0.02)", "timesteps.high=linear(0.9, 0.2)"),
        ("timesteps.low=linear(0.4, 0.02)", "timesteps.high=linear(0.7, 0.2)"),
        ("timesteps.low=linear(0.8, 0.02)", "timesteps.high=linear(0.98, 0.1)"),
        ("timesteps.low=linear(0.8, 0.1)", "timesteps.high=linear(0.98, 0.3)"),
    ),
    "rates": (
        ("rates.means=exponential(0.01, 0.0005)",),
        ("rates.means=exponential(0.0025, 0.00025)",),
        ("rates.log_scales=exponential(0.04, 0.002)",),
        ("rates.sh=exponential(0.06, 0.003)",),
        ("rates.logit_opacities=exponential(0.1, 0.01)",),
    ),
    "regularisers": (
        ("losses.alphaentropy.weight=0", "losses.sparsity.weight=0"),
        ("losses.alphaentropy.weight=40",),
        ("losses.sparsity.weight=5",),
        ("losses.sparsity.weight=20",),
    ),
    "views": (("views=1",), ("views=4",)),
    "size": (
        ("size=steps((0, 32), (0.3, 64))",),
        ("size=steps((0, 48), (0.5, 64))",),
    ),
    "clip": (
        ("gradients.clipbynorm.threshold=0.2",),
        ("gradients.clipbynorm.threshold=1.0",),
    ),
}
"""For each question the settings that are tried instead."""


def main() -> None:
    """Ask, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", default=list(QUESTIONS), metavar="QUESTION")
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=int, default=None, help="evaluations; the recipe's own")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--with", dest="settings", nargs="*", default=[], metavar="PATH=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    options = parser.parse_args()
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no question {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    base = tuple(options.settings)
    for question in options.questions:
        tried = [Entrant("as it is", "maquette", base)]
        tried += [Entrant(" ".join(s), "maquette", (*base, *s)) for s in QUESTIONS[question]]
        table = bench_toy(
            tried,
            drawn_prompts(options.prompts, PROMPT_SEED),
            seeds=range(FIRST_SEED, FIRST_SEED + options.seeds),
            budget=options.budget,
            processes=options.processes,
            # One folder for all, so that the recipe as it is runs once.
            out=options.out,
        )
        print(f"\n{question}")
        show(table)


if __name__ == "__main__":
    main()
