"""Guidance: the one place where predictions are combined.

The form is that of diffusers, ``eps_base + scale (eps_text - eps_base)``: scale 0 is the base and
scale 1 the text. DreamFusion and threestudio write ``eps_text + s (eps_text - eps_base)``, which is
this form with ``scale = s + 1``. The base is the negative prompt, which is the empty prompt where
none was given.

Two variants change what is combined. Perp-Neg moves the text's end of the line away from other
texts, and rescaling brings the result back to the spread of a prediction. Both are asked for by
the words of a step, not by an objective and not by a prior: a prior sees single predictions, which
is too early, and an option of each objective would repeat them in every formula. So an objective
that calls ``guided`` rides any variant as it stands, and the scale keeps its meaning under all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maquette.priors.base import Prior
from maquette.projections import perpendicular
from maquette.records import Condition, Words

__all__ = [
    "ask",
    "classifier_free",
    "ends",
    "guided",
    "perpendicular",
    "rescaled",
    "steered",
]


def classifier_free(eps_base: Tensor, eps_text: Tensor, scale: float) -> Tensor:
    """``eps_base + scale (eps_text - eps_base)`` (Ho and Salimans 2022, as in diffusers)."""
    return eps_base + scale * (eps_text - eps_base)


def ask(prior: Prior, noised: Tensor, t: Tensor, *conditions: Condition) -> tuple[Tensor, ...]:
    """One prediction ``[B, C, h, w]`` per condition, all evaluated in one batch."""
    return prior.predict(noised, t, conditions).unbind(0)


def guided(prior: Prior, noised: Tensor, t: Tensor, words: Words, scale: float) -> Tensor:
    """The guided prediction ``[B, C, h, w]`` for the prompt against the negative prompt."""
    eps_base, eps_text, eps_aim = _answers(prior, noised, t, words)
    return rescaled(classifier_free(eps_base, eps_aim, scale), eps_text, words.rescale)


def ends(prior: Prior, noised: Tensor, t: Tensor, words: Words) -> tuple[Tensor, Tensor]:
    """The two ends of guidance, base and text, the latter steered away from ``words.against``.

    For objectives that use their difference alone (CSD).
    """
    eps_base, _, eps_aim = _answers(prior, noised, t, words)
    return eps_base, eps_aim


def steered(eps_base: Tensor, eps_text: Tensor, against: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The text's prediction moved off other texts, ``[B, C, h, w]``.

    ``eps_text + sum_i w_i perpendicular(d_i, d)`` with ``d = eps_text - eps_base`` and ``d_i =
    eps_i - eps_base``: Armandpour et al. 2023, Re-imagine the Negative Prompt Algorithm (Perp-Neg).
    What another text shares with the prompt is left in place, and only what is at right angles to
    it is pushed off.

    Args:
        eps_base: the prediction that guidance starts from.
        eps_text: the prompt's prediction.
        against: predictions of other texts with their weights ``[B]``, below 0 to push off.
    """
    along = eps_text - eps_base
    aim = eps_text
    for eps, weight in against:
        factor = weight.to(eps).reshape(-1, *[1] * (eps.dim() - 1))
        aim = aim + factor * perpendicular(eps - eps_base, along)
    return aim


def rescaled(eps: Tensor, eps_text: Tensor, share: float) -> Tensor:
    """``share (std(eps_text) / std(eps)) eps + (1 - share) eps``, the deviations row by row.

    Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed, section 3.4: a
    large scale widens the guided prediction, which over-exposes pictures. The paper suggests 0.7
    for sampling. The paper rescales what the network gives; here that is eps for all priors.
    """
    if share == 0:
        return eps
    wide, own = _deviation(eps), _deviation(eps_text)
    # A prediction without any spread has nothing that could be rescaled.
    ratio = torch.where(wide > 0, own / wide.masked_fill(wide == 0, 1), 1)
    return share * ratio * eps + (1 - share) * eps


def _answers(
    prior: Prior, noised: Tensor, t: Tensor, words: Words
) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions of the base, of the text, and of the text steered away from others."""
    # A text that no view has to keep away from is not asked about.
    against = [other for other in words.against if bool(other.weight.any())]
    eps_base, eps_text, *others = ask(
        prior, noised, t, words.negative, words.positive, *(other.condition for other in against)
    )
    weights = [other.weight for other in against]
    return eps_base, eps_text, steered(eps_base, eps_text, list(zip(others, weights, strict=True)))


def _deviation(rows: Tensor) -> Tensor:
    """Standard deviations of rows, shaped ``[B, 1, ...]``."""
    return rows.flatten(1).std(1, correction=0).reshape(-1, *[1] * (rows.dim() - 1))
