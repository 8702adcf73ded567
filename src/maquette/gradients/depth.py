"""Clipping the gradient of a depth picture by the size of the Gaussians.

Dreamer XL, section 3.4: with a prior like SDXL the gradient on the depth that a Gaussian carries
may be large enough to have sound regions split. A depth that moves by more than a Gaussian's own
scale means nothing to it, so that scale is the bound. The clip of the colours beside it is PGC's
(``ClipByNorm`` in ``pixel.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.gradients.base import Regulator
from maquette.gradients.pixel import positive
from maquette.ramps import Number
from maquette.records import Render

__all__ = ["ClipDepth", "Convention"]

Convention = Literal["paper", "code"]
"""``paper``: each element by itself. ``code``: one factor for the whole step."""


@dataclass(frozen=True)
class ClipDepth(Regulator):
    """``g min(s / |g|, c)`` for each element, equation 9 of Dreamer XL, with ``s`` the mean scale.

    It is meant for steps in which the prior looks at the depth. The two conventions share no more
    than their letters. In the paper c is a factor on small gradients and s the bound, so only ``c =
    1`` leaves sound regions alone, as its text promises; no value is given. The public code bounds
    the step by ``c s``, c = 0.01, with one factor for all elements of all views: ``min(1, c s / max
    |g|)``. So one spike makes the whole step small.
    """

    looks_at_splats: ClassVar[bool] = True
    threshold: Number = 1.0
    """c: the factor on small gradients (paper, at most 1), or that on the scale (code, 0.01)."""
    convention: Convention = "paper"
    """Bound each element, or shrink the whole step."""

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        factor, scale = positive("threshold", self.threshold), _mean_scale(render)
        finite("encode backward", pixel_gradient)
        if self.convention == "paper":
            # The same as the formula, without a division by zero.
            return (factor * pixel_gradient).clamp(-scale, scale)
        if self.convention == "code":
            bound = factor * scale
            return pixel_gradient * (bound / pixel_gradient.abs().amax().clamp(min=bound))
        raise InputError(f"There is no convention {self.convention!r}", "Choose paper or code")


def _mean_scale(render: Render) -> float:
    """Mean standard deviation of the Gaussians in world units."""
    if render.scales is None:
        raise InputError(
            "The depth clip bounds by the scale of the Gaussians, and this render knows none",
            "Use it with a scene of Gaussians",
        )
    return float(render.scales.mean())
