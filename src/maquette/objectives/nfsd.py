"""Noise-free score distillation: the unconditional prediction without its noise, plus the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import ask
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["NFSD"]


@dataclass(frozen=True)
class NFSD(Objective):
    """``g = w(t) (delta_D + scale delta_C)``, ``x_t = alpha x + sigma noise``.

    Katzir et al. 2024, Noise-Free Score Distillation. ``delta_C = eps(text) -
    eps(null)`` points along the text. ``delta_D`` points to the data: ``eps(null)`` while t is so
    small that it holds next to no noise, else ``eps(null) - eps(negative)``, where the negative
    prompt stands for what is out of distribution. So the coefficients sum to zero from
    ``switch_t`` on and to one below it. Without a negative prompt only ``delta_C`` is left above.
    No public code exists: this is the paper's form.
    """

    guidance_scale: Number = 7.5
    """Factor of ``delta_C``."""
    switch_t: Number = 200.0
    """First timestep at which the negative prompt is subtracted."""
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
        eps_null, eps_negative, eps_text = ask(
            prior, noised, t, words.null, words.negative, words.positive
        )
        is_low = (t < number(self.switch_t)).to(latent.device).reshape(-1, 1, 1, 1)
        delta_data = torch.where(is_low, eps_null, eps_null - eps_negative)
        delta_text = eps_text - eps_null
        weight = weight_at(self.weight, prior.schedule, t, latent)
        return Guidance.of(weight * (delta_data + number(self.guidance_scale) * delta_text))
