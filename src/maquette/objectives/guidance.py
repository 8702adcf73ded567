"""Classifier-free guidance: the one place where predictions are combined.

The form is that of diffusers, ``eps_base + scale (eps_text - eps_base)``: scale 0 is the base and
scale 1 the text. DreamFusion and threestudio write ``eps_text + s (eps_text - eps_base)``, which is
this form with ``scale = s + 1``. The base is the negative prompt, which is the empty prompt where
none was given.
"""

from __future__ import annotations

from torch import Tensor

from maquette.priors.base import Prior
from maquette.records import Condition, Words

__all__ = ["ask", "classifier_free", "guided", "rows_of"]


def classifier_free(eps_base: Tensor, eps_text: Tensor, scale: float) -> Tensor:
    """``eps_base + scale (eps_text - eps_base)`` (Ho and Salimans 2022, as in diffusers)."""
    return eps_base + scale * (eps_text - eps_base)


def ask(prior: Prior, noised: Tensor, t: Tensor, *conditions: Condition) -> tuple[Tensor, ...]:
    """One prediction ``[B, C, h, w]`` per condition, all evaluated in one batch."""
    return prior.predict(noised, t, conditions).unbind(0)


def guided(prior: Prior, noised: Tensor, t: Tensor, words: Words, scale: float) -> Tensor:
    """The guided prediction ``[B, C, h, w]`` for the prompt against the negative prompt."""
    eps_base, eps_text = ask(prior, noised, t, words.negative, words.positive)
    return classifier_free(eps_base, eps_text, scale)


def rows_of(condition: Condition, rows: Tensor) -> Condition:
    """The condition of some views only; ``rows`` is a mask ``[B]`` or a list of indices."""
    pooled = None if condition.pooled is None else condition.pooled[rows]
    return Condition(condition.embedding[rows], pooled)
