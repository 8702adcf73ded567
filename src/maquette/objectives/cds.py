"""Consistency distillation sampling: two neighbouring points of one deterministic path agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from maquette.errors import InputError
from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, linear, number
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["CDS"]


@dataclass(frozen=True)
class CDS(Objective):
    """``g = w(t) rho_n [eps_cfg(x_t, t) - eps_cfg(x_n, n)]``, ``n = t - delta_t``.

    Wu et al. 2024, Consistent3D. ``x_t = alpha x + sigma noise`` with a noise that never changes in
    a run, and ``x_n`` is one DDIM step down from it with ``eps_cfg(x_t, t)``. So ``g`` is also
    ``w(t) [D(x_n, n) - D(x_t, t)]``, where ``D`` estimates the clean latent: the paper compares
    those. The public code leaves out ``rho_n = sigma / alpha``.

    Beware of the sign. Pulling ``D(x_t, t)`` to ``D(x_n, n)``, as a consistency loss reads, would
    descend on ``-g``, which leads away from the mean of a Gaussian. The public code does build
    ``-g``, but adds it to the target of a square loss.

    One noise fixes one path: a picture goes to ``mu - rho_t noise`` and reaches the mode ``mu``
    only if t falls to zero along the run. For a law that is a point there is no gradient at all.

    ``gradient`` raises PriorError at a timestep without signal, from which no step leads down, and
    InputError for an interval that is none.
    """

    guidance_scale: Number = linear(101.0, 51.0)
    """Classifier-free guidance at both levels, diffusers form (the source's 100 to 50)."""
    delta_t: tuple[Number, Number] = (100.0, 300.0)
    """Bounds of the interval in timesteps, drawn for each view; the upper one is not reached."""
    weight: Weight = "uniform"
    """w(t), by name."""
    convention: Literal["paper", "code"] = "paper"
    """``paper``: the formula above, t from the sampler, a noise for each view of the batch.
    ``code``: without ``rho_n``, n from the sampler and t above it, one noise for all views."""

    def gradient(
        self,
        prior: Prior,
        latent: Tensor,
        t: Tensor,
        words: Words,
        state: Mapping[str, Tensor],
        random: Randomness,
    ) -> Guidance:
        schedule, scale = prior.schedule, number(self.guidance_scale)
        t, n = self._levels(t, len(schedule), random)
        schedule.rho(t, latent)  # Refuses a level without signal before the step divides by it.
        x_t = schedule.add_noise(latent, self._noise(latent, random), t)
        eps_t = guided(prior, x_t, t, words, scale)
        x_n = schedule.ddim_step(x_t, eps_t, t, n)
        difference = eps_t - guided(prior, x_n, n, words, scale)
        if self.convention == "paper":
            difference = schedule.rho(n, latent) * difference
        return Guidance.of(weight_at(self.weight, schedule, t, latent) * difference)

    def _levels(self, given: Tensor, steps: int, random: Randomness) -> tuple[Tensor, Tensor]:
        """The noisier and the cleaner timestep ``[B]``."""
        low, high = (number(bound) for bound in self.delta_t)
        if not 0 <= low <= high:
            raise InputError(f"An interval must satisfy 0 <= low <= high: {low}, {high}")
        u = random.uniform("interval", len(given)).to(given.device)
        delta = (low + u * (high - low)).to(given.dtype)
        if self.convention == "code":
            return (given + delta).clamp(max=steps - 1), given
        return given, (given - delta).clamp(min=0)

    def _noise(self, latent: Tensor, random: Randomness) -> Tensor:
        # All steps draw as step 0 does: so the noise lasts for the run without being kept.
        run = random.at(0)
        if self.convention == "code":
            return run.from_view(0).normal("fixed noise", latent[:1]).expand_as(latent)
        return run.normal("fixed noise", latent)
