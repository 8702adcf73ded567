"""Balanced score distillation: follow the text only as far as it does not spoil the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import ends
from maquette.objectives.minimum_norm import minimum_norm
from maquette.objectives.weights import weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["BSD", "BootstrappedBSD"]


@dataclass(frozen=True)
class BSD(Objective):
    """``g = sqrt(alpha bar) minimum_norm(lambda [eps(y) - eps(base)], eps(base))`` at ``x_t``.

    Huang et al. 2024, PlacidDreamer, balanced score distillation as in its public code: the
    classifier term and the smoothing term are two aims, and the step is the shortest that serves
    both. Guidance is no fixed factor then: the balance is found anew for each view. The public code
    reads ``lambda`` from its settings and always uses 15; it also adds noise that is constant over
    a channel, as LucidDreamer, which is left out here; and where the two terms are equal it stands
    still, while here the step is that term (``minimum_norm.py``).
    """

    classifier_scale: Number = 15.0
    """lambda, the factor on the classifier term."""

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
        classifier = number(self.classifier_scale) * (eps_text - eps_base)
        alpha_bar = 1 - weight_at("sigma_squared", prior.schedule, t, latent)
        return Guidance.of(alpha_bar.sqrt() * minimum_norm(classifier, eps_base))


@dataclass(frozen=True)
class BootstrappedBSD(Objective):
    """``g = w minimum_norm(eps(y) - eps(base), 1.25 [eps(base) - eps])`` at ``x_t``.

    The ``auto`` variant of PlacidDreamer's public code. The smoothing term is measured against the
    noise that was added, and sets the size of the step: ``w = sqrt(1 - alpha bar) |eps(base) -
    eps| / 50``. The norm is that of each view; the code takes it over the whole batch, which makes
    the steps of B equal views ``sqrt(B)`` times as long and lets one view move another.
    """

    smoothing_scale: Number = 1.25
    """Factor on the smoothing term."""
    strength: Number = 0.02
    """A constant factor; 1/50 in the public code."""

    def gradient(
        self,
        prior: Prior,
        latent: Tensor,
        t: Tensor,
        words: Words,
        state: Mapping[str, Tensor],
        random: Randomness,
    ) -> Guidance:
        noise = random.normal("noise", latent)
        noised = prior.schedule.add_noise(latent, noise, t)
        eps_base, eps_text = ends(prior, noised, t, words)
        residual = eps_base - noise
        point = minimum_norm(eps_text - eps_base, number(self.smoothing_scale) * residual)
        sigma = weight_at("sigma_squared", prior.schedule, t, latent).sqrt()
        size = residual.flatten(1).norm(dim=1).reshape(sigma.shape)
        return Guidance.of(number(self.strength) * sigma * size * point)
