"""``maquette compare``: several recipes on one prompt, as a table and a sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from maquette.folders import check_prompt

if TYPE_CHECKING:
    from maquette.comparison import Comparison

__all__ = ["compare", "show"]

COLUMNS = {
    "prompt_right": ("prompt", "{:.0%}"),
    "kind_right": ("kind", "{:.0%}"),
    "colour_right": ("colours", "{:.0%}"),
    "view_right": ("views", "{:.0%}"),
    "clip_score": ("CLIP", "{:.1f}"),
    "janus": ("Janus", "{:.0%}"),
    "seconds": ("seconds", "{:.0f}"),
    "evaluations": ("evaluations", "{:.0f}"),
    "gaussians": ("Gaussians", "{:.0f}"),
}
"""Each measure's head and format."""


def compare(
    prompt: Annotated[str, tyro.conf.Positional],
    /,
    recipes: str,
    seeds: int = 1,
    budget: int | None = None,
    prior: str = "embedded",
    out: Path = Path("runs"),
    device: str = "cpu",
    threads: int | None = None,
    quiet: bool = False,
) -> None:
    """Run several recipes on one prompt with the same number of network evaluations each.

    Prints a table of means over seeds, and writes comparison.png (a row of eight views for each
    run) and comparison.json. Asked for again, finished runs are kept and the others go on.

    Args:
        prompt: What to make.
        recipes: Names with commas between them, as in maquette,dreamfusion.
        seeds: How many, from 0 on.
        budget: Evaluations of each run; by default what the first recipe takes on its own.
        prior: "embedded", a folder in the diffusers layout, or path/to/file.py:function.
        out: Where the folder of the comparison lies.
        device: Where to compute: cpu or cuda.
        threads: CPU threads; by default as many as PyTorch takes.
        quiet: Print nothing but the table and the folder at the end.
    """
    check_prompt(prompt)  # Before anything heavy is imported.
    from maquette.cli_progress import Progress
    from maquette.comparison import compare as run
    from maquette.generation import Watch

    names = [name for part in recipes.split(",") if (name := part.strip())]

    def watch(name: str, seed: int) -> Watch:
        progress.restart()
        progress.announce(f"{name}, seed {seed}")
        return Watch(progress.report, progress.announce, turntable=False)

    with Progress(quiet=quiet) as progress:
        options = {"prior": prior, "out": out, "device": device, "threads": threads}
        done = run(prompt, names, seeds=seeds, budget=budget, watch=watch, **options)
    show(done)
    print(done.folder)


def show(done: Comparison) -> None:
    """Print the table of means, and the note."""
    from rich.console import Console
    from rich.table import Table

    table = Table("recipe", *(head for head, _ in COLUMNS.values()))
    for name, means in done.means().items():
        cells = [
            "-" if (value := means[measure]) is None else form.format(value)
            for measure, (_, form) in COLUMNS.items()
        ]
        table.add_row(name, *cells)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)
    if done.note:
        print(done.note)
