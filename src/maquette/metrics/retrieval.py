"""CLIP R-Precision: of a list of prompts, is the true one the nearest to the picture?

Park et al. 2021 brought R-Precision to text-to-image, Jain et al. 2022 (Dream Fields) to 3D, with
153 captions of single objects and an encoder other than the one that was optimised with;
DreamFusion (Poole et al. 2022, table 1) took that over, for the colour and for the bare shape.
A plain cosine is sometimes printed under this name; here something is retrieved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from maquette.errors import InputError

__all__ = ["Encoder", "Retrieval", "r_precision"]


class Encoder(Protocol):
    """What retrieval asks of a model, as ``maquette.metrics.clip.Clip`` has it."""

    def picture_features(self, pictures: Tensor) -> Tensor:
        """Unit vectors ``[B, E]`` of pictures ``[B, H, W, 3]`` in [0, 1]."""
        ...

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, one row per text."""
        ...


@dataclass(frozen=True)
class Retrieval:
    """At which place of the list the true prompt was found, for each view."""

    rank: Tensor
    """Whole numbers ``[B]``, 1 where no other prompt is as near as the true one."""

    @property
    def right(self) -> Tensor:
        """``[B]``, true where the true prompt was retrieved."""
        return self.rank == 1

    @property
    def mean(self) -> float:
        """The share of views in which it was: what papers call R-Precision."""
        return self.right.double().mean().item()

    @property
    def any_view(self) -> bool:
        """Whether it was in at least one view."""
        return bool(self.right.any())

    @property
    def all_views(self) -> bool:
        """Whether it was in every view."""
        return bool(self.right.all())


def r_precision(clip: Encoder, pictures: Tensor, prompt: str, prompts: Sequence[str]) -> Retrieval:
    """Rank the true prompt among a list, by the cosine with each picture alone.

    The number depends on the list and on its length: state both. A prompt that is as near as the
    true one counts as nearer, so that an encoder that tells nothing apart retrieves nothing.

    Args:
        clip: of pictures and texts.
        pictures: ``[B, H, W, 3]`` in [0, 1], of the asset that was made from ``prompt``.
        prompt: the true one.
        prompts: the list; ``prompt`` may be in it or not, and entries that differ from it or from
            each other only in case, or in full stops, commas and blanks at either end, count once.

    Raises:
        InputError: there are no pictures, or the list holds no other prompt.
    """
    if len(pictures) == 0:
        raise InputError("There are no pictures to retrieve a prompt for")
    others = {_plain(text): text for text in reversed(prompts)}
    others.pop(_plain(prompt), None)
    if not others:
        raise InputError(
            "The list of prompts holds none but the true one", "Give the prompts of a whole list"
        )
    seen = clip.picture_features(pictures)
    read = clip.text_features([prompt, *others.values()]).to(seen)
    cosine = seen @ read.T
    return Retrieval(1 + (cosine[:, 1:] >= cosine[:, :1]).sum(dim=1))


def _plain(text: str) -> str:
    """As Dream Fields makes its captions alike."""
    return text.lower().strip(" .,")
