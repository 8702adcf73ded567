"""The noise schedule: t to alpha and sigma, and every conversion between predictions.

A noised latent is ``x_t = alpha_t x + sigma_t eps``. Discrete schedules index ``t`` as diffusers
does, 0 to T - 1; ``t = -1`` stands for the clean picture (alpha 1, sigma 0), so that a DDIM step
may start or end there. Flow models fit the same form with alpha = 1 - tau, sigma = tau. Everything
outside a prior sees noise predictions (eps) only; v-, x0- and flow-heads are converted here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import PriorError

__all__ = ["NoiseSchedule"]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Tables of alpha and sigma over the training steps.

    Attributes:
        alphas: ``[T]`` float64, the signal's factor.
        sigmas: ``[T]`` float64, the noise's factor.
    """

    alphas: Tensor
    sigmas: Tensor

    @staticmethod
    def from_alphas_cumprod(alphas_cumprod: Tensor) -> NoiseSchedule:
        """The variance-preserving schedule with ``alpha^2 = alphas_cumprod`` (DDPM's alpha bar)."""
        bar = alphas_cumprod.to(torch.float64)
        return NoiseSchedule(bar.sqrt(), (1 - bar).sqrt())

    @staticmethod
    def scaled_linear(
        steps: int = 1000, start: float = 0.00085, end: float = 0.012
    ) -> NoiseSchedule:
        """Stable Diffusion's schedule: the square roots of the betas are linear in t."""
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
        return NoiseSchedule.from_alphas_cumprod(torch.cumprod(1 - betas, dim=0))

    @staticmethod
    def flow(steps: int = 1000) -> NoiseSchedule:
        """Rectified flow cut into ``steps``: index i stands for tau = (i + 1) / steps."""
        tau = torch.arange(1, steps + 1, dtype=torch.float64) / steps
        return NoiseSchedule(1 - tau, tau)

    def __len__(self) -> int:
        return self.alphas.shape[0]

    def alpha(self, t: Tensor, like: Tensor) -> Tensor:
        """alpha at ``t`` ``[B]``, shaped ``[B, 1, ...]`` to multiply ``like`` ``[B, ...]``."""
        return self._gather(self.alphas, 1.0, t, like)

    def sigma(self, t: Tensor, like: Tensor) -> Tensor:
        """sigma at ``t`` ``[B]``, shaped to multiply ``like`` ``[B, ...]``."""
        return self._gather(self.sigmas, 0.0, t, like)

    def rho(self, t: Tensor, like: Tensor) -> Tensor:
        """sigma / alpha at ``t``; refuses steps at which no signal is left (zero terminal SNR)."""
        alpha = self.alpha(t, like)
        if bool((alpha <= 0).any()):
            raise PriorError(
                "This schedule has no signal left at the largest t, so sigma / alpha is infinite",
                "Lower the largest timestep below the schedule's end",
            )
        return self.sigma(t, like) / alpha

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = alpha_t x + sigma_t eps``, shapes ``[B, ...]``."""
        return self.alpha(t, clean) * clean + self.sigma(t, clean) * noise

    def clean_from_eps(self, noised: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """``x0 = (x_t - sigma eps) / alpha``."""
        return (noised - self.sigma(t, noised) * eps) / self.alpha(t, noised)

    def eps_from_clean(self, noised: Tensor, clean: Tensor, t: Tensor) -> Tensor:
        """``eps = (x_t - alpha x0) / sigma``."""
        return (noised - self.alpha(t, noised) * clean) / self.sigma(t, noised)

    def eps_from_v(self, noised: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """``eps = alpha v + sigma x_t``, variance-preserving schedules (Salimans and Ho 2022)."""
        return self.alpha(t, noised) * v + self.sigma(t, noised) * noised

    def eps_from_flow(self, noised: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
        """``eps = x_t + alpha v`` for flow schedules, where ``v = eps - x0``."""
        return noised + self.alpha(t, noised) * velocity

    def v_target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``v = alpha eps - sigma x0``, what a v-head is trained on."""
        return self.alpha(t, clean) * noise - self.sigma(t, clean) * clean

    def ddim_step(self, noised: Tensor, eps: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """One deterministic DDIM step from ``s`` to ``t`` (either direction), eps held constant.

        Euler in (x / alpha, sigma / alpha): Song et al. 2021, DDIM, equation 12 with eta = 0.
        """
        clean = self.clean_from_eps(noised, eps, s)
        return self.alpha(t, noised) * clean + self.sigma(t, noised) * eps

    def fingerprint(self) -> str:
        """A hash of both tables, to tell a schedule that was changed on disk."""
        raw = torch.cat([self.alphas, self.sigmas]).to(torch.float32).numpy().tobytes()
        return hashlib.sha256(raw).hexdigest()[:16]

    def _gather(self, table: Tensor, clean: float, t: Tensor, like: Tensor) -> Tensor:
        index = t.to(device=table.device, dtype=torch.long)
        if bool((index >= len(self)).any()) or bool((index < -1).any()):
            raise PriorError(f"A timestep lies outside -1 to {len(self) - 1}: {index.tolist()}")
        values = torch.cat([table, table.new_tensor([clean])])[index]
        return values.to(like).reshape(-1, *[1] * (like.dim() - 1))
