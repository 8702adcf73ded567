"""Score Jacobian chaining: the denoiser's answer in coordinates where noise is merely added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["SJC", "Baseline"]

Baseline = Literal["clean", "noised"]
"""``clean``: the picture's latent, which has less variance. ``noised``: the denoiser's own input,
which makes the gradient a score. The mean over the noise is the same."""


@dataclass(frozen=True)
class SJC(Objective):
    """``g = w(t) [baseline - D(z, rho)] / rho``, ``z = x + rho noise``, ``rho = sigma / alpha``.

    Wang et al. 2023, Score Jacobian Chaining: ``-g / rho`` averaged over the noise is
    the score of the noised pictures at ``x``. The factor ``1 / rho`` once, not twice, is that of
    the public code. ``D`` is the guided estimate of the clean latent. With the clean baseline and
    the uniform weight this is SDS with the uniform weight.

    ``gradient`` raises PriorError at a timestep without signal, where rho is infinite.
    """

    guidance_scale: Number = 100.0
    """Classifier-free guidance, diffusers form."""
    baseline: Baseline = "clean"
    """What the denoised latent is compared with."""
    weight: Weight = "uniform"
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
        schedule, rho = prior.schedule, prior.schedule.rho(t, latent)
        noised = schedule.add_noise(latent, random.normal("noise", latent), t)
        eps = guided(prior, noised, t, words, number(self.guidance_scale))
        denoised = schedule.clean_from_eps(noised, eps, t)
        z = noised / schedule.alpha(t, latent)
        baseline = {"clean": latent, "noised": z}[self.baseline]
        weight = weight_at(self.weight, schedule, t, latent)
        return Guidance.of(weight * (baseline - denoised) / rho)
