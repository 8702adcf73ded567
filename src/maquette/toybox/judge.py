"""The judge of the toy world: is it the right thing, in the right colours, seen from where it says?

A small CLIP and a view classifier, trained on other worlds than the prior and on disturbed pictures.
Accuracies are taken per picture: of 100 prompts the right one, of all kinds the right one, and for
each colour slot the right one of twelve.
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
from maquette.records import Views
from maquette.toybox.captions import VIEWS, Description, caption, descriptions
from maquette.toybox.colours import COLOURS
from maquette.toybox.kinds import KINDS

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
    """The embedded CLIP and view classifier."""

    def __init__(self, clip: Clip, views: Any) -> None:
        self.clip, self.views = clip, views.eval().requires_grad_(False)

    @staticmethod
    def load(folder: Path) -> Judge:
        """Load ``folder/clip`` and ``folder/views``."""
        from transformers import CLIPForImageClassification

        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        views = CLIPForImageClassification.from_pretrained(
            folder / "views", dtype=torch.float32, **options
        )
        return Judge(Clip.load(folder / "clip"), views)

    def verdict(
        self, pictures: Tensor, description: Description, views: Views | None = None
    ) -> Verdict:
        """Judge pictures ``[B, H, W, 3]`` that should all show ``description``."""
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
        side = self.views.config.vision_config.image_size
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

    def _views(
        self, pictures: Tensor, description: Description, views: Views | None
    ) -> Tensor:
        if views is None or not KINDS[description.kind].has_front:
            return torch.full((len(pictures),), torch.nan, dtype=torch.float64)
        angles = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(), strict=True)
        truth = torch.tensor([VIEWS.index(view_word(*pair)) for pair in angles])
        return (self.view_probabilities(pictures).argmax(dim=1) == truth).double()


def distractors(prompt: str, count: int = 99) -> list[str]:
    """``count`` other prompts, the same for every asker: evenly spread over all descriptions."""
    every = [caption(d) for d in descriptions()]
    # A stride without a common factor with the list's length visits kinds and colours evenly.
    chosen = [every[(i * 1877) % len(every)] for i in range(count + 1)]
    return [text for text in chosen if text != prompt][:count]


def true_pictures(description: Description, views: Views, variation: int = 0) -> Tensor:
    """Exact pictures ``[B, H, W, 3]`` of an object from ``views``, on white."""
    from maquette.toybox.world import true_picture

    rows = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(),
               views.distance.tolist(), views.fov_y_deg.tolist(), strict=True)  # fmt: skip
    pictures = [
        true_picture(description, azimuth, elevation, views.width, distance=distance,
                     fov_y_deg=fov, variation=variation)  # fmt: skip
        for azimuth, elevation, distance, fov in rows
    ]
    return torch.stack([torch.from_numpy(picture) for picture in pictures]).float() / 255




def _kind_for(description: Description, kind: str) -> Description:
    """The same colours on another kind; a kind with one slot takes the first."""
    return Description(kind, description.colours[: KINDS[kind].slots])
