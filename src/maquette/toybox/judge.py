"""The judge of the toy world: is it the right thing, in the right colours, seen from where it says?

A small CLIP and a view classifier, trained on other worlds than the prior and on disturbed
pictures. Accuracies are taken per picture: of 100 prompts the right one, of all kinds the right
one, and for each colour slot the right one of twelve. The world knows no left and right, so the
judge looks at each picture and at its mirror image, and is right a little oftener than with one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from maquette.camera import view_word
from maquette.metrics.clip import Clip, clip_score, prepare
from maquette.priors.embedded import check_files
from maquette.priors.loading import load_module
from maquette.priors.wording import Wording
from maquette.records import Views
from maquette.toybox.captions import (
    FLAT,
    VIEWS,
    Description,
    caption,
    descriptions,
    parse,
)
from maquette.toybox.colours import COLOURS, clear_background
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS
from maquette.toybox.wording import WORDING
from maquette.toybox.world import true_picture

__all__ = ["Judge", "Verdict", "distractors", "true_pictures"]


@dataclass(frozen=True)
class Verdict:
    """What the judge says of pictures of one prompt; every tensor is ``[B]``.

    Attributes:
        prompt_right: 1 where the right one of the candidate prompts scores highest.
        kind_right: 1 where the right kind does, the colours given.
        colour_right: share of the colour slots that are right, of both objects where there are two,
            all else given.
        pattern_right: 1 where the right pattern, or none, scores highest, all else given.
        clip_score: 100 times the cosine with the prompt.
        view_right: 1 where the view word is right; NaN for objects without a front.
    """

    prompt_right: Tensor
    kind_right: Tensor
    colour_right: Tensor
    pattern_right: Tensor
    clip_score: Tensor
    view_right: Tensor


class Judge:
    """The embedded CLIP and view classifier.

    Args:
        clip: knows pictures and captions.
        views: a transformers ``ConvNextForImageClassification`` over the four view words.
        wording: of all that the judge has ever read.
    """

    def __init__(self, clip: Clip, views: Any, wording: Wording = WORDING) -> None:
        self.clip, self.views = clip, views.eval().requires_grad_(False)
        self.wording = wording

    @staticmethod
    def load(folder: Path) -> Judge:
        """Load ``folder/clip`` and ``folder/views``, compared with ``folder/card.json``.

        Args:
            folder: as ``maquette.toybox.pack`` writes it.

        Raises:
            PriorError: it is missing or damaged.
        """
        from transformers import ConvNextForImageClassification

        card = check_files(folder)
        views = load_module(ConvNextForImageClassification, folder / "views", dtype=torch.float32)
        return Judge(Clip.load(folder / "clip"), views, Wording(**card["wording"]))

    def verdict(
        self, pictures: Tensor, description: Description, views: Views | None = None
    ) -> Verdict:
        """Judge pictures that should all show ``description``.

        Args:
            pictures: ``[B, H, W, 3]`` in [0, 1].
            description: what they should show.
            views: from where; without them no view is judged.
        """
        features = self._features(pictures)
        prompt = caption(description)
        right = self._best(features, [prompt, *distractors(prompt)]) == 0
        kinds = [_kind_for(description, name) for name in KINDS]
        kind = self._best(features, [caption(d) for d in kinds])
        kind_right = torch.tensor([kinds[i].kind == description.kind for i in kind.tolist()])
        return Verdict(
            right.double(),
            kind_right.double(),
            self._colours(features, description),
            self._pattern(features, description),
            clip_score(self.clip, pictures, prompt).double(),
            self._views(pictures, description, views),
        )

    @torch.no_grad()
    def view_probabilities(self, pictures: Tensor) -> Tensor:
        """``[B, 4]`` probabilities of front, side, back and overhead.

        Args:
            pictures: ``[B, H, W, 3]`` in [0, 1].
        """
        seen = [self._view_probabilities(picture) for picture in (pictures, pictures.flip(2))]
        return (seen[0] + seen[1]) / 2

    def _view_probabilities(self, pictures: Tensor) -> Tensor:
        preparation = self.clip.preparation
        side = self.views.config.image_size
        return self.views(pixel_values=prepare(pictures, preparation, side)).logits.softmax(-1)

    def _features(self, pictures: Tensor) -> Tensor:
        """Unit features of pictures and their mirror images together, ``[B, D]``."""
        both = (self.clip.picture_features(picture) for picture in (pictures, pictures.flip(2)))
        return normalize(sum(both, torch.zeros(())), dim=-1)

    def _best(self, features: Tensor, texts: Sequence[str]) -> Tensor:
        return (features @ self.clip.text_features(texts).T).argmax(dim=1)

    def _colours(self, features: Tensor, description: Description) -> Tensor:
        slots = [
            self._colour(features, description, slot) for slot in range(len(description.colours))
        ]
        if (other := description.other) is not None:
            for slot in range(len(other.colours)):
                place = [replace(description, other=d) for d in _recoloured(other, slot)]
                slots.append(self._is_first(features, place))
        return torch.stack(slots).mean(0) if slots else torch.full((len(features),), torch.nan)

    def _colour(self, features: Tensor, description: Description, slot: int) -> Tensor:
        return self._is_first(features, _recoloured(description, slot))

    def _pattern(self, features: Tensor, description: Description) -> Tensor:
        others = [word for word in ("", *PATTERNS) if word != description.pattern]
        changed = [replace(description, pattern=word) for word in others]
        return self._is_first(features, [description, *changed])

    def _is_first(self, features: Tensor, candidates: Sequence[Description]) -> Tensor:
        """1 where the first of the candidates scores highest, ``[B]``."""
        return (self._best(features, [caption(d) for d in candidates]) == 0).double()

    def _views(self, pictures: Tensor, description: Description, views: Views | None) -> Tensor:
        if views is None or not KINDS[description.kind].has_front:
            return torch.full((len(pictures),), torch.nan, dtype=torch.float64)
        angles = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(), strict=True)
        truth = torch.tensor([VIEWS.index(view_word(*pair)) for pair in angles])
        return (self.view_probabilities(pictures).argmax(dim=1) == truth).double()


def distractors(prompt: str, count: int = 99) -> list[str]:
    """Other prompts, the same for every asker: evenly spread over all descriptions.

    They tell as much as the prompt does: as many colours, a pattern, a material or a size where it
    has one, two objects where it has two. A picture of a mug is best described by a prompt that
    names its colours, so one that names none would lose against those that name two.

    Args:
        prompt: is left out.
        count: how many; fewer where there are not so many, as without colours.
    """
    told = parse(prompt)
    firsts = _spread(told, count + 1)
    if told.other is not None:
        seconds = _spread(told.other, 3 * count)
        if told.relation == "on":
            seconds = [d for d in seconds if d.kind in FLAT]
        firsts = [
            replace(d, relation=told.relation, other=seconds[(i * 7) % len(seconds)])
            for i, d in enumerate(firsts)
        ]
    return [text for d in firsts if (text := caption(d)) != caption(told)][:count]


def _spread(told: Description, count: int) -> list[Description]:
    """Descriptions of single objects that tell as much as ``told`` does."""
    named = len(told.colours)
    # One colour on a kind with two slots is no full description, so duplicates arise.
    every = list(dict.fromkeys(replace(d, colours=d.colours[:named]) for d in descriptions()))
    # A stride near the golden section, without a common factor with the list's length, visits kinds
    # and colours evenly.
    golden = round(0.618 * len(every))
    stride = next(s for s in range(golden, 2 * len(every)) if math.gcd(s, len(every)) == 1)
    chosen = [every[(i * stride) % len(every)] for i in range(min(count, len(every)))]
    tables = {"pattern": PATTERNS, "material": MATERIALS, "size": SIZES}
    words = {name: list(table) for name, table in tables.items() if getattr(told, name)}
    return [
        replace(d, **{name: own[i % len(own)] for name, own in words.items()})
        for i, d in enumerate(chosen)
    ]


def _recoloured(description: Description, slot: int) -> list[Description]:
    """``description`` itself, then with every colour that it has not in one of its slots."""
    colours = description.colours
    others = [word for word in COLOURS if word not in colours]
    changed = [(*colours[:slot], word, *colours[slot + 1 :]) for word in others]
    return [description, *(replace(description, colours=pair) for pair in changed)]


def true_pictures(description: Description, views: Views, variation: int = 0) -> Tensor:
    """Exact pictures ``[B, H, W, 3]`` in [0, 1] of an object, on its clear background.

    Args:
        description: of the object.
        views: the cameras.
        variation: selects the object's proportions.
    """
    background = clear_background(description.colour_words)
    cameras = zip(
        views.azimuth_deg.tolist(),
        views.elevation_deg.tolist(),
        views.distance.tolist(),
        views.fov_y_deg.tolist(),
        strict=True,
    )
    pictures = [
        true_picture(
            *(description, azimuth, elevation, views.width, background),
            distance=distance,
            fov_y_deg=fov,
            variation=variation,
        )
        for azimuth, elevation, distance, fov in cameras
    ]
    return torch.stack([torch.from_numpy(picture) for picture in pictures]).float() / 255


def _kind_for(description: Description, kind: str) -> Description:
    """The same on another kind; a kind with one slot takes the first colour."""
    return replace(description, kind=kind, colours=description.colours[: KINDS[kind].slots])
