"""The judge of the toy world: is it the right thing, in the right colours, seen from where it says?

A small CLIP and a view classifier, trained on other worlds than the prior and on disturbed
pictures. Accuracies are taken per picture: of 100 prompts the right one, of all kinds the right
one, and for each colour slot the right one of twelve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.camera import view_word
from maquette.metrics.clip import Clip, clip_score, prepare
from maquette.priors.embedded import check_files
from maquette.priors.loading import load_module
from maquette.records import Views
from maquette.toybox.captions import VIEWS, VOCABULARY, Description, caption, descriptions, parse
from maquette.toybox.colours import COLOURS, clear_background
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import true_picture

__all__ = ["Judge", "Verdict", "distractors", "true_pictures"]


@dataclass(frozen=True)
class Verdict:
    """What the judge says of pictures of one prompt; every tensor is ``[B]``.

    Attributes:
        prompt_right: 1 where the right one of the candidate prompts scores highest.
        kind_right: 1 where the right kind does, the colours given.
        colour_right: share of the colour slots that are right, the kind given.
        clip_score: 100 times the cosine with the prompt.
        view_right: 1 where the view word is right; NaN for objects without a front.
    """

    prompt_right: Tensor
    kind_right: Tensor
    colour_right: Tensor
    clip_score: Tensor
    view_right: Tensor


class Judge:
    """The embedded CLIP and view classifier.

    Args:
        clip: knows pictures and captions.
        views: a transformers ``ConvNextForImageClassification`` over the four view words.
        words: all that the judge has ever read.
    """

    def __init__(self, clip: Clip, views: Any, words: Sequence[str] = VOCABULARY) -> None:
        self.clip, self.views = clip, views.eval().requires_grad_(False)
        self.words = tuple(words)

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
        return Judge(Clip.load(folder / "clip"), views, card["words"])

    def verdict(
        self, pictures: Tensor, description: Description, views: Views | None = None
    ) -> Verdict:
        """Judge pictures that should all show ``description``.

        Args:
            pictures: ``[B, H, W, 3]`` in [0, 1].
            description: what they should show.
            views: from where; without them no view is judged.
        """
        features = self.clip.picture_features(pictures)
        prompt = caption(description)
        right = self._best(features, [prompt, *distractors(prompt)]) == 0
        kinds = [_kind_for(description, name) for name in KINDS]
        kind = self._best(features, [caption(d) for d in kinds])
        kind_right = torch.tensor([kinds[i].kind == description.kind for i in kind.tolist()])
        return Verdict(
            right.double(),
            kind_right.double(),
            self._colours(features, description),
            clip_score(self.clip, pictures, prompt).double(),
            self._views(pictures, description, views),
        )

    @torch.no_grad()
    def view_probabilities(self, pictures: Tensor) -> Tensor:
        """``[B, 4]`` probabilities of front, side, back and overhead."""
        preparation = self.clip.preparation
        side = self.views.config.image_size
        return self.views(pixel_values=prepare(pictures, preparation, side)).logits.softmax(-1)

    def _best(self, features: Tensor, texts: Sequence[str]) -> Tensor:
        return (features @ self.clip.text_features(texts).T).argmax(dim=1)

    def _colours(self, features: Tensor, description: Description) -> Tensor:
        slots = []
        for slot, truth in enumerate(description.colours):
            others = [c for c in COLOURS if c not in description.colours or c == truth]
            texts = []
            for colour in others:
                colours = list(description.colours)
                colours[slot] = colour
                texts.append(caption(replace(description, colours=tuple(colours))))
            slots.append((self._best(features, texts) == others.index(truth)).double())
        return torch.stack(slots).mean(0) if slots else torch.full((len(features),), torch.nan)

    def _views(self, pictures: Tensor, description: Description, views: Views | None) -> Tensor:
        if views is None or not KINDS[description.kind].has_front:
            return torch.full((len(pictures),), torch.nan, dtype=torch.float64)
        angles = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(), strict=True)
        truth = torch.tensor([VIEWS.index(view_word(*pair)) for pair in angles])
        return (self.view_probabilities(pictures).argmax(dim=1) == truth).double()


def distractors(prompt: str, count: int = 99) -> list[str]:
    """Other prompts, the same for every asker: evenly spread over all descriptions.

    They name as many colours as the prompt does. A picture of a mug is best described by one that
    names its colours, so a prompt that names none would lose against those that name two.

    Args:
        prompt: is left out.
        count: how many; fewer where there are not so many, as without colours.
    """
    named = len(parse(prompt).colours)
    # One colour on a kind with two slots is no full description, so duplicates arise.
    every = list(
        dict.fromkeys(caption(replace(d, colours=d.colours[:named])) for d in descriptions())
    )
    # A stride without a common factor with the list's length visits kinds and colours evenly.
    chosen = [every[(i * 1877) % len(every)] for i in range(min(count + 1, len(every)))]
    return [text for text in chosen if text != prompt][:count]


def true_pictures(description: Description, views: Views, variation: int = 0) -> Tensor:
    """Exact pictures ``[B, H, W, 3]`` in [0, 1] of an object, on its clear background.

    Args:
        description: of the object.
        views: the cameras.
        variation: selects the object's proportions.
    """
    background = clear_background(description.colours)
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
    """The same colours on another kind; a kind with one slot takes the first."""
    return Description(kind, description.colours[: KINDS[kind].slots])
