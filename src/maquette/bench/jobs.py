"""One run of a benchmark, from the prompt to the judge's word, in a process of its own.

Each run has the folder that ``generate`` gives it, so a killed one goes on from its checkpoint and
ends in the same bytes. On the way the judge looks at the scene a few times, which changes nothing
in the run and gives the curve of its score over network evaluations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maquette.bench.entrants import Entrant
from maquette.errors import RunError
from maquette.store import read_json, write_json

if TYPE_CHECKING:
    from maquette.generation import Result
    from maquette.priors.base import Prior
    from maquette.run import Run
    from maquette.toybox.judge import Judge

__all__ = ["Job", "run_job"]

CURVE, COST, LOOKS = "curve.jsonl", "cost.json", 8
"""Files in a run's folder, and how often the judge looks at a run."""
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Job:
    """What determines a run.

    Attributes:
        prompt: what to make.
        entrant: with which recipe.
        seed: of the run.
        budget: network evaluations, which the steps come nearest to; None for the recipe's own.
        out: where run folders lie.
    """

    prompt: str
    entrant: Entrant
    seed: int
    budget: int | None
    out: Path


def run_job(job: Job) -> dict[str, Any]:
    """Make and judge one asset, or go on where it was stopped; returns one row of the results."""
    import torch

    from maquette.costs import steps_within
    from maquette.generation import Watch, generate
    from maquette.metrics.evaluate import MEASURES, evaluate_run

    torch.set_num_threads(1)
    recipe = job.entrant.made()
    if job.budget is not None:
        recipe = dataclasses.replace(recipe, steps=steps_within(recipe, job.budget))
    prior, _ = _prior(), _judge()  # Loaded before the clock is read.
    look = _Look(job.prompt, recipe.steps)
    watch = Watch(on_run=look, turntable=False, preview_every=0, checkpoint_every=100)
    result = _patiently(
        lambda: generate(
            job.prompt, recipe=recipe, prior=prior, seed=job.seed, out=job.out, watch=watch
        )
    )
    judged = evaluate_run(result.folder)
    return {
        "prompt": job.prompt,
        "entrant": job.entrant.name,
        "seed": job.seed,
        "folder": result.folder.name,
        "steps": result.step,
        "evaluations": result.evaluations,
        "gaussians": result.scene.count,
        "cpu_seconds": _cost(result.folder, look.seconds() if result.fresh else None),
        **{name: judged[name] for name in (*MEASURES, "janus", "halo")},
        "curve": _curve(result.folder),
    }


def _patiently(make: Callable[[], Result]) -> Result:
    """What ``make`` returns, once a killed benchmark's last process has let go of the run."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return make()
        except RunError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def _cost(folder: Path, seconds: float | None) -> float | None:
    """CPU seconds of the run, kept in its folder; None where it was made by another program.

    A run that was killed on the way has the seconds of its last sitting only.
    """
    if seconds is not None:
        write_json(folder / COST, {"cpu_seconds": seconds})
    return read_json(folder / COST)["cpu_seconds"] if (folder / COST).is_file() else None


def _curve(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's curve; of a step that was done twice, as after a kill, the last one."""
    if not (folder / CURVE).is_file():
        return []
    found = {}
    for line in (folder / CURVE).read_text(encoding="utf-8").splitlines():
        # A kill may have cut the last line short; the step is then done again.
        with contextlib.suppress(ValueError):
            parsed = json.loads(line)
            found[parsed["step"]] = parsed
    return [found[step] for step in sorted(found)]


@cache
def _prior() -> Prior:
    from maquette.priors.embedded import embedded

    return embedded()


@cache
def _judge() -> Judge:
    from maquette.priors.embedded import weights_folder
    from maquette.toybox.judge import Judge

    return Judge.load(weights_folder() / "judge-64")


class _Look:
    """Lets the judge look at a run now and then, and writes down what it says."""

    def __init__(self, prompt: str, steps: int) -> None:
        self.prompt = prompt
        self.places = {round(steps * (place + 1) / LOOKS) for place in range(LOOKS)}
        self.begun, self.looked = time.process_time(), 0.0

    def __call__(self, run: Run, folder: Path) -> None:
        if run.step not in self.places:
            return
        from maquette.metrics.evaluate import MEASURES, ring_of, ring_scores
        from maquette.scenes.particles import each

        begun = time.process_time()
        scores = ring_scores(_judge(), each(run.scene)[0], self.prompt, ring_of())
        line = {"step": run.step, "evaluations": run.prior.evaluations}
        line |= {name: scores[name] for name in (*MEASURES, "halo")}
        with (folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.looked += time.process_time() - begun

    def seconds(self) -> float:
        """CPU seconds of this process since the job began, without those of looking."""
        return time.process_time() - self.begun - self.looked
