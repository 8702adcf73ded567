"""User studies from the command line: build the page, serve it, count the answers."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from maquette.study.tallying import Row, Tally

__all__ = ["build", "serve", "tally"]

Paths = Annotated[tuple[Path, ...], tyro.conf.Positional]
Questions = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name="question")]


def build(
    runs: Annotated[Paths, tyro.conf.arg(help="folders of runs, or folders that hold runs")],
    /,
    out: Path,
    *,
    kind: Literal["pick", "rank"] = "pick",
    questions: Questions = (),
    prompts_each: int | None = None,
    views: int = 36,
    size: int = 256,
    seed: int = 0,
) -> str:
    """Make a page that shows, prompt by prompt, the assets of several recipes without their names.

    The folder can be given away: it opens from a disk, and who made what is told only by the key
    beside it, FOLDER-key.json.

    Args:
        runs: folders of runs, or folders that hold runs.
        out: the folder to make.
        kind: pick the best asset, or rank all of them.
        questions: asked about every prompt; may be repeated. By default three: fits the text, looks
            best, is consistent from all sides.
        prompts_each: prompts that one participant is shown, drawn for each; by default all.
        views: sides from which each asset is shown.
        size: side of each picture in pixels.
        seed: of the random order of prompts and assets.
    """
    from maquette.study.building import build_study
    from maquette.study.plan import QUESTIONS, key_path

    study = build_study(
        runs,
        out,
        kind=kind,
        questions=questions or QUESTIONS,
        each=prompts_each,
        views=views,
        size=size,
        seed=seed,
        announce=partial(print, file=sys.stderr),
    )
    asked = study.each * len(study.questions)
    return (
        f"{out / 'index.html'}: {len(study.groups)} groups, {asked} questions a participant\n"
        f"The key, to be kept back: {key_path(out)}"
    )


def serve(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="of the study")],
    /,
    *,
    port: int = 0,
) -> None:
    """Show a study on this machine and keep the answers beside it, until Ctrl-C.

    Only this machine can reach the page. Answers go to FOLDER-answers.sqlite, each as it is given.

    Args:
        folder: of the study.
        port: where to listen; 0 takes any free one.
    """
    from maquette.study.server import StudyServer

    with StudyServer(folder, port) as server:
        print(server.address, flush=True)
        server.serve_forever()


def tally(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="of the study")],
    answers: Annotated[Paths, tyro.conf.arg(help="files that participants downloaded")] = (),
    /,
    *,
    out: Path | None = None,
) -> None:
    """Count a study's answers: shares of first choices, mean ranks, and how sure they are.

    Answers that a server has kept beside the folder are counted too. Intervals are at 95 %.

    Args:
        folder: of the study.
        answers: JSON files that participants downloaded, or SQLite files of other servers.
        out: also write everything to this JSON file.
    """
    import dataclasses

    from maquette import store
    from maquette.errors import InputError
    from maquette.study.tallying import tally_study

    if out is not None and out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out} lies in the study, and tells whose assets are whose", "Move it")
    found = tally_study(folder, answers)
    if out is not None:
        store.write_json(out, dataclasses.asdict(found))
    _show(found)


def _show(found: Tally) -> None:
    from rich.console import Console
    from rich.table import Table

    # Labels may hold brackets, which are no markup.
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=120)
    ranked = any(row.mean_rank is not None for rows in found.questions.values() for row in rows)
    heads = ["recipe", "shown", "first", "share", "95 %", "by chance"]
    heads += ["mean rank", "95 %"] if ranked else []
    for question, rows in found.questions.items():
        table = Table(*heads, title=question, title_justify="left")
        for row in rows:
            table.add_row(*_cells(row)[: len(heads)])
        console.print(table)
    for line in _notes(found):
        print(line)


def _cells(row: Row) -> list[str]:
    def told(value: float | tuple[float, float] | None, form: str) -> str:
        if value is None:
            return "-"
        values = value if isinstance(value, tuple) else (value,)
        return " to ".join(form.format(one) for one in values)

    shares = [told(row.share, "{:.1%}"), told(row.share_interval, "{:.1%}")]
    ranks = [told(row.mean_rank, "{:.2f}"), told(row.rank_interval, "{:.2f}")]
    counts = [str(row.shown), str(row.first)]
    return [row.recipe, *counts, *shares, told(row.chance, "{:.1%}"), *ranks]


def _notes(found: Tally) -> list[str]:
    lines = [
        f"{found.participants} participants, {found.finished} of them finished; "
        f"{found.counted} answers count",
        f"not counted: {found.incomplete} left undone, {found.missing} not given",
    ]
    if found.superseded:
        lines.append(f"{found.superseded} answers were given anew; the last one counts")
    if found.reordered:
        lines.append(f"{found.reordered} answers tell another order than the study's own")
    places = ", ".join(f"{count}" for count in found.first_by_place)
    return [*lines, f"firsts by place on the page, from the first place on: {places}"]
