"""The assets of one seed of a benchmark in two columns, as a picture for a page of documentation.

    python benchmarks/sheet.py runs/bench maquette docs/assets-maquette.jpg

Cuts the rows of one seed out of the sheet that ``maquette bench toy`` leaves.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from maquette.bench.toy import RESULTS, sheet_path

GAP = 24


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("entrant")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results = json.loads((options.folder / RESULTS).read_text(encoding="utf-8"))["results"]
    seeds = [row["seed"] for row in results if row["entrant"] == options.entrant]
    sheet = Image.open(sheet_path(options.folder, options.entrant)).convert("RGB")
    height = sheet.height / len(seeds)
    strips = [
        sheet.crop((0, round(row * height), sheet.width, round((row + 1) * height)))
        for row, seed in enumerate(seeds)
        if seed == options.seed
    ]
    half = -(-len(strips) // 2)
    tall = max(strip.height for strip in strips)
    picture = Image.new("RGB", (2 * sheet.width + GAP, half * tall), "white")
    for place, strip in enumerate(strips):
        picture.paste(strip, ((place // half) * (sheet.width + GAP), (place % half) * tall))
    picture.save(options.out, quality=88)


if __name__ == "__main__":
    main()
