"""HiFA: denoise in several steps, and compare both latents and the pictures that they decode to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maquette.errors import InputError, PriorError
from maquette.noise import NoiseSchedule
from maquette.objectives.base import Objective
from maquette.objectives.guidance import guided
from maquette.objectives.weights import Weight, weight_at
from maquette.priors.base import Prior
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Against, Guidance, Words

__all__ = ["HiFA"]

CLEAN = -1


@dataclass(frozen=True)
class HiFA(Objective):
    """``g = lambda w(t) [(z - z_hat) + lambda_image J^T (D(z) - D(z_hat))]``, ``J = dD / dz``.

    Zhu et al. 2024, HiFA: ``z_hat`` is denoised from ``x_t = alpha z + sigma eps`` in strides of
    DDIM with guidance, ``D`` is the prior's decoder, and ``z_hat`` is held constant. In a single
    step without the image term this is ``lambda rho`` times SDS, of uniform weight.

    HiFA's image residual is that of the rendered picture, ``x - D(z_hat)``, right at the pixels. An
    objective answers for latents and never sees ``x``, so the residual is taken from ``D(z)`` and
    carried to the latents by the decoder's Jacobian. The encoder's backward pass then brings it to
    the pixels as ``(J J_encoder)^T``, which is the identity where the autoencoder loses nothing:
    there this is HiFA's own gradient. With a real one, what it cannot draw is left out of the
    residual. Squares are summed over pixels, as in the public code; its factor for renders of
    another size than the prior's is in the resizing of ``encode``.
    """

    guidance_scale: Number = 100.0
    """Classifier-free guidance, diffusers form."""
    stride: int = 250
    """Longest denoising step in timesteps: ``ceil(t / stride)`` steps, at least one."""
    eta: Number = 1.0
    """Fresh noise of each step: 0 is DDIM, 1 is DDPM (Song et al. 2021, equation 16)."""
    image_weight: Number = 0.1
    """lambda_image; 0 asks for no decoder."""
    weight: Weight = "uniform"
    """w(t), by name."""
    strength: Number = 0.05
    """lambda, a constant factor."""

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
        denoised = self._denoise(prior, noised, t, words, random)
        gradient = latent - denoised
        image_weight = number(self.image_weight)
        if image_weight:
            gradient = gradient + image_weight * _image_gradient(prior, latent, denoised)
        weight = number(self.strength) * weight_at(self.weight, prior.schedule, t, latent)
        return Guidance.of(weight * gradient)

    def _denoise(
        self, prior: Prior, noised: Tensor, t: Tensor, words: Words, random: Randomness
    ) -> Tensor:
        """``z_hat`` of ``noised`` at ``t``; views that have arrived are held and cost nothing."""
        scale, eta = number(self.guidance_scale), number(self.eta)
        if self.stride < 1 or not 0 <= eta <= 1:
            raise InputError(
                f"HiFA cannot denoise with a stride of {self.stride} and an eta of {eta:g}",
                "Use a stride of at least 1 and an eta between 0 and 1",
            )
        x, level, count = noised.clone(), t.clone(), 0
        while bool((moving := level > CLEAN).any()):
            rows, now = x[moving], level[moving]
            eps = guided(prior, rows, now, _words_of(words, moving), scale)
            ahead = now - self.stride
            ahead = ahead.masked_fill(ahead <= 0, CLEAN)
            fresh = random.normal(f"denoise {count}", noised)[moving]
            x[moving] = _noisy_step(prior.schedule, rows, eps, fresh, now, ahead, eta)
            level[moving], count = ahead, count + 1
        return x


def _words_of(words: Words, rows: Tensor) -> Words:
    """The words of some views only; ``rows`` is a mask ``[B]``."""
    return replace(
        words,
        positive=words.positive.rows(rows),
        negative=words.negative.rows(rows),
        null=words.null.rows(rows),
        against=tuple(Against(a.condition.rows(rows), a.weight[rows]) for a in words.against),
    )


def _noisy_step(
    schedule: NoiseSchedule,
    noised: Tensor,
    eps: Tensor,
    fresh: Tensor,
    t: Tensor,
    s: Tensor,
    eta: float,
) -> Tensor:
    """A DDIM step from ``t`` down to ``s`` that puts ``fresh`` noise in the place of some of eps.

    Song et al. 2021, DDIM, equations 12 and 16, written with rho so that it holds for any schedule.
    """
    share = eta * (1 - (schedule.rho(s, noised) / schedule.rho(t, noised)).square()).sqrt()
    clean = schedule.clean_from_eps(noised, eps, t)
    return schedule.add_noise(clean, (1 - share.square()).sqrt() * eps + share * fresh, s)


def _image_gradient(prior: Prior, latent: Tensor, denoised: Tensor) -> Tensor:
    """``J^T (D(z) - D(z_hat))``, the gradient of half the square of the pictures' difference."""
    with torch.enable_grad():
        leaf = latent.detach().requires_grad_()
        picture = prior.decode(leaf)
    if not picture.requires_grad:
        raise PriorError(f"The decoder of {prior.name} keeps no gradient", "Set image_weight to 0")
    with torch.no_grad():
        residual = picture - prior.decode(denoised)
    return torch.autograd.grad(picture, leaf, residual)[0]
