"""Classifier score distillation: follow the text alone, without the prior's pull to the mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import ends
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["CSD"]


@dataclass(frozen=True)
class CSD(Objective):
    """``g = w(t) [eps(x_t, t, y) - eps(x_t, t, base)]``, ``x_t = alpha x + sigma eps``.

    Yu et al. 2023, Text-to-3D with Classifier Score Distillation: the part of SDS that guidance
    multiplies. The coefficients sum to zero, so equal predictions give no gradient at all;
    with priors of equal covariance there is no fixed point either, only a direction.
    """

    weight: Weight = "sigma_squared"
    """w(t), by name."""

    def gradient(
        self,
        prior: Prior,
        latent: Tensor,
        t: Tensor,
        words: Words,
        state: Mapping[str, Tensor],
        random: Randomness,
    ) -> Guidance:
        noised = prior.schedule.add_noise(latent, random.normal("noise", latent), t)
        eps_base, eps_text = ends(prior, noised, t, words)
        weight = weight_at(self.weight, prior.schedule, t, latent)
        return Guidance.of(weight * (eps_text - eps_base))
