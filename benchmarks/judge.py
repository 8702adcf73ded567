"""Can the embedded judge be trusted? True pictures of seeds that it never saw, and broken ones.

    python benchmarks/judge.py
    python benchmarks/judge.py --objects 200 --attacked 24

Prints what the judge says of true pictures of random objects, from eight sides each, and of what is
made of them: colours swapped, half cut away, floaters, tiles in disorder, noise, one picture shown
for all sides, the front shown on all sides, upside down. A good judge gives true pictures nearly
full marks and takes away what is wrong and no more. Single objects and pairs of them, more of which
are drawn for it, have a row each. The last rows push pixels up the judge's own
gradient towards the prompt: of pictures of nothing, without a bound, and of true pictures of
something else, by a few of 255 levels.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from maquette.metrics.clip import prepare
from maquette.metrics.janus import false_fronts, is_janus, janus_ring
from maquette.priors.embedded import weights_folder
from maquette.records import Views
from maquette.toybox.captions import Description, caption
from maquette.toybox.judge import Judge, true_pictures
from maquette.toybox.judge_stages import broken
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import describe

JUDGED = ("prompt_right", "kind_right", "colour_right", "pattern_right", "view_right", "clip_score")
VARIATION = 50_000
RING = Views.ring(8, elevation_deg=15.0, start_deg=22.5)


def objects(count: int, seed: int = 77) -> list[Description]:
    """Fully coloured descriptions in the world's own mixture."""
    random = np.random.Generator(np.random.Philox(key=seed))
    chosen: list[Description] = []
    while len(chosen) < count:
        described, _ = describe(random, bool(len(chosen) % 3 == 2))
        if described.colours and (described.other is None or described.other.colours):
            chosen.append(described)
    return chosen


def halved(pictures: Tensor) -> Tensor:
    """The lower half replaced by the background."""
    cut = pictures.clone()
    cut[:, pictures.shape[1] // 2 :] = pictures[:, :1, :1]
    return cut


def with_floaters(pictures: Tensor) -> Tensor:
    """Forty round specks of the object's colours on each picture."""
    random = np.random.Generator(np.random.Philox(key=5))
    side = pictures.shape[1]
    y, x = np.mgrid[:side, :side]
    spoilt = pictures.clone()
    for picture in spoilt:
        middle = picture[side // 3 : -side // 3, side // 3 : -side // 3].reshape(-1, 3)
        for _ in range(40):
            cx, cy = random.uniform(0, side, 2)
            speck = torch.from_numpy((x - cx) ** 2 + (y - cy) ** 2 < random.uniform(1, 9))
            picture[speck] = middle[random.integers(len(middle))]
    return spoilt


def disordered(pictures: Tensor) -> Tensor:
    """Shuffled tiles, blobs, and mixed halves."""
    random = np.random.Generator(np.random.Philox(key=6))
    channels_first = pictures.permute(0, 3, 1, 2) * 2 - 1
    return (broken(channels_first, random).permute(0, 2, 3, 1) + 1) / 2


def noise(pictures: Tensor) -> Tensor:
    """Each picture's own pixels in disorder."""
    flat = pictures.flatten(1, 2)
    order = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    return flat[:, order].reshape(pictures.shape)


def upside_down(pictures: Tensor) -> Tensor:
    """Standing on its head."""
    return pictures.flip(1)


def billboard(pictures: Tensor) -> Tensor:
    """One picture for all sides, from half right of the front."""
    return pictures[:1].expand_as(pictures)


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "half cut away": halved,
    "floaters": with_floaters,
    "disordered": disordered,
    "noise": noise,
    "upside down": upside_down,
    "one picture": billboard,
}


def attacked(
    judge: Judge, asked: Description, start: Tensor, steps: int, bound: float = 1.0
) -> Tensor:
    """Pictures pushed towards the prompt by the judge's own gradient.

    Args:
        judge: gives the gradient, as no run ever sees it.
        asked: what the pictures shall be taken for.
        start: where they begin, ``[B, S, S, 3]``.
        steps: of Adam, a fiftieth of the range of a pixel each.
        bound: the most that a pixel may change.
    """
    pixels = start.clone().requires_grad_(True)
    text = judge.clip.text_features([caption(asked)])
    optimiser = torch.optim.Adam([pixels], lr=min(0.02, bound / 4))
    for _ in range(steps):
        optimiser.zero_grad()
        prepared = prepare(pixels, judge.clip.preparation, 64)
        seen = judge.clip.model.get_image_features(pixel_values=prepared)
        (-cosine_similarity(getattr(seen, "pooler_output", seen), text).sum()).backward()
        optimiser.step()
        with torch.no_grad():
            pixels.copy_((start + (pixels - start).clamp(-bound, bound)).clamp(0, 1))
    return pixels.detach()


def attacks(judge: Judge, asked: list[Description], true: list[Tensor]) -> None:
    """Print a row for each attack: on nothing, and on true pictures of something else."""
    empty = 0.5 + 0.1 * torch.randn(4, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    for steps in (0, 20, 100):
        row(f"attacked, {steps}", [
            judge.verdict(attacked(judge, d, empty.clamp(0, 1), steps), d) for d in asked
        ])  # fmt: skip
    for levels in (0, 1, 2, 4, 8):
        row(f"other, {levels} of 255", [
            judge.verdict(attacked(judge, d, own[:4], 20 if levels else 0, levels / 255), d)
            for d, own in zip(asked, true[-len(asked) :], strict=True)
        ])  # fmt: skip


def row(name: str, said: list) -> None:
    """Print the mean of every measure."""
    cells = ""
    for measure in JUDGED:
        values = torch.cat([getattr(one, measure) for one in said])
        cells += f"{values[torch.isfinite(values)].mean():14.3f}"
    print(f"{name:18s}{cells}")


def janus_rate(judge: Judge, asked: list[Description], *, two_faced: bool) -> str:
    """Share of true objects, or of those with a front on all sides, that are called Janus."""
    ring, called = janus_ring(), []
    for one in asked:
        pictures = true_pictures(one, ring, VARIATION)
        if two_faced:
            # What the camera sees from behind is what it saw in front.
            pictures = torch.cat(
                [pictures[:6], pictures[:6].flip(0), pictures[-6:].flip(0), pictures[-6:]]
            )
        called.append(is_janus(false_fronts(judge.view_probabilities, pictures, ring)))
    return f"{sum(called)} of {len(called)}"


def one_and_two(judge: Judge, asked: list[Description], pairs: int) -> None:
    """Print a row for true pictures of single objects, and one for those of two."""
    two = [d for d in objects(len(asked) + 10 * pairs) if d.other is not None][:pairs]
    one = [d for d in asked if d.other is None]
    for name, chosen in (("single objects", one), ("two objects", two)):
        row(name, [
            judge.verdict(true_pictures(d, RING, VARIATION), d, RING) for d in chosen
        ])  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=120)
    parser.add_argument("--pairs", type=int, default=70)
    parser.add_argument("--attacked", type=int, default=12)
    options = parser.parse_args()
    judge, asked = Judge.load(weights_folder() / "judge-64"), objects(options.objects)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {datetime.date.today()}, {len(asked)} objects of eight views")
    print(f"{'':18s}" + "".join(f"{name:>14s}" for name in JUDGED))
    true = [true_pictures(d, RING, VARIATION) for d in asked]
    row("true", [judge.verdict(own, d, RING) for own, d in zip(true, asked, strict=True)])
    one_and_two(judge, asked, options.pairs)
    for name, spoil in FAULTS.items():
        spoilt = [judge.verdict(spoil(own), d, RING) for own, d in zip(true, asked, strict=True)]
        row(name, spoilt)
    pairs = [(d, replace(d, colours=d.colours[::-1])) for d in asked if len(d.colours) == 2]
    row("colours swapped", [
        judge.verdict(true_pictures(shown, RING, VARIATION), d, RING) for d, shown in pairs
    ])  # fmt: skip
    attacks(judge, asked[: options.attacked], true)
    fronts = [d for d in asked if KINDS[d.kind].has_front and d.other is None][:40]
    print("called Janus: true", janus_rate(judge, fronts, two_faced=False), "- two-faced",
          janus_rate(judge, fronts, two_faced=True))  # fmt: skip


if __name__ == "__main__":
    main()
