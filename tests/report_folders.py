"""Folders as runs, drawings, comparisons and benchmarks leave them, for tests of the report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maquette.bench.toy import sheet_path
from maquette.export.ply import write_ply
from maquette.export.sheet import contact_sheet, write_png
from maquette.scenes.gaussians import SH_CONSTANT, Gaussians
from maquette.store import sha256_of, write_json

__all__ = ["EVIL", "bench", "comparison", "drawing", "run", "scene"]

EVIL = '</script><b>bold</b><img src="http://example.com/x.png"> {{scripts}} & \u2028 "duck"'
"""A prompt that would do harm on a page that does not take care."""

MEASURES = ("prompt_right", "kind_right", "colour_right", "view_right", "clip_score")


def scene(count: int = 400, degree: int = 0, seed: int = 0) -> Gaussians:
    """A lopsided object: a red lobe in front (+X), a green one on its side (+Y), blue on top."""
    random = torch.Generator().manual_seed(seed)
    lobe = torch.arange(count) % 3
    centres = torch.tensor([[0.45, 0.0, -0.1], [0.0, 0.55, 0.0], [-0.1, 0.0, 0.5]])
    means = centres[lobe] + 0.13 * torch.randn(count, 3, generator=random)
    colours = (0.15 + 0.8 * torch.eye(3))[lobe]
    harmonics = 0.15 * torch.randn(count, (degree + 1) ** 2, 3, generator=random)
    harmonics[:, 0] = (colours - 0.5) / SH_CONSTANT
    return Gaussians(
        means,
        math.log(0.05) + 0.6 * torch.randn(count, 3, generator=random),
        torch.randn(count, 4, generator=random),
        torch.randn(count, generator=random) + 1.0,
        harmonics,
    )


def run(
    folder: Path, prompt: str = "a duck", *, seed: int = 0, steps: int = 12, **more: Any
) -> Path:
    """A finished run. ``more``: its ``asset``, a scene; ``scores``, numbers of the judge."""
    folder.mkdir(parents=True)
    write_ply(folder / "asset.ply", more.get("asset") or scene())
    write_json(folder / "run.json", {"prompt": prompt, "seed": seed, "prior": "p", "threads": 1})
    write_json(folder / "recipe.json", {"recipe": {"name": "csd", "steps": steps}})
    facts = {"step": steps, "evaluations": 4 * steps, "count": 400}
    write_json(folder / "result.json", {**facts, "asset_sha256": _digest(folder)})
    _journal(folder, steps)
    if "scores" in more:
        write_json(folder / "metrics.json", _metrics(folder, more["scores"]))
    return folder


def drawing(folder: Path, prompt: str = "a drawn duck", *, figure: bool = True) -> Path:
    """What ``maquette image`` leaves."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (48, 96, 3), np.uint8)
    write_png(folder / "picture.png", noise[:, :48])
    if figure:
        write_png(folder / "gradients.png", noise)
    about = {"recipe": {"name": "pgc"}, "prompt": prompt, "seed": 3, "prior": "p"}
    write_json(folder / "recipe.json", about)
    _journal(folder, 6)
    return folder


def comparison(folder: Path, *seeds: int) -> Path:
    """What ``maquette compare`` leaves: runs of these seeds, a table and a sheet."""
    runs = [run(folder / f"run-{seed}", seed=seed) for seed in seeds]
    entries = [
        {"recipe": "csd", "seed": s, "folder": r.name} for s, r in zip(seeds, runs, strict=True)
    ]
    table = {"prompt": "a duck", "budget": 48, "runs": entries, "seconds": {}}
    write_json(folder / "comparison.json", table)
    write_png(folder / "comparison.png", np.full((20, 40, 3), 200, np.uint8))
    return folder


def _metrics(folder: Path, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        **{"prompt": "a duck", "asset_sha256": _digest(folder), "judge": "judge-64"},
        **{"views": 4, "elevation_deg": 15.0, "size": 64, "background": [1.0, 1.0, 1.0]},
        **{"note": "A ball has no front.", "by_view": {"kind_right": [1.0, 0.0, None, 1.0]}},
        **dict.fromkeys(MEASURES),
        **scores,
    }


def _journal(folder: Path, steps: int) -> None:
    lines = [
        {
            **{"step": step, "loss": 1.0 / step, "losses": {"sparsity": 0.1 * step}},
            **{"evaluations": 4 * step, "count": 400, "t": [900 - step, 700 - step]},
            **{"skipped": "", "pixel_gradient_norm": 2.0 + step % 3},
        }
        for step in range(1, steps + 1)
    ]
    times = [{"step": step, "seconds": 0.25, "at": 1.0} for step in range(1, steps + 1)]
    for name, rows in (("metrics.jsonl", lines), ("timings.jsonl", times)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def _digest(folder: Path) -> str:
    return sha256_of((folder / "asset.ply").read_bytes())


def bench(
    folder: Path,
    names: Sequence[str] = ("own", "other"),
    prompts: Sequence[str] = ("a red mug", "a yellow and orange duck"),
    seeds: int = 1,
    **more: Any,
) -> Path:
    """What ``maquette bench`` leaves. ``more``: the ``assets`` of all entrants, scenes."""
    assets = more.get("assets") or [scene(60, seed=place) for place in range(len(names))]
    pairs = [(prompt, seed) for prompt in prompts for seed in range(seeds)]
    results = []
    for place, name in enumerate(names):
        for number, (prompt, seed) in enumerate(pairs):
            row = _result(name, place, number, prompt, seed)
            (folder / "runs" / row["folder"]).mkdir(parents=True)
            write_ply(folder / "runs" / row["folder"] / "asset.ply", assets[place])
            results.append({**row, "gaussians": assets[place].count})
        _bench_sheet(folder, name, place, [f"{prompt}, seed {seed}" for prompt, seed in pairs])
    facts = {
        **{"machine": "a machine", "date": "2026-01-01", "budget": 96, "seeds": [*range(seeds)]},
        "entrants": [{"name": name, "recipe": name, "settings": []} for name in names],
        **{"prompts": [*prompts], "results": results, "table": _table(names)},
    }
    write_json(folder / "bench.json", facts)
    return folder


BENCH_SCORES = (*MEASURES, "pattern_right", "janus", "halo")


def _result(name: str, place: int, number: int, prompt: str, seed: int) -> dict[str, Any]:
    """A row of a benchmark; the judge looked twice."""
    known = dict.fromkeys(BENCH_SCORES, 0.25 * place) | {"pattern_right": None, "clip_score": 20.0}
    looks = [
        {
            **known,
            "step": step,
            "evaluations": 8 * step + number,
            "clip_score": 10.0 * look + number,
        }
        for look, step in ((1, 6), (2, 12))
    ]
    return {
        **known,
        **{"prompt": prompt, "entrant": name, "seed": seed, "folder": f"{place}-{number}-{seed}"},
        **{"steps": 12, "evaluations": 96, "cpu_seconds": 3.0 + place, "curve": looks},
    }


def _bench_sheet(folder: Path, name: str, place: int, captions: list[str]) -> None:
    """Rows of eight pictures of 16 pixels, each of one colour that tells its row and side."""
    count = 8 * len(captions)
    pictures = np.zeros((count, 16, 16, 3))
    pictures[..., 0] = 20 * np.arange(count).reshape(-1, 1, 1) % 256
    pictures[..., 1] = 100 * place % 256
    sheet = contact_sheet(pictures.astype(np.uint8), 8, row_captions=captions)
    write_png(sheet_path(folder, name), sheet)


def _table(names: Sequence[str]) -> dict[str, Any]:
    def spread(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.125, "high": mean + 0.125, "count": 2}

    def row(mean: float) -> dict[str, Any]:
        return {**{score: spread(mean) for score in BENCH_SCORES}, "pattern_right": None}

    costs = {"cpu_seconds": spread(30.0), "steps": spread(12), "evaluations": spread(96)}
    # In another order by their scores than by their names or by their places.
    means = [0.5, 0.25, 0.75, *(0.3 for _ in names)]
    rows = {
        n: {**row(m), **costs, "gaussians": spread(60)} for n, m in zip(names, means, strict=False)
    }
    leads = {n: row(0.5 - m) for n, m in zip(names[1:], means[1:], strict=False)}
    unseen = {n: dict.fromkeys(row(0)) | {"clip_score": spread(22.0)} for n in names}
    return {"rows": rows, "unseen": unseen, "leads": leads}
