"""One prompt, many recipes: the same prior, seeds and number of network evaluations for each.

Methods differ in what a step costs by a factor of five and more, so equal steps are not fair and
equal seconds are not repeatable. Evaluations of the prior's network are both: each recipe gets as
many steps as come nearest to the budget, and its ramps stretch with them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maquette import folders, lookup, store
from maquette.costs import evaluations_before, evaluations_per_step, steps_within
from maquette.errors import InputError
from maquette.generation import Result, Watch, generate
from maquette.priors.base import Prior
from maquette.recipe import Recipe
from maquette.records import Views

__all__ = ["Comparison", "Entry", "compare"]

SHEET, TABLE = "comparison.png", "comparison.json"
VIEWS = 8
MEASURES = ("prompt_right", "kind_right", "colour_right", "view_right", "clip_score", "janus")


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Attributes:
        recipe: its name.
        seed: of the run.
        folder: of the run, inside that of the comparison.
        seconds: at the wall clock; a sitting that was killed is not counted.
        evaluations: of the prior's network, for single pictures.
        gaussians: in the asset.
        scores: the judge's measures; None where one has no meaning.
    """

    recipe: str
    seed: int
    folder: str
    seconds: float
    evaluations: int
    gaussians: int
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found out.

    Attributes:
        folder: holds the runs, ``comparison.png`` and ``comparison.json``.
        entries: recipes in the order asked for, seeds within.
        note: why scores are missing; empty where none is.
    """

    folder: Path
    entries: list[Entry]
    note: str = ""

    def means(self) -> dict[str, dict[str, float | None]]:
        """For each recipe the means over seeds of all numbers of its entries."""
        return {
            name: _means([entry for entry in self.entries if entry.recipe == name])
            for name in dict.fromkeys(entry.recipe for entry in self.entries)
        }


def compare(
    prompt: str,
    recipes: Sequence[str],
    *,
    seeds: int = 1,
    budget: int | None = None,
    prior: Prior | str = "embedded",
    out: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    watch: Callable[[str, int], Watch] | None = None,
) -> Comparison:
    """Run every recipe with every seed, judge the assets, and draw them on one sheet.

    Asked for again, finished runs are kept and the others go on.

    Args:
        prompt: what to make.
        recipes: names, or ``path/to/file.py:function``.
        seeds: how many, from 0 on.
        budget: evaluations for each run; by default what the first recipe takes on its own.
        prior: a prior or its name.
        out: where the folder of the comparison lies.
        device: where to compute.
        threads: CPU threads.
        watch: gives the callbacks of the run of a recipe with a seed.

    Raises:
        InputError: fewer than one recipe, seed or evaluation, or one recipe named twice.
        MaquetteError: whatever ends a run; what was done is kept.
    """
    prompt = folders.check_prompt(prompt)
    _check(recipes, seeds, budget)
    named = prior if isinstance(prior, str) else prior.name
    prior = lookup.find_prior(prior, device) if isinstance(prior, str) else prior
    found = {name: lookup.recipe_for(name, prior, device=device)[0] for name in recipes}
    budget = budget or _own_budget(found[recipes[0]])
    identity = {"compare": list(recipes), "budget": budget}
    folder = _folder(Path(out).expanduser(), prompt, seeds, identity, named)
    seconds, entries, notes = _earlier_seconds(folder), [], []
    for name, seed in ((name, seed) for name in recipes for seed in range(seeds)):
        fair = dataclasses.replace(found[name], steps=steps_within(found[name], budget))
        options: dict[str, Any] = {"device": device, "threads": threads}
        options["watch"] = watch(name, seed) if watch else Watch(turntable=False)
        begun, key = time.monotonic(), f"{name} {seed}"
        result = generate(prompt, recipe=fair, prior=prior, seed=seed, out=folder, **options)
        taken = time.monotonic() - begun if result.fresh else 0.0
        seconds[key] = seconds.get(key, 0.0) + taken
        entry, note = _entry(name, seed, result, seconds[key])
        entries, notes = [*entries, entry], [*notes, note]
        # After every run, so that a comparison that is stopped knows what it has taken.
        _write_table(folder, prompt, budget, entries, seconds)
    _write_sheet(folder, entries)
    return Comparison(folder, entries, " ".join(dict.fromkeys(filter(None, notes))))


def _check(recipes: Sequence[str], seeds: int, budget: int | None) -> None:
    if not recipes or seeds < 1 or (budget is not None and budget < 1):
        raise InputError(
            f"{len(recipes)} recipes with {seeds} seeds and {budget} evaluations compare nothing",
            "Give at least one of each",
        )
    twice = sorted({name for name in recipes if list(recipes).count(name) > 1})
    if twice:
        raise InputError(f"The recipe {twice[0]} is named twice", "Name each once")


def _own_budget(recipe: Recipe) -> int:
    return evaluations_before(recipe) + round(recipe.steps * evaluations_per_step(recipe))


def _folder(out: Path, prompt: str, seeds: int, identity: dict[str, Any], prior: str) -> Path:
    """The comparison's own folder, named by what determines it."""
    folders.check_output(out, 1 << 20)
    folder = folders.safe_join(out, "compare-" + folders.run_name(prompt, seeds, identity, prior))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _entry(name: str, seed: int, result: Result, seconds: float) -> tuple[Entry, str]:
    """One row, and a note where the judge has nothing to say."""
    from maquette.metrics.evaluate import evaluate_run

    scores: dict[str, float | None] = dict.fromkeys(MEASURES)
    try:
        judged = evaluate_run(result.folder, views=VIEWS)
        note, scores = judged["note"], {measure: judged[measure] for measure in MEASURES}
    except InputError as unknown:
        note = str(unknown)
    facts = (round(seconds, 1), result.evaluations, result.scene.count)
    return Entry(name, seed, result.folder.name, *facts, scores), note


def _means(entries: list[Entry]) -> dict[str, float | None]:
    rows = [
        {
            **entry.scores,
            "seconds": entry.seconds,
            "evaluations": float(entry.evaluations),
            "gaussians": float(entry.gaussians),
        }
        for entry in entries
    ]
    means: dict[str, float | None] = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = sum(known) / len(known) if known else None
    return means


def _earlier_seconds(folder: Path) -> dict[str, float]:
    """What finished runs took in an earlier sitting."""
    if not (folder / TABLE).is_file():
        return {}
    return dict(store.read_json(folder / TABLE)["seconds"])


def _write_table(
    folder: Path, prompt: str, budget: int, entries: list[Entry], seconds: dict[str, float]
) -> None:
    rows: list[dict[str, Any]] = [dataclasses.asdict(entry) for entry in entries]
    facts = {"prompt": prompt, "budget": budget, "runs": rows, "seconds": seconds}
    store.write_json(folder / TABLE, facts)


def _write_sheet(folder: Path, entries: list[Entry]) -> None:
    """Rows of eight views, the front first."""
    from maquette.export.backdrop import backdrop
    from maquette.export.ply import read_ply
    from maquette.export.sheet import contact_sheet, write_png
    from maquette.export.turntable import turntable_frames

    ring = Views.ring(VIEWS, size=96)
    scenes = [read_ply(folder / entry.folder / "asset.ply") for entry in entries]
    pictures = [frame for s in scenes for frame in turntable_frames(s, ring, backdrop(s))]
    captions = [f"{entry.recipe}, seed {entry.seed}" for entry in entries]
    write_png(folder / SHEET, contact_sheet(np.stack(pictures), VIEWS, row_captions=captions))
