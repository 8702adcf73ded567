"""The files that a run leaves for people: the asset, a picture of it, and a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maquette.errors import InputError
from maquette.export.backdrop import backdrop
from maquette.records import Rgb, Views
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians
from maquette.scenes.particles import each

__all__ = ["ASSET", "PREVIEW", "TURNTABLE", "write_asset", "write_preview", "write_turntable"]

ASSET, PREVIEW, TURNTABLE = "asset.ply", "preview.png", "turntable.mp4"


def write_asset(path: Path, scene: Scene) -> int:
    """Write ``scene`` as PLY and return the number of Gaussians written.

    Of particles, the first is ``asset.ply`` and the others are ``asset-1.ply``, ``asset-2.ply``
    and so on beside it.

    Raises:
        InputError: it is not made of Gaussians.
        DiskError: the file cannot be written.
    """
    from maquette.export.ply import write_ply

    written = 0
    # The last one first: where there is an asset, all the others are there too.
    for number, particle in reversed(list(enumerate(each(scene)))):
        if not isinstance(particle, Gaussians):
            kind = type(particle).__name__
            raise InputError(f"A scene of the type {kind} cannot be written as PLY")
        own = path.with_stem(f"{path.stem}-{number}") if number else path
        written += write_ply(own, particle)
    return written


def write_preview(
    path: Path, scene: Scene, *, views: int = 4, size: int = 192, behind: Rgb | None = None
) -> None:
    """Write a PNG strip of ``scene`` from ``views`` sides, its front first.

    Of particles it shows the first, and so does a film.

    Args:
        path: the file.
        scene: what to show.
        views: how many sides.
        size: of each picture in pixels.
        behind: the sRGB behind it; None is one on which all of it shows.

    Raises:
        DiskError: the file cannot be written.
    """
    from maquette.export.sheet import contact_sheet, write_png
    from maquette.export.turntable import turntable_frames

    ring = Views.ring(views, size=size).to(next(iter(scene.parameters().values())).device)
    pictures = np.stack(list(turntable_frames(scene, ring, behind or backdrop(scene))))
    write_png(path, contact_sheet(pictures, columns=min(views, 8)))


def write_turntable(
    path: Path, scene: Scene, *, frames: int = 60, size: int = 256, behind: Rgb | None = None
) -> None:
    """Write a film of a full turn, MP4 or GIF by the path's ending, before ``behind``.

    Raises:
        InputError: another ending, or no encoder here.
        DiskError: the file cannot be written.
    """
    from maquette.export import turntable

    colour = behind or backdrop(scene)
    turntable.write_turntable(path, scene, frames=frames, size=size, background=colour)
