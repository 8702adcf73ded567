"""Asynchronous score distillation: the prior at a later timestep stands for the render's score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import ask, guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["ASD"]


@dataclass(frozen=True)
class ASD(Objective):
    """``g = w(t) [eps_cfg(x_t, t) - eps(x_t', t', text)]``, ``t' = t + ratio u (t - t_min)``.

    Ma et al. 2024, ScaleDreamer. Both points have the same noise, u is uniform in [0, 1) for each
    view, and the target has no guidance. ``t'`` is held below the schedule's end and never falls
    below ``t``.

    For a Gaussian of variance c the mean of ``g`` points to its mean only where ``rho_t rho_t'``
    exceeds c, with ``rho = sigma / alpha``; at less noise it points away from it.
    """

    guidance_scale: Number = 7.5
    """Classifier-free guidance at t, diffusers form."""
    ratio: Number = 0.1
    """Longest shift, as a share of the way from ``t_min`` to t."""
    low: Number = 0.02
    """``t_min`` as a fraction of the schedule: the lowest timestep that the sampler draws."""
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
        schedule, noise = prior.schedule, random.normal("noise", latent)
        eps_t = guided(
            prior, schedule.add_noise(latent, noise, t), t, words, number(self.guidance_scale)
        )
        later = self._later(t, len(schedule), random)
        (eps_later,) = ask(prior, schedule.add_noise(latent, noise, later), later, words.positive)
        return Guidance.of(weight_at(self.weight, schedule, t, latent) * (eps_t - eps_later))

    def _later(self, t: Tensor, steps: int, random: Randomness) -> Tensor:
        """``t'`` ``[B]``, whole timesteps."""
        u = random.uniform("shift", len(t)).to(t.device)
        shift = number(self.ratio) * u * (t - int(number(self.low) * steps))
        return torch.clamp(t + shift.clamp(min=0).to(t.dtype), max=steps - 1)
