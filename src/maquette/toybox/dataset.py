"""Pictures of the world on disk: drawn once, by several processes, read by every training stage.

Pictures lie in blocks, each a raw array beside a JSON of its captions. Blocks are drawn in order
and each depends on its number only, so that an interrupted cache is completed, not begun again.
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

from maquette.toybox.captions import RELATIONS, VIEWS
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import batch

__all__ = ["Dataset", "draw", "shares"]

BLOCK = 1024


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
) -> Dataset:
    """Draw pictures of a world, or take those that are there.

    Args:
        folder: where caches lie; this one gets a folder of its own in it.
        seed: of the world.
        count: pictures, rounded up to whole blocks.
        size: side of the pictures in pixels.
        processes: how many draw at the same time.
        say: is told now and then how far it is.
    """
    blocks = -(-count // BLOCK)
    folder = folder / f"world-{seed}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [block for block in range(blocks) if not _is_whole(folder, block, size)]
    jobs = [(str(folder), seed, block, size) for block in missing]
    with contextlib.ExitStack() as stack:
        drawn: Iterator[None] = map(_draw_block, jobs)
        if processes > 1 and jobs:
            # Spawned, because a fork of a process with threads may hang.
            pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
            drawn = stack.enter_context(pool).map(_draw_block, jobs)
        for done, _ in enumerate(drawn, start=1):
            if done % 16 == 0 or done == len(missing):
                say(f"world {seed}: {(blocks - len(missing) + done) * BLOCK} pictures")
    return _read(folder, blocks, size)


def _is_whole(folder: Path, block: int, size: int) -> bool:
    raw = folder / f"{block:05d}.raw"
    is_there = raw.exists() and (folder / f"{block:05d}.json").exists()
    return is_there and raw.stat().st_size == BLOCK * size * size * 3


def _draw_block(job: tuple[str, int, int, int]) -> None:
    folder, seed, block, size = Path(job[0]), *job[1:]
    drawn = batch(seed, block * BLOCK, BLOCK, size)
    kinds = list(KINDS.values())
    facts = {
        "captions": drawn.captions,
        "views": [VIEWS.index(view) for view in drawn.views],
        "has_front": [bool(kinds[kind].has_front) for kind in drawn.kind_ids],
    }
    drawn.pictures.tofile(folder / f"{block:05d}.raw")
    # The JSON comes last and by a rename: a block is there when its JSON is.
    partial = folder / f"{block:05d}.json.part-{os.getpid()}"
    partial.write_text(json.dumps(facts))
    partial.rename(folder / f"{block:05d}.json")


def _read(folder: Path, blocks: int, size: int) -> Dataset:
    shape = (BLOCK, size, size, 3)
    pictures = np.empty((blocks * BLOCK, size, size, 3), np.uint8)
    captions: list[str] = []
    views: list[int] = []
    fronts: list[bool] = []
    for block in range(blocks):
        raw = np.fromfile(folder / f"{block:05d}.raw", np.uint8)
        pictures[block * BLOCK : (block + 1) * BLOCK] = raw.reshape(shape)
        facts = json.loads((folder / f"{block:05d}.json").read_text())
        captions += facts["captions"]
        views += facts["views"]
        fronts += facts["has_front"]
    return Dataset(pictures, captions, np.array(views), np.array(fronts))


def shares(captions: Sequence[str], pairs: float) -> np.ndarray:
    """How often training meets each picture: ``[N]`` float64 that sum to 1.

    Two objects are small in the picture and their combinations many, so they come oftener.

    Args:
        captions: of the pictures.
        pairs: how much oftener a picture of two objects is met than one of a single object.
    """
    two = [any(f" {word} " in caption for word in RELATIONS) for caption in captions]
    oftener = np.where(two, pairs, 1.0)
    return oftener / oftener.sum()
