"""How good are the pictures that the embedded prior draws by itself?

    python benchmarks/prior.py
    python benchmarks/prior.py --pictures 2048 --prompts 200
    python benchmarks/prior.py --sheet docs/prior-samples.png

Draws prompts of the toy world, half of them combinations that no training saw, has the
prior draw each from its four view words, and the judge say what it sees. Then the distance of the
judge's features (Frechet, as in FID) between pictures of the prior and true pictures of the same
captions, beside that of two sets of true pictures, which is as near as one can come. With a sheet
it draws the model card's twelve prompts instead, two in a row, each from its four view words.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maquette.camera import FOV_Y_DEG
from maquette.export.sheet import contact_sheet, to_uint8, write_png
from maquette.metrics.frechet import frechet_distance
from maquette.priors.embedded import embedded, weights_folder
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.sampling import sample_latents
from maquette.toybox.captions import VIEWS, Description, caption
from maquette.toybox.judge import Judge
from maquette.toybox.world import batch

ANGLES = {"front": (0, 15), "side": (90, 15), "back": (180, 15), "overhead": (0, 70)}
JUDGED = ("prompt_right", "kind_right", "colour_right", "pattern_right", "view_right", "clip_score")
SEEN_WORLD, UNSEEN_WORLD = 11, 12
SHOWN = (
    *("a red and blue mug", "a yellow and orange duck", "a brown and white dog"),
    *("a spotted grey and pink cat", "a yellow and orange lion", "a black and white penguin"),
    *("a shiny blue and white car", "a striped red and yellow fish", "a green and brown tree"),
    *("a red ball on a blue table", "a brown bear beside a green tree"),
    "a checkered black and white cube",
)


def descriptions(count: int, seed: int, held_out: bool) -> list[Description]:
    """Fully coloured descriptions in the world's own mixture of patterns, sizes and pairs."""
    drawn = batch(seed, 0, 2 * count, 8, held_out=held_out).descriptions
    return [d for d in drawn if d.colours and (d.other is None or d.other.colours)][:count]


def drawn(prior, texts: list[str], seed: int) -> Tensor:
    """Pictures ``[B, S, S, 3]``, a few at a time."""
    parts = [texts[start : start + 32] for start in range(0, len(texts), 32)]
    return torch.cat([
        prior.decode(sample_latents(prior, part, Randomness(seed + place), steps=30))
        for place, part in enumerate(parts)
    ])  # fmt: skip


def verdicts(prior, judge: Judge, asked: list[Description]) -> dict[str, np.ndarray]:
    """The judge's measures, a row for each prompt and a column for each view word."""
    angles = torch.tensor([ANGLES[word] for word in VIEWS], dtype=torch.float32)
    ones = torch.ones(len(VIEWS))
    side = prior.image_size
    views = Views(angles[:, 0], angles[:, 1], 3.3 * ones, FOV_Y_DEG * ones, side, side)
    texts = [caption(d, word) for d in asked for word in VIEWS]
    pictures = drawn(prior, texts, 0).split(len(VIEWS))
    said = [judge.verdict(own, d, views) for own, d in zip(pictures, asked, strict=True)]
    return {name: torch.stack([getattr(one, name) for one in said]).numpy() for name in JUDGED}


def features(judge: Judge, pictures: Tensor) -> np.ndarray:
    """The judge's features of pictures, ``[N, D]``."""
    return torch.cat([judge.clip.picture_features(p) for p in pictures.split(256)]).numpy()


def write_sheet(prior, path: Path) -> None:
    """The pictures of ``SHOWN``, as they come: one draw of each, none chosen."""
    texts = [f"{prompt}, {word} view" for prompt in SHOWN for word in VIEWS]
    write_png(path, contact_sheet(to_uint8(drawn(prior, texts, 0)), 2 * len(VIEWS)))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--name", default="embedded-64")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    if options.sheet is not None:
        write_sheet(embedded(options.name), options.sheet)
        return
    prior, judge = embedded(options.name), Judge.load(weights_folder() / "judge-64")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {datetime.date.today()}, {options.name}")
    print(f"{'':10s}" + "".join(f"{name:>14s}" for name in JUDGED))
    for name, world, held_out in (("seen", SEEN_WORLD, False), ("unseen", UNSEEN_WORLD, True)):
        asked = descriptions(options.prompts // 2, world, held_out)
        found = verdicts(prior, judge, asked)
        print(f"{name:10s}" + "".join(f"{np.nanmean(v):14.3f}" for v in found.values()))
    true = batch(SEEN_WORLD, 10_000, options.pictures, prior.image_size)
    again = batch(SEEN_WORLD, 50_000, options.pictures, prior.image_size)
    one, two = (
        features(judge, torch.from_numpy(part.pictures).float() / 255) for part in (true, again)
    )
    own = features(judge, drawn(prior, true.captions, 1))
    distances = frechet_distance(own, one), frechet_distance(two, one)
    print(f"Frechet distance to {options.pictures} true pictures: "
          f"the prior's {distances[0]:.4f}, other true ones {distances[1]:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
