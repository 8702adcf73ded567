"""Measure a finished run: does its asset look like its prompt, from every side?

The asset itself is judged, read back from its file and rendered on white, not the run's memory of
it. Accuracies need a prompt of the toy world, because only there the judge knows what else the
picture could show; a prompt of known words that describes no such object gets a CLIP score only.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import CheckpointError, InputError
from maquette.export.ply import read_ply
from maquette.metrics.clip import clip_score
from maquette.metrics.janus import false_fronts, is_janus, janus_ring
from maquette.priors.embedded import weights_folder
from maquette.records import Views
from maquette.scenes.base import Scene
from maquette.store import disk_errors, read_json, sha256_of, write_json
from maquette.toybox.captions import Description, parse
from maquette.toybox.colours import Rgb, clear_background
from maquette.toybox.judge import Judge
from maquette.toybox.kinds import KINDS

__all__ = ["evaluate_run", "scene_fronts"]

ASSET, RUN, METRICS = "asset.ply", "run.json", "metrics.json"
MEASURES = ("prompt_right", "kind_right", "colour_right", "view_right", "clip_score")


def evaluate_run(
    folder: Path,
    *,
    views: int = 8,
    elevation_deg: float = 15.0,
    size: int = 64,
    judge: Path | None = None,
) -> dict[str, Any]:
    """Judge a run's asset from a ring of views, and write ``metrics.json`` into its folder.

    Args:
        folder: of the run.
        views: cameras, evenly around the object, the first at its front.
        elevation_deg: of all cameras.
        size: side of the pictures in pixels.
        judge: a folder as ``maquette.toybox.pack`` writes it; the packaged judge by default.

    Returns:
        What was written: the setting; for each measure of ``maquette.toybox.judge.Verdict`` its
        mean and its value for each view, None where it has no meaning; ``janus``, 1.0 where the
        object shows a second front and else 0.0, and the shares that tell (``metrics/janus.py``),
        None for what has no front; and a note that says which have none and why, empty where all
        have one.

    Raises:
        InputError: the folder has no asset, a broken one, or a prompt with words that the judge
            does not know; or the setting makes no pictures.
        CheckpointError: the folder is no run.
        PriorError: the judge's files are missing or damaged.
        DiskError: the file cannot be written.
    """
    folder = Path(folder)
    if views < 1 or size < 2 or not -90.0 < elevation_deg < 90.0:
        raise InputError(f"{views} views of {size} pixels at {elevation_deg} degrees are none")
    prompt = _prompt(folder)
    if not (folder / ASSET).is_file():
        raise InputError(f"{folder} has no {ASSET}", "Finish the run with maquette resume")
    scene = read_ply(folder / ASSET)
    folder_of_judge = judge or weights_folder() / "judge-64"
    model = Judge.load(folder_of_judge)
    model.wording.check_words(prompt, "The judge")
    # Half a step off the front: no camera stands on the border between two view words.
    ring = Views.ring(views, elevation_deg=elevation_deg, size=size, start_deg=180 / views)
    described = _description(prompt)
    behind = clear_background(described.colour_words if described else ())
    measures, note = _measure(model, _pictures(scene, ring, behind), prompt, ring)
    fronts = None if described is None else scene_fronts(model, scene, described, size)
    with disk_errors(folder / ASSET):
        digest = sha256_of((folder / ASSET).read_bytes())
    result = {
        "prompt": prompt,
        "asset_sha256": digest,
        "judge": folder_of_judge.name,
        "views": views,
        "elevation_deg": float(elevation_deg),
        "size": size,
        "background": list(behind),
        "note": note,
        **{name: _mean(values) for name, values in measures.items()},
        "janus": None if fronts is None else float(is_janus(fronts)),
        "false_fronts": fronts,
        "by_view": measures,
    }
    write_json(folder / METRICS, result)
    return result


@torch.no_grad()
def _pictures(scene: Scene, views: Views, background: Rgb) -> Tensor:
    rendered = scene.render(views, torch.tensor(background).expand(len(views), 3)).colour
    return finite("render", rendered).clamp(0, 1)


def scene_fronts(
    judge: Judge, scene: Scene, description: Description, size: int = 64
) -> dict[str, float] | None:
    """The shares of ``false_fronts`` for a scene of ``description``.

    None for what has no front, and for two objects, of which one may hide the other.
    """
    if not KINDS[description.kind].has_front or description.other is not None:
        return None
    ring = janus_ring(size)
    pictures = _pictures(scene, ring, clear_background(description.colour_words))
    return false_fronts(judge.view_probabilities, pictures, ring)


def _measure(
    judge: Judge, pictures: Tensor, prompt: str, views: Views
) -> tuple[dict[str, list[float | None]], str]:
    """Every measure for each view, and the note."""
    nothing: list[float | None] = [None] * len(views)
    description = _description(prompt)
    if description is None:
        score = _plain(clip_score(judge.clip, pictures, judge.wording.plain(prompt)))
        note = "The prompt describes no single object of the toy world: CLIP score only."
        return {**dict.fromkeys(MEASURES, nothing), "clip_score": score}, note
    verdict = judge.verdict(pictures, description, views)
    measures = {name: _plain(getattr(verdict, name)) for name in MEASURES}
    empty = [name for name, values in measures.items() if values[0] is None]
    reasons = {
        "colour_right": "The prompt names no colour.",
        "view_right": f"A {description.kind} has no front that differs from its back.",
    }
    return measures, " ".join(reasons[name] for name in empty if name in reasons)


def _description(prompt: str) -> Description | None:
    try:
        return parse(prompt)
    except ValueError:
        return None


def _prompt(folder: Path) -> str:
    if not (folder / RUN).is_file():
        raise CheckpointError(
            f"{folder} is no run: it has no {RUN}", "Give a folder that maquette generate made"
        )
    prompt = read_json(folder / RUN).get("prompt")
    if not isinstance(prompt, str):
        raise CheckpointError(f"{folder / RUN} has no proper 'prompt'")
    return prompt


def _plain(values: Tensor) -> list[float | None]:
    """Plain numbers, None for what is not a number: JSON knows no NaN."""
    return [value if math.isfinite(value) else None for value in values.double().tolist()]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
