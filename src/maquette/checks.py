"""Finite checks that name the site: a NaN is found where it is born, never painted over."""

from __future__ import annotations

import torch
from torch import Tensor

from maquette.errors import NumericalError

__all__ = ["finite"]


def finite(site: str, value: Tensor | None) -> Tensor:
    """``value`` itself where all of it is finite; raises NumericalError with ``site`` otherwise."""
    if value is None:
        raise NumericalError(f"No gradient arrived at {site}", site=site)
    # The sum is finite exactly where all terms are, save for an overflow, which is a fault too;
    # it costs one pass and no temporary.
    if not bool(torch.isfinite(value.detach().sum())):
        kind = "NaN" if bool(torch.isnan(value.detach()).any()) else "an infinite value"
        raise NumericalError(
            f"{site} gave {kind}",
            "Lower the learning rates or the guidance scale, or try another seed",
            site=site,
        )
    return value
