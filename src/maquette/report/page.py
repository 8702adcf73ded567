"""The page as one file: a template, its style, its scripts and its data, put together.

All that a run brings along is data: one JSON in a block that no browser runs, with every ``<``
written as an escape, and the page's own scripts set it as text. The policy at the top allows these
very scripts by their hashes and nothing from any network, so even what slipped through would
neither run nor call home. The same runs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from maquette import store
from maquette.camera import FOV_Y_DEG
from maquette.errors import InputError
from maquette.report.benchmark import gather_benchmark, is_benchmark
from maquette.report.gather import gather

__all__ = ["page", "write_report"]

SCRIPTS = (
    *("vendor/three.min.js", "table.js", "chart.js", "splats.js", "viewer.js", "parts.js"),
    *("runs.js", "intervals.js", "bench.js", "gallery.js", "page.js"),
)
"""In the order in which the page runs them."""
LICENCES = ("vendor/LICENSE-three",)
CAMERA = {"fov_y_deg": FOV_Y_DEG, "elevation_deg": 15.0, "distance": 3.3}
"""Where a view begins: as a turntable does."""


def _ignore(_: str) -> None:
    """Tells nobody."""


def write_report(
    folders: Sequence[Path | str], out: Path | str, *, say: Callable[[str], None] = _ignore
) -> int:
    """Write one self-contained HTML page about runs, drawings and comparisons, or a benchmark.

    Args:
        folders: that ``maquette generate``, ``image`` or ``compare`` made, or one of ``bench``;
            nothing in them changes.
        out: the page, replaced if it is there; written whole or not at all.
        say: told in a sentence what is being worked on.

    Returns:
        The page's size in bytes.

    Raises:
        InputError: no folder, one that is none of these, a run without an asset, a broken file, a
            benchmark with anything beside it, or an ``out`` that is a folder or lies in none.
        CheckpointError: a file of JSON is damaged.
        DiskError: a file cannot be read or written.
    """
    out = Path(out).expanduser()
    if out.is_dir():
        raise InputError(f"{out} is a folder, not a page", "Name a file, as in --out report.html")
    if not out.absolute().parent.is_dir():
        raise InputError(f"There is no folder {out.absolute().parent}", "Make it first")
    data = page(_data([Path(folder) for folder in folders], say)).encode()
    store.write_file(out, data)
    return len(data)


def page(data: Mapping[str, Any]) -> str:
    """The HTML text of the data that ``gather`` returns, or of ``bench`` with a benchmark's."""
    style, scripts = _part("page.css"), [_part(name) for name in SCRIPTS]
    parts = {
        "policy": _policy(style, scripts),
        "style": f"<style>{style}</style>",
        "data": _as_text({**data, "camera": CAMERA}),
        "licences": _as_text([_part(name) for name in LICENCES]),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # In one pass: a prompt that reads like a placeholder stays a prompt.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("template.html"))


def _data(folders: Sequence[Path], say: Callable[[str], None]) -> dict[str, Any]:
    benchmarks = [folder for folder in folders if is_benchmark(folder)]
    if not benchmarks:
        return gather(folders, say)
    if len(folders) > 1:
        raise InputError(
            f"{benchmarks[0]} is a benchmark, and a page shows one of them and nothing else",
            "Give it alone",
        )
    return {"bench": gather_benchmark(benchmarks[0], say)}


def _part(name: str) -> str:
    return files("maquette.report").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _as_text(data: Any) -> str:
    """JSON that no reader of HTML can take for a tag; plain ASCII."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, scripts: Sequence[str]) -> str:
    allowed = {
        "default-src": ["'none'"],
        "script-src": [_hash(script) for script in scripts],
        "style-src": [_hash(style)],
        "img-src": ["data:", "blob:"],
        "media-src": ["data:", "blob:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in allowed.items())


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
