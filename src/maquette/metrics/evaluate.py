"""Measure a finished run: does its asset look like its prompt, from every side?

The asset itself is judged, read back from its file and rendered on a background on which no named
colour vanishes, not the run's memory of it. Accuracies need a prompt of the toy world, because only
there the judge knows what else the picture could show; a prompt of known words that describes no
such object gets a CLIP score only.
"""

from __future__ import annotations

import math
from dataclasses import replace
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
from maquette.records import Render, Views
from maquette.scenes.base import Scene
from maquette.store import disk_errors, read_json, sha256_of, write_json
from maquette.toybox.captions import Description, parse
from maquette.toybox.colours import Rgb, clear_background
from maquette.toybox.judge import Judge
from maquette.toybox.kinds import KINDS

__all__ = ["MEASURES", "evaluate_run", "ring_of", "ring_scores", "scene_fronts"]

ASSET, RUN, METRICS = "asset.ply", "run.json", "metrics.json"
MEASURES = (
    *("prompt_right", "kind_right", "colour_right", "pattern_right", "view_right"),
    "clip_score",
)


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
    folder_of_judge = judge or weights_folder() / "judge-64"
    with disk_errors(folder / ASSET):
        asset, card = (folder / ASSET).read_bytes(), (folder_of_judge / "card.json").read_bytes()
    facts = {
        "prompt": prompt,
        "asset_sha256": sha256_of(asset),
        "judge": folder_of_judge.name,
        "judge_sha256": sha256_of(card),
        "views": views,
        "elevation_deg": float(elevation_deg),
        "size": size,
    }
    if (known := _known(folder / METRICS, facts)) is not None:
        return known
    model, scene = Judge.load(folder_of_judge), read_ply(folder / ASSET)
    model.wording.check_words(prompt, "The judge")
    described = _description(prompt)
    scores = ring_scores(model, scene, prompt, ring_of(views, elevation_deg, size))
    fronts = None if described is None else scene_fronts(model, scene, described, size)
    result = {
        **facts,
        **scores,
        "janus": None if fronts is None else float(is_janus(fronts)),
        "false_fronts": fronts,
    }
    write_json(folder / METRICS, result)
    return result


def ring_of(views: int = 8, elevation_deg: float = 15.0, size: int = 64) -> Views:
    """The judge's cameras: half a step off the front, as none should stand between two words."""
    return Views.ring(views, elevation_deg=elevation_deg, size=size, start_deg=180 / views)


def ring_scores(judge: Judge, scene: Scene, prompt: str, ring: Views) -> dict[str, Any]:
    """What the judge says of a scene's pictures.

    Returns:
        The mean of each of ``MEASURES``, None where it has no meaning; ``halo``, the mean coverage
        at the rim of the pictures, which no object of the world reaches; ``background``; ``note``,
        which says what has no meaning and why; ``by_view``, each measure's values.
    """
    described = _description(prompt)
    behind = clear_background(described.colour_words if described else ())
    rendered = _rendered(scene, ring, behind)
    measures, note = _measure(judge, rendered.colour, prompt, ring)
    alpha = rendered.alpha.reshape(len(ring), ring.height, ring.width)
    rim = torch.cat([alpha[:, :2], alpha[:, -2:], alpha[..., :2].mT, alpha[..., -2:].mT], dim=1)
    return {
        "background": list(behind),
        "note": note,
        **{name: _mean(values) for name, values in measures.items()},
        "halo": rim.mean().item(),
        "by_view": measures,
    }


def _known(path: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """What was found before about the same asset, by the same judge, in the same setting."""
    if not path.is_file():
        return None
    try:
        before = read_json(path)
    except CheckpointError:
        return None
    return before if all(before.get(name) == value for name, value in facts.items()) else None


@torch.no_grad()
def _rendered(scene: Scene, views: Views, background: Rgb) -> Render:
    rendered = scene.render(views, torch.tensor(background).expand(len(views), 3))
    return replace(rendered, colour=finite("render", rendered.colour).clamp(0, 1))


def scene_fronts(
    judge: Judge, scene: Scene, description: Description, size: int = 64
) -> dict[str, float] | None:
    """The shares of ``false_fronts`` for a scene of ``description``.

    None for what has no front, and for two objects, of which one may hide the other.
    """
    if not KINDS[description.kind].has_front or description.other is not None:
        return None
    ring = janus_ring(size)
    pictures = _rendered(scene, ring, clear_background(description.colour_words)).colour
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
