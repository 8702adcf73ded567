"""``maquette evaluate``: runs judged by the embedded judge, or measured as a paper does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from maquette.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from maquette.metrics.protocol_run import Measured

__all__ = ["evaluate", "show_measured", "show_runs"]

COLUMNS = {
    "prompt_right": ("prompt", "{:.0%}"),
    "kind_right": ("kind", "{:.0%}"),
    "colour_right": ("colours", "{:.0%}"),
    "pattern_right": ("pattern", "{:.0%}"),
    "view_right": ("views", "{:.0%}"),
    "clip_score": ("CLIP", "{:.1f}"),
    "janus": ("Janus", "{:.0%}"),
    "chamfer": ("Chamfer", "{:.3f}"),
    "f_score": ("F-score", "{:.0%}"),
    "psnr": ("PSNR", "{:.1f}"),
    "saturation": ("saturation", "{:.2f}"),
    "sharpness": ("sharpness", "{:.4f}"),
    "seconds": ("seconds", "{:.0f}"),
    "evaluations": ("evaluations", "{:.0f}"),
    "gaussians": ("Gaussians", "{:.0f}"),
    "peak_memory_mib": ("peak MiB", "{:.0f}"),
    "peak_gpu_memory_mib": ("GPU MiB", "{:.0f}"),
}
"""Each measure's head and format; a column that is empty in all runs is not drawn."""
EMBEDDED = "embedded"


def evaluate(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    /,
    protocol: str | None = None,
    models: str | None = None,
    captions: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Measure finished runs: do they look like their prompts, from every side?

    Prints a table and writes metrics.json into each run's folder as soon as it is judged; what is
    there already of the same asset is not measured again, so that a command that was killed goes
    on. With --protocol the runs are measured as a paper does, into metrics-NAME.json.

    Args:
        runs: Folders of runs, or of "maquette compare" or "bench toy", whose runs are taken.
        protocol: cograd3d, dreamer-xl, dreamfusion, pgc or ptd.
        models: The folder that holds a protocol's networks, or "embedded" for the embedded judge
            in their place; by default Hugging Face's cache is looked through, without network.
        captions: Prompts among which R-Precision looks for the true one, one on each line.
        json: Print JSON instead of the table.
        quiet: Print nothing but the results.
    """
    if not runs:
        raise InputError("No run is given", "Name the folder of a run or a comparison")
    if protocol is None and (models is not None or captions is not None):
        raise InputError("Models and captions belong to a protocol", "Name one with --protocol")
    from maquette.cli_progress import Progress
    from maquette.metrics.members import members

    given = [run for folder in runs for run in members(folder)]
    folders = list({run.resolve(): run for run in given}.values())
    with Progress(quiet=quiet or json) as shown:
        if protocol is None:
            found = _judged(folders, shown.announce)
        else:
            measured = _measured(folders, protocol, models, captions, shown.announce)
    if protocol is None:
        if json:
            print(dumps(found[0] if len(found) == 1 else found, indent=2))
        else:
            show_runs(folders, found)
    elif json:
        facts = {"protocol": protocol, "runs": measured.runs, "over_runs": measured.over_runs}
        print(dumps(facts, indent=2))
    else:
        show_measured(measured)


def _judged(folders: Sequence[Path], say: Callable[[str], None]) -> list[dict[str, Any]]:
    from maquette.metrics.evaluate import check_run, evaluate_run

    for folder in folders:
        check_run(folder)  # All of them before the first is judged.
    found = []
    for folder in folders:
        say(f"Judging {folder}")
        found.append(evaluate_run(folder))
    return found


def _measured(
    folders: Sequence[Path],
    name: str,
    models: str | None,
    captions: Path | None,
    say: Callable[[str], None],
) -> Measured:
    from maquette.bench.prompts import listed_prompts
    from maquette.metrics.networks import Embedded, Stored
    from maquette.metrics.protocol_run import run_protocol
    from maquette.metrics.protocols import protocol

    found = protocol(name)
    listed = None if captions is None else listed_prompts(captions)
    networks = Embedded() if models == EMBEDDED else Stored(Path(models) if models else None)
    return run_protocol(folders, found, networks, listed, say)


def show_runs(folders: Sequence[Path], found: Sequence[dict[str, Any]]) -> None:
    """Print what the judge says: a row for each run, their means, and what has no meaning."""
    told = [name for name in COLUMNS if any(run.get(name) is not None for run in found)]
    heads = [COLUMNS[name][0] for name in told]
    rows = [
        [folder.resolve().name, _recipe(folder), *(_cell(run.get(name), name) for name in told)]
        for folder, run in zip(folders, found, strict=True)
    ]
    if len(found) > 1:
        from maquette.metrics.evaluate import mean_of_known

        means = [mean_of_known([run.get(name) for run in found]) for name in told]
        rows.append(["mean", "", *(_cell(*pair) for pair in zip(means, told, strict=True))])
    _print("", ["run", "recipe", *heads], rows, len(found))
    for note in dict.fromkeys(run["note"] for run in found if run["note"]):
        print(note)


def show_measured(measured: Measured) -> None:
    """Print a protocol's table: a row for each run, one over all, and what was chosen."""
    heads = [column.head for column in measured.columns]
    rows = [
        [run["folder"], *(_plain(row["value"]) for row in run["columns"])] for run in measured.runs
    ]
    if len(rows) > 1:
        rows.append(["over all", *(_plain(measured.over_runs[head]) for head in heads)])
    _print(measured.protocol.paper, ["run", *heads], rows, len(measured.runs))
    print(f"Chosen here, as the paper does not tell: {measured.protocol.chosen}.")
    notes = [
        row["note"]
        for run in measured.runs
        for row in run["columns"]
        if measured.over_runs[row["head"]] is None or row["metric"] != "deviation_over_prompts"
    ]
    for sentence in dict.fromkeys(filter(None, [measured.left_out, *notes])):
        print(sentence)


def _recipe(folder: Path) -> str:
    from maquette.store import read_json

    try:
        name = read_json(folder / "recipe.json")["recipe"]["name"]
    except (CheckpointError, KeyError, TypeError):
        return "-"
    return str(name)


def _cell(value: float | None, name: str) -> str:
    return "-" if value is None else COLUMNS[name][1].format(value)


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], runs: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None)
    for head in heads:
        table.add_column(head, overflow="fold")
    for place, row in enumerate(rows):
        table.add_row(*row, end_section=place == runs - 1)
    console = Console()
    (console if console.is_terminal else Console(width=240)).print(table)
