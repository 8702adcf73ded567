"""Pixel-wise gradient clipping: no pixel may pull harder than a threshold.

Pan et al. 2024, Enhancing High-Resolution 3D Generation through Pixel-wise Gradient Clipping. The
backward pass of a latent prior's encoder leaves single pixels with gradients far above all others,
which blur the texture that the rest describes. So each pixel's gradient ``g`` (a vector over the
colours) is bounded by itself: by its norm (PGC-N), by value (PGC-V) or by normalising (PNGD).

This happens to the pixels, ``P_c(J^T g)``, and not to the latents before the encoder's Jacobian J.
The paper bounds the Euclidean norm; its public code takes the largest channel instead, ``linf``
here, which also keeps the direction. Thresholds are in the units of the gradient on a picture in
[0, 1], not divided by the number of views. A gradient that is not finite is refused: a clip would
hide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.gradients.base import Regulator
from maquette.ramps import Number, number
from maquette.records import Render

__all__ = ["PNGD", "ClipByNorm", "ClipByValue", "GlobalScale", "Norm", "positive"]

Norm = Literal["l2", "linf"]
"""The size of one pixel's gradient: ``l2`` its length, ``linf`` its largest channel."""


@dataclass(frozen=True)
class ClipByNorm(Regulator):
    """PGC-N: ``g min(1, c / |g|)`` for each pixel, equation 10.

    With ``l2`` this is the nearest point of a ball of radius c: idempotent, and no two pixels end
    further apart than they began. With ``linf`` they may. Dreamer XL's clip of the colours is
    ``ClipByNorm(0.05, "linf")`` in its public code; its paper says "as PGC".
    """

    threshold: Number = 0.1
    """c, the largest norm that a pixel keeps."""
    norm: Norm = "l2"
    """``l2`` as in the paper, or ``linf`` as in its public code."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        bound = positive("threshold", self.threshold)
        # Below the bound the factor is c / c, exactly 1; and nothing is divided by zero.
        return pixel_gradient * (bound / _norm(pixel_gradient, self.norm).clamp(min=bound))


@dataclass(frozen=True)
class ClipByValue(Regulator):
    """PGC-V: each channel of each pixel cut to [-c, c]; the direction of a pixel may turn."""

    threshold: Number = 0.1
    """c, the largest size that a channel keeps."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        bound = positive("threshold", self.threshold)
        return finite("encode backward", pixel_gradient).clamp(-bound, bound)


@dataclass(frozen=True)
class PNGD(Regulator):
    """Pixel-wise normalised gradient descent: ``g c / (|g| + c)`` for each pixel, equation 9.

    Bounded by c and near to g where that is small; at ``|g| = c`` half is lost, which the paper
    counts against it.
    """

    threshold: Number = 0.1
    """c, which no norm reaches."""
    norm: Norm = "l2"
    """``l2`` as in the paper, or ``linf`` as in its public code."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        bound = positive("threshold", self.threshold)
        return pixel_gradient * (bound / (_norm(pixel_gradient, self.norm) + bound))


@dataclass(frozen=True)
class GlobalScale(Regulator):
    """``g c / max |g|``, the largest over all channels, pixels and views of the step.

    The public code's alternative to clipping: one factor for all, so that one wild pixel makes all
    others small, and a step without any is made larger.
    """

    threshold: Number = 0.1
    """c, the size of the largest channel afterwards."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        bound = positive("threshold", self.threshold)
        peak = finite("encode backward", pixel_gradient).abs().amax()
        # The peak is brought to 1 first, because c / peak may be too large to write down.
        return bound * (pixel_gradient / peak.masked_fill(peak == 0, 1))


def positive(name: str, value: Number) -> float:
    """``value`` as a number above 0; raises InputError with ``name`` otherwise."""
    bound = number(value)
    if not 0.0 < bound < float("inf"):
        raise InputError(f"A {name} of {bound} leaves nothing of a gradient", "Give one above 0")
    return bound


def _norm(pixel_gradient: Tensor, norm: Norm) -> Tensor:
    """Norms ``[B, H, W, 1]`` of the pixels' gradients."""
    peak = finite("encode backward", pixel_gradient).abs().amax(-1, keepdim=True)
    if norm == "linf":
        return peak
    if norm != "l2":
        raise InputError(f"A pixel has no norm {norm!r} here", "Choose l2 or linf")
    # Divided by the largest channel, because squares overflow long before the numbers do.
    shape = pixel_gradient / peak.masked_fill(peak == 0, 1)
    return peak * torch.linalg.vector_norm(shape, dim=-1, keepdim=True)
