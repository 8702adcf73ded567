"""What the folders of runs, drawings and comparisons say, as the plain data of one page.

A run has a ``run.json`` and an asset, a drawing of ``maquette image`` has a ``picture.png``, and a
comparison's ``comparison.json`` names the runs in it. Everything is read before a page is written,
and a folder that is none of the three is an error: a report that left one out would be no report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from maquette.errors import CheckpointError, InputError
from maquette.export.ply import read_ply
from maquette.metrics.cost import is_number, run_cost
from maquette.metrics.members import members
from maquette.report.curves import read_curves
from maquette.report.media import film, picture, sheet
from maquette.report.splats import packed
from maquette.scenes.gaussians import Gaussians
from maquette.store import disk_errors, read_json

__all__ = ["gather"]

RUN, RECIPE, METRICS, ASSET = "run.json", "recipe.json", "metrics.json", "asset.ply"
PICTURE, GRADIENTS = "picture.png", "gradients.png"
COMPARISON, COMPARISON_SHEET = "comparison.json", "comparison.png"

HEADS = {
    "prompt": "prompt",
    "recipe": "recipe",
    "seed": "seed",
    "seconds": "seconds",
    "evaluations": "U-Net evaluations",
    "gaussians": "Gaussians",
    "prompt_right": "right prompt",
    "kind_right": "right kind",
    "colour_right": "right colours",
    "view_right": "right views",
    "clip_score": "CLIP score",
    "janus": "Janus",
    "chamfer": "Chamfer distance",
    "f_score": "F-score",
    "psnr": "PSNR",
    "peak_memory_mib": "peak MiB",
    "peak_gpu_memory_mib": "peak GPU MiB",
}
"""Columns of the table of runs and their heads; other numbers of ``metrics.json`` come after."""

SETTING = ("views", "elevation_deg", "size", "schema", "edition")
"""Numbers of ``metrics.json`` that say how was measured, not what; they stand in the note."""

Say = Callable[[str], None]


def gather(folders: Sequence[Path], say: Say) -> dict[str, Any]:
    """The data of a page about ``folders``.

    Args:
        folders: of runs, drawings and comparisons; what is named twice is shown once.
        say: told in a sentence what is being worked on.

    Returns:
        ``columns`` with key and head, ``runs`` in the order given, and ``sheets`` of comparisons.

    Raises:
        InputError: no folder is given, or a run has no asset or a broken file.
        CheckpointError: a folder is none of the three, or a JSON file is damaged.
        DiskError: a file cannot be read.
    """
    if not folders:
        raise InputError("No run is given", "Name the folder of a run, a drawing or a comparison")
    given = [member for folder in folders for member in members(Path(folder))]
    for member in given:
        _check(member)  # All of them before the first is drawn.
    runs = []
    for member in {member.resolve(): member for member in given}.values():
        say(f"Reading {member}")
        runs.append(_run(member) if (member / RUN).is_file() else _drawing(member))
    return {"columns": _columns(runs), "runs": runs, "sheets": list(_sheets(folders))}


def _check(folder: Path) -> None:
    if (folder / RUN).is_file():
        if not (folder / ASSET).is_file():
            raise InputError(f"{folder} has no {ASSET}", "Finish the run with maquette resume")
    elif not (folder / PICTURE).is_file() or not (folder / RECIPE).is_file():
        raise CheckpointError(
            f"{folder} is no run: it has no {RUN}",
            "Give a folder that maquette generate, image, compare or bench made",
        )


def _run(folder: Path) -> dict[str, Any]:
    """One run with an asset."""
    about = _about(folder / RUN, read_json(folder / RUN))
    scene = read_ply(folder / ASSET)
    if not scene.count:
        raise InputError(f"{folder / ASSET} holds no Gaussians", "Make the asset anew")
    curves, scores, notes = read_curves(folder), *_scores(folder)
    facts = {**about, **_costs(folder), "gaussians": scene.count, **scores["numbers"]}
    model = packed(scene)
    if model["count"] < scene.count:
        notes.append(f"The view shows the {model['count']:,} Gaussians that cover most.")
    return {
        **_kind(folder, "asset", facts, curves, notes),
        "sides": scores["sides"],
        "model": model,
        **_pictures(folder, scene),
    }


def _pictures(folder: Path, scene: Gaussians) -> dict[str, Any]:
    return {"film": film(folder, scene), "sheet": sheet(scene)}


def _drawing(folder: Path) -> dict[str, Any]:
    """One picture, and the gradients that made it where the run came so far."""
    curves, about = read_curves(folder), _about(folder / RECIPE, read_json(folder / RECIPE))
    pictures = {"picture": picture(folder / PICTURE)}
    if (folder / GRADIENTS).is_file():
        pictures["gradients"] = picture(folder / GRADIENTS)
    facts = {**about, **_costs(folder)}
    return {**_kind(folder, "drawing", facts, curves, []), **pictures}


def _kind(
    folder: Path, kind: str, facts: dict[str, Any], curves: dict[str, Any], notes: list[str]
) -> dict[str, Any]:
    name = folder.resolve().name
    return {"kind": kind, "name": name, "facts": facts, "curves": curves, "notes": notes}


def _about(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Prompt, recipe and seed."""
    recipe = read_json(path.parent / RECIPE).get("recipe")
    about = {
        "prompt": data.get("prompt"),
        "recipe": recipe.get("name") if isinstance(recipe, dict) else None,
        "seed": data.get("seed"),
    }
    for name, kind in {"prompt": str, "recipe": str, "seed": int}.items():
        if not isinstance(about[name], kind):
            where = path.parent / RECIPE if name == "recipe" else path
            raise CheckpointError(f"{where} has no proper {name!r}")
    return about


def _costs(folder: Path) -> dict[str, Any]:
    """Seconds and evaluations, None where nothing tells them."""
    told = run_cost(folder)
    return {name: told[name] for name in ("seconds", "evaluations")}


def _scores(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """All numbers of ``metrics.json``: those for the table, those of each side; and notes."""
    scores: dict[str, Any] = {"numbers": {}, "sides": {}}
    if not (folder / METRICS).is_file():
        return scores, ["No scores: maquette evaluate has not seen this run."]
    data = read_json(folder / METRICS)
    with disk_errors(folder / ASSET), (folder / ASSET).open("rb") as file:
        judged = hashlib.file_digest(file, "sha256").hexdigest()
    if data.get("asset_sha256") not in (None, judged):
        return scores, ["No scores: those that are there are of another asset."]
    for name, value in data.items():
        if isinstance(value, dict) and name != "by_view":
            scores["numbers"] |= {f"{name}: {k}": v for k, v in value.items() if is_number(v)}
        elif is_number(value) and name not in SETTING:
            scores["numbers"][name] = value
    sides = data.get("by_view")
    if isinstance(sides, dict):
        scores["sides"] = {HEADS.get(k, k): v for k, v in sides.items() if _numbers(v)}
    return scores, [_setting(data), *filter(None, [data.get("note")])]


def _setting(data: dict[str, Any]) -> str:
    views, size, elevation = (data.get(name) for name in ("views", "size", "elevation_deg"))
    behind = data.get("background")
    colour = f", on the background {behind}" if _list(behind) else ""
    sides = f"{views} sides of {size} pixels, {elevation} degrees above the horizon"
    return f"Judged from {sides}{colour}, by {data.get('judge')}."


def _columns(runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The columns that hold anything in any run."""
    told = [key for run in runs for key, value in run["facts"].items() if value is not None]
    there = dict.fromkeys([*(key for key in HEADS if key in told), *told])
    return [{"key": key, "head": HEADS.get(key, key.replace("_", " "))} for key in there]


def _sheets(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for folder in dict.fromkeys(Path(folder) for folder in folders):
        if (folder / COMPARISON).is_file() and (folder / COMPARISON_SHEET).is_file():
            prompt = str(read_json(folder / COMPARISON).get("prompt"))
            yield {"prompt": prompt, "picture": picture(folder / COMPARISON_SHEET)}


def _list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _numbers(values: object) -> bool:
    if not isinstance(values, list) or not values:
        return False
    return any(map(is_number, values)) and all(v is None or is_number(v) for v in values)
