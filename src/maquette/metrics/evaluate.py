"""Measure a finished run: does its asset look like its prompt, from every side?

The asset itself is judged, read back from its file and rendered on a background on which no named
colour vanishes, not the run's memory of it. Accuracies need a prompt of the toy world, because only
there the judge knows what else the picture could show; a prompt of known words that describes no
such object gets a CLIP score only. Where the prompt tells all colours, the true object is known,
and the asset is laid beside it. What the run cost stands with what it came to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.export.ply import read_ply
from maquette.metrics.clip import clip_score
from maquette.metrics.cost import run_cost
from maquette.metrics.janus import false_fronts, is_janus, janus_ring
from maquette.metrics.pictures import saturation, sharpness
from maquette.metrics.truth import compare_with_truth
from maquette.priors.embedded import weights_folder
from maquette.records import Render, Rgb, Views
from maquette.scenes.base import Scene
from maquette.store import disk_errors, read_json, sha256_of, write_json
from maquette.toybox.captions import Description, parse
from maquette.toybox.colours import clear_background
from maquette.toybox.judge import Judge
from maquette.toybox.kinds import KINDS

__all__ = [
    "ASSET",
    "LOOKS",
    "MEASURES",
    "TRUTH",
    "check_run",
    "described",
    "evaluate_run",
    "judge_digest",
    "judged_as_before",
    "mean_of_known",
    "packaged_judge",
    "plain_numbers",
    "ring_of",
    "ring_scores",
    "scene_fronts",
]

ASSET, RUN, METRICS = "asset.ply", "run.json", "metrics.json"
MEASURES = (
    *("prompt_right", "kind_right", "colour_right", "pattern_right", "view_right"),
    "clip_score",
)
LOOKS = ("saturation", "sharpness")
TRUTH = ("chamfer", "f_score", "psnr")
EDITION = 3
"""Raised where more or otherwise is measured than before: what was kept is then measured anew."""


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
        None for what has no front; ``chamfer``, ``f_score`` and ``psnr`` beside the true object
        (``metrics/truth.py``), None where a colour is left open; ``saturation`` and ``sharpness``;
        ``gaussians`` and what the run cost (``metrics/cost.py``); and a note that says which have
        none and why, empty where all have one.

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
    prompt = check_run(folder)
    folder_of_judge = judge or packaged_judge()
    with disk_errors(folder / ASSET):
        asset = (folder / ASSET).read_bytes()
    facts = {
        "edition": EDITION,
        "prompt": prompt,
        "asset_sha256": sha256_of(asset),
        "judge": folder_of_judge.name,
        "judge_sha256": judge_digest(folder_of_judge),
        "views": views,
        "elevation_deg": float(elevation_deg),
        "size": size,
        **run_cost(folder),
    }
    if (known := judged_as_before(folder / METRICS, facts)) is not None:
        return known
    model, scene = _judge(folder_of_judge, facts["judge_sha256"]), read_ply(folder / ASSET)
    model.wording.check_words(prompt, "The judge")
    scores = ring_scores(model, scene, prompt, ring_of(views, elevation_deg, size))
    description = described(prompt)
    fronts = None if description is None else scene_fronts(model, scene, description, size)
    truth, reason = _truth(scene, description)
    result = {
        **facts,
        **scores,
        "gaussians": scene.count,
        "janus": None if fronts is None else float(is_janus(fronts)),
        "false_fronts": fronts,
        **truth,
        "note": " ".join(filter(None, (scores["note"], reason))),
    }
    write_json(folder / METRICS, result)
    return result


def check_run(folder: Path) -> str:
    """The prompt of a run that can be measured.

    Raises:
        CheckpointError: the folder is no run.
        InputError: it has no asset.
    """
    prompt = _prompt(folder)
    if not (folder / ASSET).is_file():
        raise InputError(f"{folder} has no {ASSET}", "Finish the run with maquette resume")
    return prompt


def packaged_judge() -> Path:
    """The folder of the judge that ships with the package."""
    return weights_folder() / "judge-64"


def judge_digest(folder: Path) -> str:
    """The sha256 of a judge's card, which names those of all its files.

    Raises:
        PriorError: there is none.
    """
    try:
        return sha256_of((folder / "card.json").read_bytes())
    except OSError as fault:
        raise PriorError(f"{folder} holds no judge: {fault.strerror}") from fault


@lru_cache(maxsize=1)
def _judge(folder: Path, digest: str) -> Judge:  # noqa: ARG001
    """One judge for many runs; ``digest`` of its card tells it from another in the same place."""
    return Judge.load(folder)


def _truth(scene: Scene, description: Description | None) -> tuple[dict[str, Any], str]:
    """The measures of ``TRUTH``, and why there are none."""
    nothing: dict[str, Any] = dict.fromkeys(TRUTH)
    if description is None:
        return nothing, ""  # The note has said already that this is no object of the toy world.
    try:
        found = compare_with_truth(scene, description)
    except InputError as fault:
        return nothing, str(fault)
    return {name: getattr(found, name) for name in TRUTH}, ""


def ring_of(views: int = 8, elevation_deg: float = 15.0, size: int = 64) -> Views:
    """The judge's cameras: half a step off the front, as none should stand between two words."""
    return Views.ring(views, elevation_deg=elevation_deg, size=size, start_deg=180 / views)


def ring_scores(judge: Judge, scene: Scene, prompt: str, ring: Views) -> dict[str, Any]:
    """What the judge says of a scene's pictures.

    Returns:
        The mean of each of ``MEASURES``, None where it has no meaning; ``halo``, the mean coverage
        at the rim of the pictures, which no object of the world reaches; those of ``LOOKS`` of
        what is covered; ``background``; ``note``, which says what has no meaning and why;
        ``by_view``, each measure's values.
    """
    description = described(prompt)
    behind = clear_background(description.colour_words if description else ())
    rendered = _rendered(scene, ring, behind)
    measures, note = _measure(judge, rendered.colour, prompt, ring)
    alpha = rendered.alpha.reshape(len(ring), ring.height, ring.width)
    rim = torch.cat([alpha[:, :2], alpha[:, -2:], alpha[..., :2].mT, alpha[..., -2:].mT], dim=1)
    return {
        "background": list(behind),
        "note": note,
        **{name: mean_of_known(values) for name, values in measures.items()},
        **_looks(rendered),
        "halo": rim.mean().item(),
        "by_view": measures,
    }


def _looks(rendered: Render) -> dict[str, float | None]:
    """Means over the views of what the object is like by itself."""
    functions = {"saturation": saturation, "sharpness": sharpness}
    return {
        name: mean_of_known(plain_numbers(function(rendered.colour, rendered.alpha)))
        for name, function in functions.items()
    }


def judged_as_before(path: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """What ``path`` holds, where it was found about the very same ``facts``; else None.

    Args:
        path: a file that ``write_json`` wrote.
        facts: everything that decides what would be found: asset, judge and setting.
    """
    if not path.is_file():
        return None
    try:
        before = read_json(path)
    except CheckpointError:
        return None
    del before["schema"]
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
    description = described(prompt)
    if description is None:
        score = plain_numbers(clip_score(judge.clip, pictures, judge.wording.plain(prompt)))
        note = "The prompt describes no single object of the toy world: CLIP score only."
        return {**dict.fromkeys(MEASURES, nothing), "clip_score": score}, note
    verdict = judge.verdict(pictures, description, views)
    measures = {name: plain_numbers(getattr(verdict, name)) for name in MEASURES}
    empty = [name for name, values in measures.items() if values[0] is None]
    reasons = {
        "colour_right": "The prompt names no colour.",
        "view_right": f"A {description.kind} has no front that differs from its back.",
    }
    return measures, " ".join(reasons[name] for name in empty if name in reasons)


def described(prompt: str) -> Description | None:
    """What ``prompt`` says of the toy world; None where it describes no object of it."""
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


def plain_numbers(values: Tensor) -> list[float | None]:
    """Plain numbers, None for what is not a number: JSON knows no NaN."""
    return [value if math.isfinite(value) else None for value in values.double().tolist()]


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there, None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
