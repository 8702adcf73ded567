"""Measure runs as a paper does: its cameras, its background, its networks, its table.

Each asset is read from its file and rendered once for all measures that share cameras. What was
found is written into the run's folder before the next run is looked at, with the hashes of all that
decides it: asked again, only what has changed is measured, and no network is loaded for the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.export.ply import read_ply
from maquette.metrics.clip import clip_cosine, clip_score, deviation_over_prompts
from maquette.metrics.evaluate import (
    ASSET,
    check_run,
    described,
    judged_as_before,
    mean_of_known,
    plain_numbers,
)
from maquette.metrics.janus import false_fronts, is_janus
from maquette.metrics.lpips import adjacent_lpips
from maquette.metrics.networks import Networks
from maquette.metrics.pictures import saturation, sharpness
from maquette.metrics.preference import image_reward, pick_score
from maquette.metrics.protocols import Cameras, Measure, Protocol
from maquette.metrics.retrieval import r_precision
from maquette.metrics.shading import textureless
from maquette.metrics.vqa import vqa_score
from maquette.records import Render
from maquette.scenes.base import Scene
from maquette.store import canonical, disk_errors, sha256_of, write_json
from maquette.toybox.kinds import KINDS

__all__ = ["Column", "Measured", "columns_of", "run_protocol"]

HEADS = {
    "clip_score": "CLIP score",
    "clip_cosine": "CLIP cosine",
    "deviation_over_prompts": "deviation of the CLIP score over prompts",
    "r_precision": "R-Precision",
    "adjacent_lpips": "A-LPIPS",
    "vqa_score": "VQAScore",
    "image_reward": "ImageReward",
    "pick_score": "PickScore",
    "saturation": "saturation",
    "sharpness": "sharpness",
    "janus": "Janus",
}
"""What each metric is called above its column."""

PART = 8
"""Pictures that are rendered, or shown to a network, at a time; it changes the memory alone."""


@dataclass(frozen=True)
class Column:
    """A measure, and who takes it here."""

    measure: Measure
    """As the protocol has it."""

    head: str
    """The metric and who measures: "CLIP score, embedded judge instead of OpenAI ViT-L/14"."""


@dataclass(frozen=True)
class Measured:
    """What a protocol says of some runs."""

    protocol: Protocol
    """How was measured."""

    columns: tuple[Column, ...]
    """Those of the table."""

    runs: tuple[dict[str, Any], ...]
    """What was written into each run's folder, with the ``folder``'s name."""

    over_runs: dict[str, float | None]
    """For each head the number over all runs: the mean, or what is a number over prompts only."""

    left_out: str
    """A sentence on measures that nobody here can take; empty where there are none."""


def columns_of(protocol: Protocol, networks: Networks) -> tuple[tuple[Column, ...], str]:
    """The columns that ``networks`` can fill, and a sentence on the others.

    Measures that would come to the same number, as where one network stands in for two, share a
    column.
    """
    shared: dict[Any, list[Measure]] = {}
    missing = []
    for measure in protocol.measures:
        by = networks.by(measure.model) if measure.model else ""
        if by is None:
            missing.append(f"{HEADS[measure.metric]} by {measure.model}")
            continue
        stand_in = by.partition(" instead of ")[0]
        key = (measure.metric, measure.cameras, measure.shading, stand_in)
        shared.setdefault(key, []).append(measure)
    columns = tuple(Column(alike[0], _head(alike, networks)) for alike in shared.values())
    said = f"Left out, as nobody here can measure it: {', '.join(missing)}." if missing else ""
    return columns, said


def _head(alike: Sequence[Measure], networks: Networks) -> str:
    first, others = alike[0], [measure.model for measure in alike[1:]]
    by = networks.by(first.model) if first.model else ""
    shape = "of textureless renders" if first.shading == "textureless" else ""
    who = " and ".join([by or "", *others])
    return ", ".join(filter(None, (HEADS[first.metric], shape, who)))


def run_protocol(
    folders: Sequence[Path],
    protocol: Protocol,
    networks: Networks,
    captions: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Measure runs by ``protocol`` and write ``metrics-NAME.json`` into the folder of each.

    Args:
        folders: of finished runs.
        protocol: how.
        networks: who measures.
        captions: among which R-Precision looks for the true prompt; by default those that
            ``networks`` has.
        say: told in a sentence what is being worked on.

    Raises:
        InputError: a folder has no asset or a broken one, a prompt has words that the embedded
            judge does not know, or captions are asked for and there are none.
        CheckpointError: a folder is no run.
        PriorError: a network is missing, with the command that fetches it; nothing was written.
        DiskError: a file cannot be written. Whatever stops it, what was written is kept.
    """
    columns, left_out = columns_of(protocol, networks)
    if not folders or not columns:
        raise InputError(left_out or "No run is given", "Name the folder of a run")
    prompts = [check_run(folder) for folder in folders]
    _check_captions(columns, prompts, networks, captions)
    models = [column.measure.model for column in columns if column.measure.model]
    setting = {
        "protocol": protocol.name,
        "protocol_sha256": sha256_of(canonical(dataclasses.asdict(protocol))),
        "captions_sha256": None if captions is None else sha256_of(canonical(list(captions))),
        "heads": [column.head for column in columns],
        "models": networks.digests(models),
    }
    runs = []
    for folder, prompt in zip(folders, prompts, strict=True):
        say(f"Measuring {folder} as {protocol.name} does")
        found = _one(folder, prompt, protocol, columns, networks, captions, setting, left_out)
        runs.append({"folder": folder.resolve().name, **found})
    over = {column.head: _over(runs, i, column) for i, column in enumerate(columns)}
    return Measured(protocol, columns, tuple(runs), over, left_out)


def _check_captions(
    columns: Sequence[Column],
    prompts: Sequence[str],
    networks: Networks,
    captions: Sequence[str] | None,
) -> None:
    retrieved = any(column.measure.metric == "r_precision" for column in columns)
    if captions is not None and not retrieved:
        raise InputError("This protocol looks for no prompt in a list", "Leave --captions away")
    if not retrieved or captions is not None:
        return
    for prompt in prompts:
        if networks.captions(prompt) is None:
            raise InputError(
                f"R-Precision looks for {prompt!r} in a list of prompts, and there is none",
                "Give --captions FILE with one prompt on each line; the papers take the 153 of "
                "dreamfields/config/coco_queries_val.py in google-research/google-research",
            )


def _one(
    folder: Path,
    prompt: str,
    protocol: Protocol,
    columns: Sequence[Column],
    networks: Networks,
    captions: Sequence[str] | None,
    setting: dict[str, Any],
    left_out: str,
) -> dict[str, Any]:
    """What the folder holds of this very setting, or what is found and written now."""
    with disk_errors(folder / ASSET):
        digest = sha256_of((folder / ASSET).read_bytes())
    facts = {"prompt": prompt, "asset_sha256": digest, **setting}
    path = folder / f"metrics-{protocol.name}.json"
    if (known := judged_as_before(path, facts)) is not None:
        return known
    asset = _Asset(read_ply(folder / ASSET), prompt, networks, captions)
    rows = []
    for column in columns:
        value, by_view, note = asset.measured(column.measure)
        how = json.loads(canonical(dataclasses.asdict(column.measure)))  # As it will be read.
        rows.append({"head": column.head, **how, "value": value, "by_view": by_view, "note": note})
    found = {
        **facts,
        **{"paper": protocol.paper, "chosen": protocol.chosen, "left_out": left_out},
        "columns": rows,
    }
    write_json(path, found)
    return found


def _over(runs: Sequence[dict[str, Any]], place: int, column: Column) -> float | None:
    """One column's number over all runs."""
    rows = [run["columns"][place] for run in runs]
    if column.measure.metric != "deviation_over_prompts":
        return mean_of_known([row["value"] for row in rows])
    prompts = list(dict.fromkeys(run["prompt"] for run in runs))
    if len(prompts) < 2:
        return None
    scores = torch.tensor([row["by_view"] for row in rows], dtype=torch.float64)
    # Runs of one prompt, as with several seeds, are one row: its mean.
    each = [[run["prompt"] == prompt for run in runs] for prompt in prompts]
    return deviation_over_prompts(torch.stack([scores[own].mean(0) for own in each]))


Found = tuple[float | None, list[float | None], str]
"""A number, those of the views where it is their mean, and why there is none."""


class _Asset:
    """One asset before the cameras of a protocol; pictures and scores that are shared stay."""

    def __init__(
        self, scene: Scene, prompt: str, networks: Networks, captions: Sequence[str] | None
    ) -> None:
        self.scene, self.prompt, self.networks = scene, prompt, networks
        self.captions = captions
        self._renders: dict[tuple[Cameras, str], Render] = {}
        self._scores: dict[Measure, Tensor] = {}

    def measured(self, measure: Measure) -> Found:
        """One measure of this asset."""
        if measure.metric == "janus":
            return self._janus(measure)
        if measure.metric == "adjacent_lpips":
            pictures = self._rendered(measure.cameras, measure.shading).colour
            return adjacent_lpips(self.networks.get(measure.model), pictures), [], ""
        if measure.metric == "deviation_over_prompts":
            plain = dataclasses.replace(measure, metric="clip_score")
            return (
                None,
                plain_numbers(self._scored(plain)),
                "The deviation is a number over several prompts.",
            )
        by_view = plain_numbers(self._scored(measure))
        return mean_of_known(by_view), by_view, ""

    def _scored(self, measure: Measure) -> Tensor:
        """``[B]``, a number of each view."""
        if measure not in self._scores:
            render = self._rendered(measure.cameras, measure.shading)
            functions = {"saturation": saturation, "sharpness": sharpness}
            if measure.metric in functions:
                self._scores[measure] = functions[measure.metric](render.colour, render.alpha)
            else:
                parts = [self._asked(measure, part) for part in render.colour.split(PART)]
                self._scores[measure] = torch.cat(parts)
        return self._scores[measure]

    def _asked(self, measure: Measure, pictures: Tensor) -> Tensor:
        """What a network says of some pictures."""
        network, prompt = self.networks.get(measure.model), self.networks.wording(self.prompt)
        if measure.metric == "r_precision":
            given = self.captions or self.networks.captions(self.prompt) or ()
            read = [self.networks.wording(caption) for caption in given]
            return r_precision(network, pictures, prompt, read).right.double()
        functions = {
            **{"clip_score": clip_score, "clip_cosine": clip_cosine, "vqa_score": vqa_score},
            **{"image_reward": image_reward, "pick_score": pick_score},
        }
        return functions[measure.metric](network, pictures, prompt)

    def _janus(self, measure: Measure) -> Found:
        """1 where a second front is seen, 0 where none is."""
        description = described(self.prompt)
        if description is None:
            return None, [], "The view classifier knows objects of the toy world only."
        if not KINDS[description.kind].has_front or description.other is not None:
            return None, [], "Only a single object with a front can show a second one."
        pictures = self._rendered(measure.cameras, measure.shading).colour
        judge = self.networks.judge()
        shares = false_fronts(judge.view_probabilities, pictures, measure.cameras.views())
        return float(is_janus(shares)), [], ""

    @torch.no_grad()
    def _rendered(self, cameras: Cameras, shading: str) -> Render:
        """All pictures of some cameras; ``colour`` is what the shading shows."""
        if (cameras, shading) not in self._renders:
            views, lit = cameras.views(), shading == "textureless"
            # Room for all of them at once: a hundred large pictures are not there twice.
            colour = torch.empty(len(views), cameras.size, cameras.size, 3)
            alpha = torch.empty(len(views), cameras.size, cameras.size, 1)
            for start in range(0, len(views), PART):
                rows = slice(start, start + PART)
                behind = torch.tensor(cameras.background).expand(len(views[rows]), 3)
                render = self.scene.render(views[rows], behind, geometry=lit)
                shown = textureless(render, views[rows], behind) if lit else render.colour
                colour[rows] = finite("render", shown).clamp(0, 1)
                alpha[rows] = render.alpha
            self._renders[cameras, shading] = Render(colour, alpha)
        return self._renders[cameras, shading]
