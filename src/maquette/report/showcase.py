"""Which assets of a benchmark its page shows, and how: to turn, from eight sides, or not at all.

A benchmark may have hundreds of assets, and a page that held all of them would be too large to be
sent or opened. So both have an allowance of bytes. Assets come in whole sets, all entrants on one
prompt with one seed, because what is shown shall be comparable: first the first seed, its prompts
in an order of which every beginning is spread evenly over all of them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maquette.bench.toy import sheet_path
from maquette.errors import InputError
from maquette.export.ply import read_ply
from maquette.export.sheet import contact_sheet, cut_sheet
from maquette.report.splats import MOST, packed
from maquette.store import disk_errors

__all__ = ["MODEL_BYTES", "SIDE_BYTES", "showcase"]

MODEL_BYTES = 12_000_000
"""For all assets to turn, as text."""
SIDE_BYTES = 8_000_000
"""For all pictures of eight sides, as text."""
SIDES, COLUMNS = 8, 4
QUALITY = 88
SCORES = ("prompt_right", "clip_score")
"""Said of each asset."""

Row = Mapping[str, Any]
Say = Callable[[str], None]


def showcase(
    folder: Path,
    results: Sequence[Row],
    prompts: Sequence[str],
    seeds: Sequence[int],
    say: Say,
) -> dict[str, Any]:
    """What is shown of a benchmark's assets.

    Args:
        folder: of the benchmark.
        results: its rows.
        prompts: in its order.
        seeds: in its order.
        say: told what is being worked on.

    Returns:
        ``runs``: of each ``entrant``, ``prompt``, ``seed``, ``scores``, and where the allowances
        reached so far ``model`` and ``sides``; and ``notes``, sentences on what was left out.

    Raises:
        InputError: an asset or a sheet is missing, broken, or does not hold what it should.
        DiskError: a file cannot be read.
    """
    for row in results:
        if not (_asset(folder, row)).is_file():
            raise InputError(f"{_asset(folder, row).parent} has no asset", "Run the bench again")
    sets = list(_sets(results, prompts, seeds))
    say(f"Cutting the sheets of {len({row['entrant'] for row in results})} entrants")
    sides = _within(sets, SIDE_BYTES, _cutter(folder, results))
    say("Packing assets to turn")
    # However large assets are, those of one prompt have a place.
    most = MODEL_BYTES // max(map(len, sets))
    models = _within(sets, MODEL_BYTES, lambda row: _model(_asset(folder, row), most))
    runs = [_run(row, sides.get(id(row)), models.get(id(row))) for row in results]
    return {"runs": runs, "notes": _notes(runs)}


def _sets(
    results: Sequence[Row], prompts: Sequence[str], seeds: Sequence[int]
) -> Iterator[list[Row]]:
    for seed in seeds:
        for place in _spread(len(prompts)):
            rows = [r for r in results if r["prompt"] == prompts[place] and r["seed"] == seed]
            if rows:
                yield rows


def _spread(count: int) -> list[int]:
    """0 to ``count - 1`` in the order of their bits read backwards (van der Corput 1935)."""
    bits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))


def _within(
    sets: Sequence[Sequence[Row]], allowance: int, make: Callable[[Row], dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """What ``make`` gives for the rows of as many sets as fit, by the rows' identity."""
    made: dict[int, dict[str, Any]] = {}
    for rows in sets:
        more = {id(row): make(row) for row in rows}
        allowance -= sum(map(_bytes, more.values()))
        if allowance < 0 and made:
            break
        made |= more
    return made


def _bytes(thing: Mapping[str, Any]) -> int:
    return sum(len(c["data"]) for c in (thing, *thing.get("columns", {}).values()) if "data" in c)


def _asset(folder: Path, row: Row) -> Path:
    return folder / "runs" / row["folder"] / "asset.ply"


def _model(path: Path, most_bytes: int) -> dict[str, Any]:
    scene = read_ply(path)
    if not scene.count:
        raise InputError(f"{path} holds no Gaussians", "Make the asset anew")
    one = packed(scene, 1)
    return {**packed(scene, min(MOST, max(1, most_bytes // _bytes(one)))), "of": scene.count}


def _cutter(folder: Path, results: Sequence[Row]) -> Callable[[Row], dict[str, Any]]:
    """A function that gives a run's eight sides out of its entrant's sheet."""
    sheets: dict[str, list[np.ndarray]] = {}

    def cut(row: Row) -> dict[str, Any]:
        name = row["entrant"]
        own = [id(other) for other in results if other["entrant"] == name]
        if name not in sheets:
            sheets[name] = _cut(sheet_path(folder, name), len(own))
        return _jpeg(contact_sheet(sheets[name][own.index(id(row))], COLUMNS))

    return cut


def _cut(path: Path, rows: int) -> list[np.ndarray]:
    """The pictures of each row of a sheet, ``[8, H, W, 3]``."""
    from PIL import Image

    with disk_errors(path):
        data = path.read_bytes() if path.is_file() else b""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            sheet = np.asarray(image.convert("RGB"))
        return list(cut_sheet(sheet, rows, SIDES))
    except (OSError, SyntaxError, ValueError, InputError, Image.DecompressionBombError) as fault:
        raise InputError(
            f"{path} is no intact sheet of {rows} assets", "Run maquette bench again"
        ) from fault


def _jpeg(picture: np.ndarray) -> dict[str, Any]:
    from PIL import Image

    out = io.BytesIO()
    # Without subsampling: colours of thin things are what is looked at.
    Image.fromarray(picture).save(out, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return {"type": "image/jpeg", "data": base64.b64encode(out.getvalue()).decode("ascii")}


def _run(row: Row, sides: Any, model: Any) -> dict[str, Any]:
    facts = {name: row[name] for name in ("entrant", "prompt", "seed", "gaussians")}
    return {**facts, "scores": {n: row[n] for n in SCORES}, "sides": sides, "model": model}


def _notes(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is not on the page, in sentences; none where all is."""
    count = len(runs)
    models = [run["model"] for run in runs if run["model"] is not None]
    seen = sum(run["sides"] is not None for run in runs)
    cut = sum(model["count"] < model["of"] for model in models)
    notes = []
    if len(models) < count:
        notes.append(
            f"{len(models)} of {count} assets can be turned here, all of the same prompts; more "
            "would make the page too large."
        )
    if seen < count:
        notes.append(f"Of {count - seen} assets no picture is here; the sheets show them.")
    if cut:
        notes.append(f"Of {cut} assets the view shows only the Gaussians that cover most.")
    return notes
