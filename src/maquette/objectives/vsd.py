"""Variational score distillation: the renders' own score, learnt on the way, replaces the noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior, Student
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["VSD"]


@dataclass(frozen=True)
class VSD(Objective):
    """``g = w(t) [eps_cfg(x_t, t) - eps_student(x_t, t)]``, ``x_t = alpha x + sigma eps``.

    Wang et al. 2023, ProlificDreamer, equation 9. The student predicts noise for the law of what
    is rendered, with the prompt and the pose and without guidance. It answers by what it learnt up
    to the step before, and then learns one step from the latents of this one.

    Where the renders follow the prior's law there is no gradient at all, while SDS collapses to its
    mode. A student that knows nothing but the latent itself answers with the noise that was added,
    and this is SDS (``priors/students.py``); one that has learnt nothing answers as the prior does,
    and this is ``scale - 1`` times CSD (``priors/lora.py``).
    """

    student: Student
    """Learns the law of the renders."""
    guidance_scale: Number = 7.5
    """Classifier-free guidance of the prior, diffusers form."""
    weight: Weight = "sigma_squared"
    """w(t), by name."""

    def init(self, prior: Prior) -> dict[str, Tensor]:
        return self.student.init(prior)

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
        eps = guided(prior, noised, t, words, number(self.guidance_scale))
        own = self.student.predict(prior, state, noised, t, words)
        weight = weight_at(self.weight, prior.schedule, t, latent)
        after = self.student.learn(prior, state, latent, words, random)
        return Guidance.of(weight * (eps - own), after)
