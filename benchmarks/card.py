"""The model card's figures: the training log as a table and a curve.

    python benchmarks/card.py training --out docs

Reads ``training.jsonl`` of one folder or several, prints one line per stage and writes
``training-curve.png``. Hours are those between the lines, without pauses of more than an hour.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN = 640, 320, 40
INKS = {
    "vae": "#1f77b4",
    "unet": "#d62728",
    "clip": "#2ca02c",
    "views": "#9467bd",
    "points": "#ff7f0e",
}


def read(folders: list[Path]) -> dict[str, list[dict]]:
    """The logs' lines by stage."""
    texts = [(folder / "training.jsonl").read_text() for folder in folders]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return {stage: [line for line in lines if line["stage"] == stage] for stage in INKS}


def describe(stage: str, lines: list[dict]) -> str:
    """One row of the table: samples, hours of training, first and last loss."""
    times = np.diff([line["unix_time"] for line in lines])
    hours = times[times < 3600].sum() / 3600
    return (
        f"| {stage} | {lines[-1]['step']} | {lines[-1]['samples']} | {hours:.2f} | "
        f"{lines[0]['loss']:.4f} | {lines[-1]['loss']:.4f} |"
    )


def curve(stages: dict[str, list[dict]], path: Path) -> None:
    """Every stage's loss over its own progress, on a logarithmic axis."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    every = [line["loss"] for lines in stages.values() for line in lines]
    low, high = np.log10(min(every)), np.log10(max(every))
    for power in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        y = _y(10.0**power, low, high)
        pen.line([(MARGIN, y), (WIDTH - MARGIN, y)], fill="#dddddd")
        pen.text((4, y - 6), f"1e{power}", fill="#555555")
    for row, (stage, lines) in enumerate(stages.items()):
        if not lines:
            continue
        last = lines[-1]["step"]
        points = [
            (MARGIN + (WIDTH - 2 * MARGIN) * line["step"] / last, _y(line["loss"], low, high))
            for line in lines
        ]
        pen.line(points, fill=INKS[stage], width=2)
        # The legend stands below the curves, where none of them can run through it.
        pen.text((MARGIN + 115 * row, HEIGHT - 18), f"{stage}, {last} steps", fill=INKS[stage])
    picture.save(path)


def _y(loss: float, low: float, high: float) -> float:
    share = (np.log10(loss) - low) / max(high - low, 1e-9)
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share


def main() -> None:
    """Print the table and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    stages = read(options.training)
    print(f"machine: {platform.processor() or platform.machine()}")
    print("| stage | steps | samples | hours from first to last line | first loss | last loss |")
    print("|---|---|---|---|---|---|")
    for stage, lines in stages.items():
        if lines:
            print(describe(stage, lines))
    curve(stages, options.out / "training-curve.png")


if __name__ == "__main__":
    main()
