"""Score distillation sampling: move a picture to where the prior would denoise it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["SDS"]


@dataclass(frozen=True)
class SDS(Objective):
    """``g = w(t) [eps_cfg(x_t, t) - eps]``, ``x_t = alpha x + sigma eps``.

    Poole et al. 2023, DreamFusion, equation 3. Their guidance weight 100 is a scale of 101 here
    (see ``guidance.py``).
    """

    guidance_scale: Number = 100.0
    """Classifier-free guidance, diffusers form."""
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
        noise = random.normal("noise", latent)
        noised = prior.schedule.add_noise(latent, noise, t)
        eps = guided(prior, noised, t, words, number(self.guidance_scale))
        return Guidance.of(weight_at(self.weight, prior.schedule, t, latent) * (eps - noise))
