"""Interval score matching: compare two neighbouring points of one inverted path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.inversion import Convention, interval
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["ISM"]


@dataclass(frozen=True)
class ISM(Objective):
    """``g = lambda w(t) [eps_cfg(x_t, t) - eps(x_s, s, null)]``, ``s = t - delta_t``.

    Liang et al. 2024, LucidDreamer, section 3.2. ``x_s`` is inverted from the picture, and ``x_t``
    is one DDIM step further with ``eps(x_s, s, null)``, which is also the target. Inversion and
    target use the empty prompt, guidance the negative one (the same where none was given). ``s`` is
    held at the lowest level of the schedule, because no prediction exists for the clean latent.
    """

    guidance_scale: Number = 7.5
    """Classifier-free guidance, diffusers form."""
    delta_t: Number = 80.0
    """Length of the interval in timesteps."""
    stride: int = 200
    """Longest DDIM step of the inversion in timesteps."""
    weight: Weight = "rho"
    """w(t), by name."""
    strength: Number = 0.1
    """lambda, a constant factor."""
    convention: Convention = "paper"
    """Start of the inversion: the clean latent, or a slightly noised one as in the public code."""

    def gradient(
        self,
        prior: Prior,
        latent: Tensor,
        t: Tensor,
        words: Words,
        state: Mapping[str, Tensor],
        random: Randomness,
    ) -> Guidance:
        path = interval(
            *(prior, latent, t, round(number(self.delta_t)), words.null, random),
            stride=self.stride,
            convention=self.convention,
        )
        eps_t = guided(prior, path.x_t, t, words, number(self.guidance_scale))
        weight = number(self.strength) * weight_at(self.weight, prior.schedule, t, latent)
        return Guidance.of(weight * (eps_t - path.eps_s))
