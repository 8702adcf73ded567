"""``maquette bench toy``: recipes on many prompts of the toy world, as a table with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maquette.bench.entrants import Entrant
    from maquette.bench.statistics import Interval
    from maquette.bench.toy import Table

__all__ = ["show", "toy"]

COLUMNS = {
    **{"prompt_right": ("prompt", 100), "kind_right": ("kind", 100)},
    **{"colour_right": ("colours", 100), "view_right": ("views", 100)},
    **{"clip_score": ("CLIP", 1), "janus": ("Janus", 100), "halo": ("halo", 100)},
}
"""Each score's head and factor."""
COSTS = {"cpu_seconds": "CPU s", "steps": "steps", "evaluations": "evaluations"}


def toy(
    recipes: str = "all",
    ablation: str | None = None,
    prompts: int = 12,
    prompts_file: Path | None = None,
    prompt_seed: int = 31,
    seeds: int = 1,
    budget: int | None = 1200,
    processes: int = 2,
    out: Path = Path("runs/bench"),
    quiet: bool = False,
) -> None:
    """Compare recipes on prompts of the toy world with equal numbers of network evaluations.

    Prints means with 95 % intervals over prompts, the same on combinations that no training saw,
    and how far the first recipe is ahead of each other one, prompt by prompt. Writes bench.json,
    with curves over each run, and a sheet of the assets of every recipe. It may be killed at any
    moment: the same command goes on and comes to the same table.

    Args:
        recipes: Names with commas between them, or all; the first is compared with the others.
        ablation: Instead of recipes one of the papers' tables: cograd3d, tsm, pgc, ptd, clipping.
        prompts: How many are drawn, every third an unseen combination.
        prompts_file: Instead of drawn prompts those of a file, one on each line.
        prompt_seed: Draws the prompts.
        seeds: How many runs of each prompt, from 0 on.
        budget: Network evaluations of each run; 0 for each recipe's own number of steps.
        processes: Runs at the same time, on one thread each.
        out: Where everything lies.
        quiet: Print nothing but the tables and the folder.
    """
    from maquette.bench.prompts import drawn_prompts, listed_prompts
    from maquette.bench.toy import bench_toy

    chosen = _entrants(recipes, ablation)
    texts = listed_prompts(prompts_file) if prompts_file else drawn_prompts(prompts, prompt_seed)

    def told(done: int, count: int, row: dict[str, Any]) -> None:
        if not quiet:
            print(f"{done}/{count}  {row['entrant']}: {row['prompt']}, seed {row['seed']}, "
                  f"prompt right {row['prompt_right']:.0%}", flush=True)  # fmt: skip

    options = {"budget": budget or None, "processes": processes, "out": out}
    table = bench_toy(chosen, texts, seeds=range(seeds), on_done=told, **options)
    show(table)
    print(table.folder)


def _entrants(recipes: str, ablation_name: str | None) -> tuple[Entrant, ...]:
    from maquette import lookup
    from maquette.bench.entrants import ablation, entrants

    if ablation_name is not None:
        return ablation(ablation_name)
    names = [name for part in recipes.split(",") if (name := part.strip())]
    if names == ["all"]:
        default = lookup.DEFAULT_RECIPE
        names = [default, *(name for name in lookup.recipe_names() if name != default)]
    return entrants(names)


def show(table: Table) -> None:
    """Print the three tables."""
    print(table.machine)
    _print("all prompts", table.rows, costs=True)
    _print("unseen combinations", table.unseen, costs=False)
    if table.leads:
        first = next(iter(table.rows))
        _print(f"{first} ahead of", table.leads, costs=False)


def _print(title: str, rows: dict[str, dict[str, Interval]], *, costs: bool) -> None:
    from rich.console import Console
    from rich.table import Table as Drawn

    heads = [head for head, _ in COLUMNS.values()]
    drawn = Drawn(title, *heads, *(COSTS.values() if costs else ()))
    for name, row in rows.items():
        cells = [_cell(row[measure], factor) for measure, (_, factor) in COLUMNS.items()]
        if costs:
            cells += [f"{row[measure].mean:.0f}" for measure in COSTS]
        drawn.add_row(name, *cells)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(drawn)


def _cell(value: Interval, factor: float) -> str:
    if not value.count:
        return "-"
    mean, low, high = (factor * part for part in (value.mean, value.low, value.high))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
