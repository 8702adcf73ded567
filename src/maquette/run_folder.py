"""What lies in a run's folder, and how it is read back.

``run.json`` tells what was asked for and ``recipe.json`` how; ``checkpoints`` hold the states, and
``result.json``, which is written last, says that the asset beside it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from maquette import lookup, serial, store
from maquette.assets import ASSET
from maquette.checkpoints import newest_checkpoint
from maquette.errors import CheckpointError, InputError
from maquette.recipe import Recipe
from maquette.run import restore_scene
from maquette.scenes.base import Scene
from maquette.scenes.particles import each

__all__ = [
    "CHECKPOINTS",
    "RECIPE",
    "RESULT",
    "RUN",
    "Kept",
    "is_finished",
    "load",
    "newest_scene",
    "own_recipe",
    "run_file",
]

RECIPE, RUN, RESULT, CHECKPOINTS = "recipe.json", "run.json", "result.json", "checkpoints"


@dataclass(frozen=True)
class Kept:
    """What a checkpoint says of a run.

    Attributes:
        scene: with all its particles.
        step: steps done.
        evaluations: of the prior's network.
    """

    scene: Scene
    step: int
    evaluations: int


def load(path: Path | str, recipe: Recipe | str | None = None) -> Scene:
    """The scene of a run's newest intact checkpoint, of particles the first, or of a PLY file.

    Raises:
        CheckpointError: the folder is no run, or none of its checkpoints is intact.
        InputError: the file is no PLY of Gaussians.
    """
    path = Path(path)
    if path.suffix == ".ply":
        from maquette.export.ply import read_ply

        return read_ply(path)
    run_file(path)
    return each(newest_scene(path, own_recipe(path, recipe)).scene)[0]


def newest_scene(folder: Path, recipe: Recipe) -> Kept:
    """What the newest intact checkpoint of the run in ``folder`` holds.

    Raises:
        CheckpointError: none is intact.
    """

    def read(manifest: dict, files: dict[str, bytes]) -> Kept:
        scene = restore_scene(manifest, files, recipe, torch.device("cpu"))
        return Kept(scene, manifest["step"], manifest["evaluations"])

    return newest_checkpoint(folder / CHECKPOINTS, read)[1]


def is_finished(folder: Path) -> bool:
    """Whether the run's result is there, and its asset is the one that the result tells of."""
    try:
        result = store.read_json(folder / RESULT)
        return store.sha256_of((folder / ASSET).read_bytes()) == result["asset_sha256"]
    except (CheckpointError, OSError, KeyError):
        return False


def run_file(folder: Path) -> Path:
    """The file that tells what a run is about; raises CheckpointError where there is none."""
    if not (folder / RUN).is_file():
        raise CheckpointError(
            f"{folder} is no run: it has no {RUN}", "Give a folder that maquette generate made"
        )
    return folder / RUN


def own_recipe(folder: Path, given: Recipe | str | None) -> Recipe:
    """The recipe that a run was started with; ``given`` lends it classes from outside.

    Raises:
        InputError: ``given`` is another recipe.
        CheckpointError: the file is missing or damaged.
    """
    data = store.read_json(folder / RECIPE).get("recipe")
    like = lookup.find_recipe(given) if isinstance(given, str) else given
    recipe = serial.recipe_from(data, like)
    if like is not None and like.name != recipe.name:
        raise InputError(
            f"{folder} was started with the recipe {recipe.name!r}, not {like.name!r}",
            "Leave --recipe away, or give the very file that it was started with",
        )
    return recipe
