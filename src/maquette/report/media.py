"""Pictures and films as text inside a page: a run's own where they are there, else drawn anew.

What is taken over must look like what its name says, and be small; a page of ten assets shall stay
a few megabytes. Nothing is written into a run's folder.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.export.backdrop import backdrop
from maquette.export.sheet import contact_sheet, write_png
from maquette.export.turntable import turntable_frames, write_turntable
from maquette.records import Views
from maquette.scenes.base import Scene
from maquette.store import disk_errors

__all__ = ["film", "picture", "sheet"]

FILMS = {"turntable.mp4": (b"ftyp", "video/mp4"), "turntable.gif": (b"GIF8", "image/gif")}
"""Names in a run's folder, the first that is there counts; how each begins, and its type."""
LARGEST_FILM_BYTES = 2 << 20
LARGEST_PICTURE_BYTES = 3 << 19
WIDEST_PICTURE = 1600
"""Larger pictures become JPEG of at most this many pixels across."""
FRAMES, FRAME_SIZE, FPS = 48, 192, 24
SIDES, SIDE_SIZE = 8, 144


def film(folder: Path, scene: Scene) -> dict[str, Any]:
    """The turntable of a run as ``type`` and base64 ``data``; without one in ``folder`` it is made.

    Raises:
        DiskError: a file cannot be read, or the temporary folder is full.
    """
    for name, (start, kind) in FILMS.items():
        path = folder / name
        with disk_errors(path):
            small = path.is_file() and path.stat().st_size <= LARGEST_FILM_BYTES
            data = path.read_bytes() if small else b""
        if start in data[:8]:
            return _inline(kind, data)
    options: dict[str, Any] = {"frames": FRAMES, "size": FRAME_SIZE, "fps": FPS}
    options["background"] = backdrop(scene)
    try:
        data = _made("film.mp4", lambda path: write_turntable(path, scene, **options))
        return _inline("video/mp4", data)
    except InputError:  # No encoder on this machine.
        data = _made("film.gif", lambda path: write_turntable(path, scene, **options))
        return _inline("image/gif", data)


def sheet(scene: Scene) -> dict[str, Any]:
    """A contact sheet of eight sides in a row, the front first, as ``film``."""
    ring = Views.ring(SIDES, size=SIDE_SIZE)
    pictures = contact_sheet(np.stack(list(turntable_frames(scene, ring, backdrop(scene)))), SIDES)
    return _inline("image/png", _made("sheet.png", lambda path: write_png(path, pictures)))


def picture(path: Path) -> dict[str, Any]:
    """A PNG file as ``film``; a large one becomes a smaller JPEG.

    Raises:
        InputError: it is no PNG file, or a broken one.
        DiskError: it cannot be read.
    """
    from PIL import Image

    with disk_errors(path):
        data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            if len(data) <= LARGEST_PICTURE_BYTES:
                return _inline("image/png", data)
            image.thumbnail((WIDEST_PICTURE, 4 * WIDEST_PICTURE))
            smaller = io.BytesIO()
            image.convert("RGB").save(smaller, "JPEG", quality=88)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise InputError(f"{path} is no intact PNG file", "Make it anew") from fault
    return _inline("image/jpeg", smaller.getvalue())


def _made(name: str, write: Callable[[Path], object]) -> bytes:
    """What ``write`` puts into a file that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def _inline(kind: str, data: bytes) -> dict[str, Any]:
    return {"type": kind, "data": base64.b64encode(data).decode("ascii")}
