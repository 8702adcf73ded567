"""A study as a folder of plain files: one page, and one file of pictures for each asset.

The page opens from a disk without any network. Files are named by what they show, so that neither
names nor their order nor the times at which they were written tell whose an asset is. Who made
what stands in a key beside the folder, never in it; so the folder can be given away as it is.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maquette import store
from maquette.errors import InputError
from maquette.export.ply import read_ply
from maquette.export.turntable import turntable_frames
from maquette.records import Views
from maquette.study.gathering import Candidate, find_runs, rounds
from maquette.study.plan import QUESTIONS, Group, Kind, Study, key_path

__all__ = ["PAGE", "build_study", "page", "sprite"]

PAGE = Path(__file__).parent / "page"
"""The page's own files: ``index.html`` with a mark for the study's data, its script and style."""
MARK = "__STUDY__"
BACKGROUND = (0.82, 0.82, 0.82)
"""A light grey, the same for all: white and black things show on it."""
QUALITY = 92
"""Of the JPEG files; at this one and without subsampling nobody sees a difference."""
LARGEST_SIDE = 8192
"""Of a file's grid in pixels; phones show no larger picture."""
LONGEST_QUESTION = 200
LARGEST_SEED = 1 << 53
"""The page computes with it, and counts exactly up to here."""


def build_study(
    runs: Sequence[Path],
    folder: Path,
    *,
    kind: Kind = "pick",
    questions: Sequence[str] = QUESTIONS,
    each: int | None = None,
    views: int = 36,
    size: int = 256,
    seed: int = 0,
    announce: Callable[[str], object] = lambda _: None,
) -> Study:
    """Make the folder of a study, and its key beside it.

    Args:
        runs: folders of finished runs, or folders that hold some.
        folder: is made.
        kind: whether participants pick the best or rank all.
        questions: asked about each group.
        each: groups that one participant is shown; None for all.
        views: sides of each asset, evenly around it.
        size: side of one picture in pixels.
        seed: of every order.
        announce: told which group is drawn.

    Raises:
        InputError: nothing can be compared, a number makes no study, or something is there already.
        CheckpointError: a run is damaged.
        DiskError: the disk is full or failing; then there is no folder.
    """
    questions = [" ".join(question.split()) for question in questions]
    _check(questions, each, views, size)
    if abs(seed) > LARGEST_SEED:
        raise InputError(f"The seed {seed} is beyond what a browser counts exactly")
    folder = folder.expanduser()
    if folder.exists():
        raise InputError(f"{folder} is there already", "Give another --out")
    compared = rounds(find_runs(runs))
    columns = math.ceil(math.sqrt(views))
    pictures: dict[str, bytes] = {}
    groups, owners = [], {}
    for number, (prompt, entries) in enumerate(compared):
        announce(f"group {number + 1}/{len(compared)}  {prompt}  {len(entries)} assets")
        shown = _draw(entries, pictures, views, size, columns)
        name = store.sha256_of(store.canonical([number, prompt]))[:16]
        groups.append(Group(name, prompt, tuple(sorted(shown))))
        owners |= shown
    each = min(each or len(groups), len(groups))
    study = Study(kind, tuple(questions), tuple(groups), seed, each, views, columns)
    _write_key(folder, study, owners)
    # In the order of their names: times of writing must tell as little as names do.
    files = {f"{name}.jpg": pictures[name] for name in sorted(pictures)}
    _publish(folder, {**page(study), **files}, study)
    return study


def page(study: Study) -> dict[str, bytes]:
    """The page's files by name, with the study's data in them.

    Texts of the study stand in the page as JSON in which no mark of HTML is left.
    """
    text = json.dumps(study.facts(), separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.is_file()}
    files["index.html"] = files["index.html"].replace(MARK.encode(), text.encode())
    return files


def sprite(asset: Path, views: int, size: int, columns: int) -> bytes:
    """The asset in a PLY file from all sides, as one JPEG: a grid without gaps, row by row.

    Raises:
        InputError: the file is no PLY of Gaussians.
    """
    from PIL import Image

    ring = Views.ring(views, size=size)
    rows = math.ceil(views / columns)
    cells = np.full((rows * columns, size, size, 3), round(255 * BACKGROUND[0]), np.uint8)
    for place, picture in enumerate(turntable_frames(read_ply(asset), ring, BACKGROUND)):
        cells[place] = picture
    grid = cells.reshape(rows, columns, size, size, 3).transpose(0, 2, 1, 3, 4)
    out = io.BytesIO()
    flat = grid.reshape(rows * size, columns * size, 3)
    Image.fromarray(flat).save(out, format="JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def _draw(
    entries: dict[str, Candidate], pictures: dict[str, bytes], views: int, size: int, columns: int
) -> dict[str, dict[str, object]]:
    """Draw a group's assets into ``pictures`` and return, by asset, whose they are."""
    owners: dict[str, dict[str, object]] = {}
    for label, run in entries.items():
        data = sprite(run.folder / "asset.ply", views, size, columns)
        name = store.sha256_of(data)[:16]
        while name in pictures:  # Two runs may have come to the same pictures.
            name = store.sha256_of(name.encode())[:16]
        pictures[name] = data
        facts = {"recipe": label, "run": run.folder.resolve().name, "seed": run.seed}
        owners[name] = {**facts, "prompt": run.prompt}
    return owners


def _check(questions: Sequence[str], each: int | None, views: int, size: int) -> None:
    if not questions or not all(0 < len(text) <= LONGEST_QUESTION for text in questions):
        raise InputError(
            "A study needs questions that are neither empty nor longer than "
            f"{LONGEST_QUESTION} characters",
            'Give some: --question "Fits the text best"',
        )
    if len(set(questions)) < len(questions):
        raise InputError("A question is asked twice", "Give each --question once")
    if each is not None and each < 1:
        raise InputError(f"{each} prompts for each participant are none", "Give at least 1")
    if views < 1 or size < 2 or math.ceil(math.sqrt(views)) * size > LARGEST_SIDE:
        raise InputError(
            f"{views} views of {size} pixels make no picture that a browser shows",
            f"Their square grid may be {LARGEST_SIDE} pixels wide",
        )


def _write_key(folder: Path, study: Study, owners: dict[str, dict[str, object]]) -> None:
    """Write the key, which no key of another study may be lost for."""
    path = key_path(folder)
    facts = {"study": study.id, "assets": owners}
    if path.exists() and store.read_json(path).get("study") != study.id:
        raise InputError(f"{path} is the key of another study", "Give another --out")
    with store.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    store.write_json(path, facts)


def _publish(folder: Path, files: dict[str, bytes], study: Study) -> None:
    """Make the folder by one rename; what stands beside it is not touched."""
    workshop = folder.with_name(f".part-{folder.name}")
    with store.disk_errors(folder):
        workshop.mkdir(exist_ok=True)
    try:
        store.write_sealed(workshop / folder.name, files, {"study": study.facts()})
        with store.disk_errors(folder):
            (workshop / folder.name).rename(folder)
            store.sync_folder(folder.absolute().parent)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
