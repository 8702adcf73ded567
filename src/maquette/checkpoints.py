"""Checkpoints in a folder: listed, read from the newest that is intact, and retired.

A checkpoint is a sealed folder ``step-000100`` (see :mod:`maquette.store`) of safetensors files.
Its manifest holds what a run is besides tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from maquette import store
from maquette.errors import CheckpointError

__all__ = [
    "Announce",
    "checkpoints_in",
    "facts_of",
    "newest_checkpoint",
    "pack",
    "quiet",
    "retire",
    "unpack",
]

KEPT = 2
"""Checkpoints that stay; the older one is there for the day the newer one is damaged."""

Announce = Callable[[str], None]
T = TypeVar("T")


def quiet(sentence: str) -> None:
    """Announces nothing."""


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, newest first, intact or not."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if re.fullmatch(r"step-\d{6,}", p.name)]
    return sorted(found, key=_step_of, reverse=True)


def newest_checkpoint(
    folder: Path,
    read: Callable[[dict[str, Any], dict[str, bytes]], T],
    announce: Announce = quiet,
) -> tuple[Path, T]:
    """The newest checkpoint that ``read`` accepts, and what it made of it.

    Raises:
        CheckpointError: there is none, or none is intact; with the newest one's fault.
    """
    faults: list[str] = []
    for path in checkpoints_in(folder):
        try:
            if path.is_symlink():
                raise CheckpointError(f"{path} is a link")
            manifest, files = store.read_sealed(path)
            if manifest.get("step") != _step_of(path):
                raise CheckpointError(f"{path} holds step {manifest.get('step')}")
            return path, read(manifest, files)
        except CheckpointError as fault:
            announce(f"Checkpoint {path.name} is passed over: {fault.what}")
            faults.append(fault.what)
    if not faults:
        raise CheckpointError(f"There is no checkpoint in {folder}")
    raise CheckpointError(
        f"None of the {len(faults)} checkpoints in {folder} is intact; the newest: {faults[0]}",
        "Delete the run's folder to start it anew",
    )


def unpack(files: Mapping[str, bytes], name: str) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint.

    Raises:
        CheckpointError: it is missing or no safetensors file.
    """
    try:
        return safetensors.torch.load(files[f"{name}.safetensors"])
    except (KeyError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint has no readable {name}.safetensors") from error


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """One safetensors file."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})


def facts_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest's facts, with their types checked."""
    wanted = {
        **{"step": int, "skipped": int, "seed": int, "evaluations": int, "prompt": str},
        **{"prior": dict, "recipe": dict},
    }
    for name, kind in wanted.items():
        if not isinstance(manifest.get(name), kind):
            raise CheckpointError(f"The checkpoint's manifest has no proper {name!r}")
    return manifest


def retire(newest: Path) -> None:
    """Delete what is older than the last checkpoints that are intact; ``newest`` is verified."""
    intact = 1
    for path in checkpoints_in(newest.parent):
        if _step_of(path) >= _step_of(newest):
            continue
        if intact < KEPT and _is_intact(path):
            intact += 1
            continue
        with store.disk_errors(path):
            path.unlink() if path.is_symlink() or path.is_file() else store.discard(path)


def _is_intact(path: Path) -> bool:
    try:
        store.read_sealed(path)
    except CheckpointError:
        return False
    return not path.is_symlink()


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))
