"""Prompts that know where the camera stands, and the words of one step.

DreamFusion section 3.4: append "front view", "side view", "back view" or "overhead view" to the
prompt by the direction of each camera, and the prior draws each side as what it is. A prompting
says how: a word for each sector of directions, or embeddings that are mixed by the azimuth. Around
either goes what changes guidance in a whole step: other sides to keep away from (Perp-Neg), and
rescaling. These travel with the words, so objectives need not know of them (see ``guidance.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from maquette.camera import view_word
from maquette.errors import InputError
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.records import Against, Condition, Views, Words

__all__ = [
    "Bare",
    "Interpolated",
    "PerpNeg",
    "Prompting",
    "Rescaled",
    "Sectors",
    "perp_neg_weights",
    "view_texts",
    "without_sides",
    "words_for",
]

OVERHEAD_ABOVE_DEG = 50.0
NEVER_OVERHEAD_DEG = 90.0

Weights = Literal["lucid_dreamer", "threestudio"]
"""Whose weights Perp-Neg takes; stable-dreamfusion and HiFA have LucidDreamer's."""


class Prompting(ABC):
    """How a prompt becomes the words of a step; a frozen dataclass, its own configuration."""

    @abstractmethod
    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        """The conditions that an objective may ask about, one row per view.

        An empty prompt gets no view word, and a negative prompt stands for itself.

        Raises:
            InputError: the prior does not know a word.
        """


@dataclass(frozen=True)
class Sectors(Prompting):
    """One view word for each sector of directions, switched hard (DreamFusion, threestudio).

    Front lies within 45 degrees of azimuth 0 and back beyond 135.
    """

    overhead_above_deg: float = OVERHEAD_ABOVE_DEG
    """Elevation in degrees above which the word is overhead; threestudio's is 60."""

    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        texts = view_texts(prompt, views, self.overhead_above_deg)
        return _words(prior, prior.condition(texts, views), negative_prompt, views)


@dataclass(frozen=True)
class Bare(Prompting):
    """The prompt as it stands, wherever the camera: for pictures, which have no sides."""

    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        positive = prior.condition([prompt] * len(views), views)
        return _words(prior, positive, negative_prompt, views)


@dataclass(frozen=True)
class Interpolated(Prompting):
    """Embeddings mixed by the azimuth, so that no word switches (LucidDreamer, threestudio).

    With ``a`` the degrees off the front: ``r front + (1 - r) side`` for ``a < 90``, ``r = 1 - a /
    90``, and ``r side + (1 - r) back`` beyond, ``r = 2 - a / 90``.
    """

    overhead_above_deg: float = NEVER_OVERHEAD_DEG
    """Elevation in degrees above which the word is overhead, unmixed; 90 is never, as in
    LucidDreamer, and threestudio's is 60."""

    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        off_deg = _off_front_deg(views.azimuth_deg)
        angles = zip(off_deg.tolist(), views.elevation_deg.tolist(), strict=True)
        near, far = zip(*(self._neighbours(*pair) for pair in angles), strict=True)
        start, end = (prior.condition(_texts(prompt, side), views) for side in (near, far))
        return _words(prior, _mixed(start, end, _nearness(off_deg)), negative_prompt, views)

    def _neighbours(self, off_front_deg: float, elevation_deg: float) -> tuple[str, str]:
        """The two view words that a direction lies between, the one nearer to the front first."""
        if elevation_deg > self.overhead_above_deg:
            return "overhead", "overhead"
        return ("front", "side") if off_front_deg < 90 else ("side", "back")


@dataclass(frozen=True)
class PerpNeg(Prompting):
    """Keep each view away from what another side would show, at right angles to its own text.

    Armandpour et al. 2023, Re-imagine the Negative Prompt Algorithm: texts of the front and of the
    side are pushed off by :func:`perp_neg_weights`, which asks the prior for up to two predictions
    more. Guidance combines them (``guidance.steered``).
    """

    prompting: Prompting = Interpolated()
    """What the positive words are."""
    weights: Weights = "lucid_dreamer"
    """Whose weights."""
    strength: Number = 1.0
    """Factor on all weights; ScaleDreamer halves them."""
    overhead_above_deg: float = NEVER_OVERHEAD_DEG
    """Elevation in degrees above which nothing is pushed off; 90 is never, as in LucidDreamer, and
    threestudio's is 60."""

    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        words = self.prompting.words(prior, prompt, negative_prompt, views)
        weights = number(self.strength) * perp_neg_weights(views.azimuth_deg, self.weights)
        weights = weights * (views.elevation_deg <= self.overhead_above_deg)
        against = [
            Against(prior.condition(_texts(prompt, [word] * len(views)), views), weight)
            for word, weight in zip(("front", "side"), weights, strict=True)
        ]
        return replace(words, against=(*words.against, *against))


@dataclass(frozen=True)
class Rescaled(Prompting):
    """Bring guided predictions back to the spread of the text's own (``guidance.rescaled``).

    Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed, section 3.4.
    """

    prompting: Prompting = Sectors()
    """What the words are."""
    share: Number = 0.7
    """The paper's phi in [0, 1]; 0 changes nothing, and PGC's option is 0.5."""

    def words(self, prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
        share = number(self.share)
        if not 0.0 <= share <= 1.0:
            raise InputError(
                f"Guidance cannot be rescaled by a share of {share}", "Give one inside [0, 1]"
            )
        words = self.prompting.words(prior, prompt, negative_prompt, views)
        return replace(words, rescale=share)


def perp_neg_weights(azimuth_deg: Tensor, weights: Weights = "lucid_dreamer") -> Tensor:
    """How much a view is pushed off the texts of front and side: ``[2, B]`` float64, 0 or below.

    With ``r`` as in :class:`Interpolated`, 1 at the nearer of two neighbouring words::

        lucid_dreamer   front                          side
        ahead           0 if r > 0.8 else -2 e^(-2r)   0 if r < 0.2 else -2 e^(-10 (1 - r))
        behind          -2                             0 if r > 0.8 else -e^(-10 r)

        threestudio     front                          side
        ahead           2.426 - 4 e^(-r/2)             2.426 - 4 e^(-(1 - r)/2)
        behind          -0.967 - e^(-r/2)              0.606 - e^(-r/2)

    Args:
        azimuth_deg: ``[B]`` degrees; ahead is within 90 of the front.
        weights: whose table. LucidDreamer's code also leaves out sizes up to 1e-4, which its table
            never gives.

    Raises:
        InputError: for an unknown table.
    """
    off_deg = _off_front_deg(azimuth_deg)
    r, is_ahead = _nearness(off_deg), off_deg < 90
    if weights == "lucid_dreamer":
        front = torch.where(is_ahead, -2 * (-2 * r).exp() * (r <= 0.8), -2.0)
        side = torch.where(
            is_ahead, -2 * (-10 * (1 - r)).exp() * (r >= 0.2), -(-10 * r).exp() * (r <= 0.8)
        )
    elif weights == "threestudio":
        front = torch.where(is_ahead, 2.426 - 4 * (-r / 2).exp(), -0.967 - (-r / 2).exp())
        side = torch.where(is_ahead, 2.426 - 4 * (-(1 - r) / 2).exp(), 0.606 - (-r / 2).exp())
    else:
        raise InputError(
            f"Perp-Neg has no weights {weights!r}", "Choose lucid_dreamer or threestudio"
        )
    return torch.stack([front, side])


def view_texts(
    prompt: str, views: Views, overhead_above_deg: float = OVERHEAD_ABOVE_DEG
) -> list[str]:
    """One text per view: the prompt with its view word; an empty prompt stays empty."""
    angles = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(), strict=True)
    return _texts(
        prompt,
        [view_word(*pair, overhead_above_deg=overhead_above_deg) for pair in angles],
    )


def words_for(prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
    """The words of a step as :class:`Sectors` makes them."""
    return Sectors().words(prior, prompt, negative_prompt, views)


def without_sides(prompting: Prompting) -> Prompting:
    """``prompting`` for one picture: view words and Perp-Neg go, rescaling stays."""
    if isinstance(prompting, Rescaled):
        return replace(prompting, prompting=without_sides(prompting.prompting))
    if isinstance(prompting, PerpNeg):
        return without_sides(prompting.prompting)
    return Bare()


def _words(prior: Prior, positive: Condition, negative_prompt: str, views: Views) -> Words:
    null = prior.condition([""] * len(views), views)
    negative = prior.condition([negative_prompt] * len(views), views) if negative_prompt else null
    return Words(positive, negative, null, views=views)


def _texts(prompt: str, view_words: Sequence[str]) -> list[str]:
    return [f"{prompt}, {word} view" if prompt else "" for word in view_words]


def _off_front_deg(azimuth_deg: Tensor) -> Tensor:
    """Degrees off the front, ``[B]`` float64 in [0, 180], whatever full turns are added."""
    return ((azimuth_deg.double() + 180) % 360 - 180).abs()


def _nearness(off_front_deg: Tensor) -> Tensor:
    """1 at the front and falling to 0 at the side; there 1 again, and falling to 0 at the back."""
    turn = off_front_deg / 90
    return torch.where(turn < 1, 1 - turn, 2 - turn)


def _mixed(start: Condition, end: Condition, share: Tensor) -> Condition:
    """``share start + (1 - share) end``, row by row, of both forms of a condition."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        part = share.to(a).reshape(-1, *[1] * (a.dim() - 1))
        return part * a + (1 - part) * b

    pooled = None
    if start.pooled is not None and end.pooled is not None:
        pooled = mix(start.pooled, end.pooled)
    return Condition(mix(start.embedding, end.embedding), pooled)
