"""A scene seen while walking round it, as MP4 or GIF.

Frames are rendered a few at a time and handed on at once, so that memory does not grow with the
length of the film. The first frame is not repeated at the end: players loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from maquette.camera import FOV_Y_DEG
from maquette.errors import DiskError, InputError
from maquette.export.sheet import to_uint8
from maquette.records import Rgb, Views
from maquette.scenes.base import Scene
from maquette.store import whole_file

__all__ = ["turntable_frames", "write_gif", "write_mp4", "write_turntable"]

FRAMES_AT_ONCE = 8


@torch.no_grad()
def turntable_frames(
    scene: Scene, views: Views, background: Rgb = (1.0, 1.0, 1.0)
) -> Iterator[np.ndarray]:
    """Pictures uint8 ``[H, W, 3]`` of a scene from each of ``views``, one after the other."""
    for start in range(0, len(views), FRAMES_AT_ONCE):
        part = views[start : start + FRAMES_AT_ONCE]
        colours = torch.tensor(background, device=part.azimuth_deg.device).expand(len(part), 3)
        yield from to_uint8(scene.render(part, colours).colour)


def write_turntable(
    path: Path,
    scene: Scene,
    *,
    frames: int = 60,
    size: int = 256,
    elevation_deg: float = 15.0,
    distance: float = 3.3,
    fov_y_deg: float = FOV_Y_DEG,
    fps: int = 30,
    background: Rgb = (1.0, 1.0, 1.0),
) -> None:
    """Film ``scene`` on a full turn that begins at its front.

    Args:
        path: ends in ``.mp4`` or ``.gif``; written whole or not at all.
        scene: what to film.
        frames: of the whole turn, at least 1.
        size: side of the pictures in pixels.
        elevation_deg: of the camera above the horizon.
        distance: of the camera in world units.
        fov_y_deg: vertical field of view.
        fps: frames per second.
        background: sRGB in [0, 1].

    Raises:
        InputError: for another ending, or for numbers that make no film.
        DiskError: if the file cannot be written.
    """
    writers = {".mp4": write_mp4, ".gif": write_gif}
    writer = writers.get(Path(path).suffix.lower())
    if writer is None:
        raise InputError(f"{path} is neither .mp4 nor .gif", "Choose one of the two endings")
    if frames < 1 or size < 2:
        raise InputError(
            f"{frames} frames of {size} pixels make no film", "Give at least 1 frame of 2 pixels"
        )
    views = Views.ring(
        frames, elevation_deg=elevation_deg, distance=distance, fov_y_deg=fov_y_deg, size=size
    )
    writer(path, turntable_frames(scene, views, background), fps)


def write_mp4(path: Path, frames: Iterable[np.ndarray], fps: int = 30) -> None:
    """Write pictures uint8 ``[H, W, 3]`` of one size as H.264 in the form that every player takes.

    That form has even sides; odd ones get their last row or column once more.

    Raises:
        InputError: for no frames, frames of several sizes, or no encoder on this machine.
        DiskError: if the file cannot be written.
    """
    import imageio_ffmpeg

    first, frames = _peek(frames, fps)
    height, width = (side + side % 2 for side in first.shape[:2])
    with whole_file(Path(path)) as temporary:
        try:
            film = imageio_ffmpeg.write_frames(
                str(temporary),
                (width, height),
                fps=fps,
                codec="libx264",
                pix_fmt_in="rgb24",
                pix_fmt_out="yuv420p",
                macro_block_size=2,
                ffmpeg_log_level="error",
                # One thread and no dates: the same film is the same bytes.
                output_params=["-threads", "1", "-movflags", "+faststart", "-fflags", "+bitexact"],
            )
            film.send(None)
        except RuntimeError as fault:
            raise InputError(
                f"There is no ffmpeg for films on this machine ({fault})", "Write a .gif instead"
            ) from fault
        try:
            for frame in _of_one_size(frames, first.shape):
                padding = [(0, height - first.shape[0]), (0, width - first.shape[1]), (0, 0)]
                film.send(np.pad(frame, padding, mode="edge").tobytes())
        finally:
            film.close()
        if not temporary.is_file() or not temporary.stat().st_size:
            raise DiskError(f"{path} could not be encoded", "Check the free space of the disk")


def write_gif(path: Path, frames: Iterable[np.ndarray], fps: int = 30) -> None:
    """Write pictures uint8 ``[H, W, 3]`` of one size as a GIF that loops, 256 colours a frame.

    GIF counts time in hundredths of a second, and players are slow below two of them.

    Raises:
        InputError: for no frames or frames of several sizes.
        DiskError: if the file cannot be written.
    """
    from PIL import Image

    first, frames = _peek(frames, fps)
    images = (Image.fromarray(frame).quantize(256) for frame in _of_one_size(frames, first.shape))
    duration_ms = 10 * max(2, round(100 / fps))
    with whole_file(Path(path)) as temporary:
        next(images).save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images,
            duration=duration_ms,
            loop=0,
        )


def _peek(frames: Iterable[np.ndarray], fps: int) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The first frame, and all of them, the first included."""
    rest = iter(frames)
    first = next(rest, None)
    if first is None or fps < 1:
        raise InputError(f"No frames, or {fps} of them a second, make no film")
    if first.dtype != np.uint8 or first.ndim != 3 or first.shape[2] != 3 or not first.size:
        raise InputError(
            f"A frame of {first.dtype} {list(first.shape)} is no picture", "Give uint8 [H, W, 3]"
        )
    return first, chain([first], rest)


def _of_one_size(frames: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for frame in frames:
        if frame.shape != shape or frame.dtype != np.uint8:
            raise InputError(f"A frame is {list(frame.shape)} in a film of {list(shape)}")
        yield frame
