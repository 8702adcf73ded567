"""Trajectory score matching: compare two points that one step of a path leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.errors import InputError
from maquette.objectives.base import Objective
from maquette.objectives.guidance import ask, guided
from maquette.objectives.inversion import Convention, Interval, interval
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Condition, Guidance, Words

__all__ = ["TSM"]


@dataclass(frozen=True)
class TSM(Objective):
    """``g = lambda w(t) [eps_cfg(x_t, t) - eps(x_mu, mu, null)]``, ``s <= mu <= t``.

    Miao et al. 2024, Dreamer XL, equations 5, 6 and 8 and Algorithm 1. ``x_s`` is inverted from the
    picture, and both ``x_mu`` and ``x_t`` are one DDIM step from it with the same
    ``eps(x_s, s, null)``, however long the interval. The public code caps the step to ``mu`` at the
    inversion's stride, and then takes a latent of another level for ``x_mu``; here it arrives.

    ``mu = s + lam (t - s)`` in whole timesteps. With ``lam = 0`` this is ISM, and with ``lam = 1``
    it is CSD at the inverted latent, times the guidance scale. Inversion and target use the empty
    prompt, guidance the negative one (the same where none was given), as in ISM.
    """

    guidance_scale: Number = 7.5
    """Classifier-free guidance, diffusers form."""
    gamma: Number = 0.3
    """Offset rate in [0, 1]: ``lam`` itself (paper), or ``lam = sqrt(1 - gamma^2)`` (code)."""
    delta_t: Number = 80.0
    """Length of the interval from s to t in timesteps."""
    stride: int = 200
    """Longest DDIM step of the inversion in timesteps."""
    weight: Weight = "rho"
    """w(t), by name."""
    strength: Number = 0.1
    """lambda, a constant factor."""
    convention: Convention = "paper"
    """What gamma means, and the start of the inversion: the clean latent, or a noised one."""

    @property
    def lam(self) -> float:
        """Where ``mu`` lies between ``s`` (0) and ``t`` (1); InputError if gamma is not in [0, 1].

        The public code's gamma runs the other way: its 0.3 puts ``mu`` at 95.4 % of the interval.
        """
        gamma = number(self.gamma)
        if not 0 <= gamma <= 1:
            raise InputError(f"TSM's gamma is {gamma:g}", "Choose a gamma between 0 and 1")
        return {"paper": gamma, "code": (1 - gamma**2) ** 0.5}[self.convention]

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
        mu = path.s + (self.lam * (t - path.s)).round().to(path.s.dtype)
        target = _step_and_ask(prior, path, mu, words.null)
        weight = number(self.strength) * weight_at(self.weight, prior.schedule, t, latent)
        return Guidance.of(weight * (eps_t - target))


def _step_and_ask(prior: Prior, path: Interval, mu: Tensor, null: Condition) -> Tensor:
    """``eps(x_mu, mu, null)``; views whose ``mu`` is ``s`` keep the answer that they have."""
    target, moved = path.eps_s.clone(), mu != path.s
    if bool(moved.any()):
        level = mu[moved]
        start, eps = path.x_s[moved], path.eps_s[moved]
        x_mu = prior.schedule.ddim_step(start, eps, path.s[moved], level)
        (target[moved],) = ask(prior, x_mu, level, null.rows(moved))
    return target
