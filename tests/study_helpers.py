"""Finished runs made by hand in milliseconds, and what participants of a study would hand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from maquette import store
from maquette.export.ply import write_ply
from maquette.scenes.gaussians import Gaussians
from maquette.study.building import build_study
from maquette.study.plan import Group, Study

SMALL: dict[str, Any] = {"views": 3, "size": 8}
RECIPES = ("quokka-method", "zebra-method", "okapi-method")


def make_run(out: Path, prompt: str, recipe: str, seed: int = 0, **settings: object) -> Path:
    """A finished run whose asset is a few Gaussians, another for every name, prompt and seed."""
    identity = store.canonical([prompt, recipe, seed, settings])
    digest = store.sha256_of(identity)
    folder = out / f"run-{recipe}-{digest[:10]}"
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(int(digest[:8], 16))
    points, colours = torch.rand(2, 12, 3, generator=draw)
    write_ply(folder / "asset.ply", Gaussians.from_points(points - 0.5, colours, opacity=0.8))
    plain = {"name": recipe, "objective": {"part": "objectives.SDS", **settings}}
    store.write_json(folder / "recipe.json", {"recipe": plain})
    about = {"prompt": prompt, "seed": seed, "prior": "shapes"}
    store.write_json(folder / "run.json", about)
    asset = store.sha256_of((folder / "asset.ply").read_bytes())
    store.write_json(folder / "result.json", {"asset_sha256": asset})
    return folder


def make_study(out: Path, prompts: int = 2, **changes: Any) -> tuple[Path, Study]:
    """A small study of all recipes in ``out / "study"``."""
    for prompt in range(prompts):
        for recipe in RECIPES:
            make_run(out / "runs", f"prompt {prompt}", recipe)
    folder = out / "study"
    return folder, build_study([out / "runs"], folder, **{**SMALL, **changes})


def plan(kind: str = "rank", groups: int = 3, assets: int = 3, questions: int = 1) -> Study:
    """A study that has no folder."""

    def name(*parts: object) -> str:
        return store.sha256_of(store.canonical(list(parts)))[:16]

    made = tuple(
        Group(name(g), f"prompt {g}", tuple(sorted(name(g, a) for a in range(assets))))
        for g in range(groups)
    )
    asked = tuple(f"question {q}" for q in range(questions))
    return Study(kind, asked, made, 0, groups, 4, 2)  # pyright: ignore[reportArgumentType]


def handed_in(
    study: Study, participant: str, groups: list[Group] | None = None, time: int = 1, best: int = 0
) -> dict[str, Any]:
    """A participant's file: for every question the assets from the ``best``-th by name on."""
    rows = []
    for group in study.groups_of(participant) if groups is None else groups:
        chosen = [*group.assets[best:], *group.assets[:best]]
        row = {
            "group": group.id,
            "shown": study.shown(participant, group),
            "chosen": chosen[: study.chosen_when_complete(group)],
            "time": time,
        }
        rows += [{**row, "question": number} for number in range(len(study.questions))]
    return {
        "schema": store.SCHEMA,
        "study": study.id,
        "participant": participant,
        "answers": rows,
    }
