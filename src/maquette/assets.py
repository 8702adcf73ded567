"""The files that a run leaves for people: the asset, a picture of it, and a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maquette.errors import InputError
from maquette.records import Views
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians

__all__ = ["ASSET", "PREVIEW", "TURNTABLE", "write_asset", "write_preview", "write_turntable"]

ASSET, PREVIEW, TURNTABLE = "asset.ply", "preview.png", "turntable.mp4"


def write_asset(path: Path, scene: Scene) -> int:
    """Write ``scene`` as PLY and return the number of Gaussians written.

    Raises:
        InputError: it is not made of Gaussians.
        DiskError: the file cannot be written.
    """
    from maquette.export.ply import write_ply

    if not isinstance(scene, Gaussians):
        raise InputError(f"A scene of the type {type(scene).__name__} cannot be written as PLY")
    return write_ply(path, scene)


def write_preview(path: Path, scene: Scene, *, views: int = 4, size: int = 192) -> None:
    """Write a PNG strip of ``scene`` from ``views`` sides, its front first.

    Raises:
        DiskError: the file cannot be written.
    """
    from maquette.export.sheet import contact_sheet, write_png
    from maquette.export.turntable import turntable_frames

    ring = Views.ring(views, size=size).to(next(iter(scene.parameters().values())).device)
    pictures = np.stack(list(turntable_frames(scene, ring)))
    write_png(path, contact_sheet(pictures, columns=min(views, 8)))


def write_turntable(path: Path, scene: Scene, *, frames: int = 60, size: int = 256) -> None:
    """Write a film of a full turn, MP4 or GIF by the path's ending.

    Raises:
        InputError: another ending, or no encoder here.
        DiskError: the file cannot be written.
    """
    from maquette.export import turntable

    turntable.write_turntable(path, scene, frames=frames, size=size)
