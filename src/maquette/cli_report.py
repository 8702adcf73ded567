"""``maquette report``: runs, comparisons or a benchmark as one page that needs no network."""

from __future__ import annotations

from pathlib import Path

import tyro

from maquette.errors import InputError

__all__ = ["report"]


def report(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    /,
    out: Path = Path("report.html"),
    quiet: bool = False,
) -> None:
    """Write one HTML page about runs: a table, curves, films, and views to turn with the mouse.

    The page is a single file. It opens from the disk, on a machine without a network too. Of a
    benchmark it shows the tables with their intervals, curves, and assets side by side.

    Args:
        runs: Folders that "maquette generate", "image" or "compare" made, or one of "bench".
        out: The page to write; replaced if it is there.
        quiet: Print nothing but the page's path at the end.
    """
    if not runs:
        raise InputError("No run is given", "Name the folder of a run, a drawing or a comparison")
    from maquette.cli_progress import Progress
    from maquette.report.page import write_report

    with Progress(quiet=quiet) as shown:
        size = write_report(runs, out, say=shown.announce)
        shown.announce(f"{size / 1e6:.1f} MB")
    print(out)
