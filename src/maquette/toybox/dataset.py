"""Pictures of the world on disk: drawn once, by several processes, read by every training stage.

Pictures lie in blocks, each a raw array beside a JSON of its captions. Blocks are drawn in order
and each depends on its name only, so that an interrupted cache is completed, not begun again. Two
objects are small in a picture and their combinations many, so there are blocks of such pictures
only: drawing new ones teaches more than showing the same ones again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from maquette.processes import follow_parent
from maquette.toybox.captions import VIEWS
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import RELATED, batch

__all__ = ["Dataset", "draw"]

BLOCK = 1024
FIRST_PAIR = 1 << 32
"""Number of the first sample in the blocks of pairs, beyond all others of the same world."""


@dataclass(frozen=True)
class Dataset:
    """Drawn pictures.

    Attributes:
        pictures: ``[N, S, S, 3]`` uint8.
        captions: N captions, some of them empty or without a view word.
        views: ``[N]`` indices into ``VIEWS`` of the true view words.
        has_front: ``[N]`` bool, whether the object's front differs from its back.
    """

    pictures: np.ndarray
    captions: list[str]
    views: np.ndarray
    has_front: np.ndarray

    def __len__(self) -> int:
        return len(self.captions)


def draw(
    folder: Path,
    seed: int,
    count: int,
    size: int,
    processes: int = 1,
    say: Callable[[str], None] = print,
    *,
    pairs: int = 0,
) -> Dataset:
    """Draw pictures of a world, or take those that are there.

    Args:
        folder: where caches lie; this one gets a folder of its own in it.
        seed: of the world.
        count: pictures, rounded up to whole blocks.
        size: side of the pictures in pixels.
        processes: how many draw at the same time.
        say: is told now and then how far it is.
        pairs: pictures more, each of two objects, rounded up to whole blocks.
    """
    names = [f"{block:05d}" for block in range(-(-count // BLOCK))]
    names += [f"two-{block:05d}" for block in range(-(-pairs // BLOCK))]
    folder = folder / f"world-{seed}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not _is_whole(folder, name, size)]
    jobs = [(str(folder), seed, name, size) for name in missing]
    with contextlib.ExitStack() as stack:
        drawn: Iterator[None] = map(_draw_block, jobs)
        if processes > 1 and jobs:
            # Spawned, because a fork of a process with threads may hang.
            context = get_context("spawn")
            pool = ProcessPoolExecutor(processes, context, initializer=follow_parent)
            drawn = stack.enter_context(pool).map(_draw_block, jobs)
        for done, _ in enumerate(drawn, start=1):
            if done % 16 == 0 or done == len(missing):
                say(f"world {seed}: {(len(names) - len(missing) + done) * BLOCK} pictures")
    return _read(folder, names, size)


def _is_whole(folder: Path, name: str, size: int) -> bool:
    raw = folder / f"{name}.raw"
    is_there = raw.exists() and (folder / f"{name}.json").exists()
    return is_there and raw.stat().st_size == BLOCK * size * size * 3


def _draw_block(job: tuple[str, int, str, int]) -> None:
    folder, seed, name, size = Path(job[0]), *job[1:]
    two, number = name.startswith("two-"), int(name.removeprefix("two-"))
    start = FIRST_PAIR * two + number * BLOCK
    drawn = batch(seed, start, BLOCK, size, related=1.0 if two else RELATED)
    kinds = list(KINDS.values())
    facts = {
        "captions": drawn.captions,
        "views": [VIEWS.index(view) for view in drawn.views],
        "has_front": [bool(kinds[kind].has_front) for kind in drawn.kind_ids],
    }
    drawn.pictures.tofile(folder / f"{name}.raw")
    # The JSON comes last and by a rename: a block is there when its JSON is.
    partial = folder / f"{name}.json.part-{os.getpid()}"
    partial.write_text(json.dumps(facts))
    partial.rename(folder / f"{name}.json")


def _read(folder: Path, names: Sequence[str], size: int) -> Dataset:
    shape = (BLOCK, size, size, 3)
    pictures = np.empty((len(names) * BLOCK, size, size, 3), np.uint8)
    captions: list[str] = []
    views: list[int] = []
    fronts: list[bool] = []
    for block, name in enumerate(names):
        raw = np.fromfile(folder / f"{name}.raw", np.uint8)
        pictures[block * BLOCK : (block + 1) * BLOCK] = raw.reshape(shape)
        facts = json.loads((folder / f"{name}.json").read_text())
        captions += facts["captions"]
        views += facts["views"]
        fronts += facts["has_front"]
    return Dataset(pictures, captions, np.array(views), np.array(fronts))
