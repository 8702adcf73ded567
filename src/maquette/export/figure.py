"""A picture and the gradients on it side by side, over a run: how figure 2 of PGC is drawn.

Three rows, one column per moment: the picture, its gradient as it left the encoder, and the same
gradient after the regulators. Gradients have signs, so they are shown on middle grey, all of them
by one factor that the captions state; what is beyond it is cut. So rows and columns compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.export.sheet import contact_sheet, to_uint8, write_png

__all__ = ["Moment", "display_factor", "gradient_figure", "write_gradients"]

SHOWN_SHARE = 0.99
"""Share of numbers that count for the factor; the others are outliers."""
LEAST_PIXELS = 160
"""Smaller pictures are enlarged by a whole factor to at least this side, so that captions fit."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One step of a run, as one column of the figure.

    Attributes:
        step: counted from 1.
        picture: ``[H, W, 3]`` in [0, 1], as the step saw it.
        raw: ``[H, W, 3]``, the gradient on its pixels before any regulator.
        regulated: ``[H, W, 3]``, the same after all regulators.
    """

    step: int
    picture: Tensor
    raw: Tensor
    regulated: Tensor


def display_factor(moments: Sequence[Moment]) -> float:
    """The one factor by which all gradients are shown, in two significant digits.

    Clipped gradients may be far smaller than raw ones, and both shall be seen. So it lies in the
    middle (geometrically) of two factors, that which takes the raw gradients' 99th percentile to
    the end of the scale and that which does so with the regulated ones; 1 where there is none.
    """
    bounds = [_bound([m.raw for m in moments]), _bound([m.regulated for m in moments])]
    logarithms = [math.log(bound) for bound in bounds if bound]
    if not logarithms:
        return 1.0
    return float(f"{0.5 / math.exp(sum(logarithms) / len(logarithms)):.2g}")


def gradient_figure(moments: Sequence[Moment]) -> np.ndarray:
    """The figure as uint8 ``[H', W', 3]``.

    Args:
        moments: at least one, all with pictures of the same size.

    Raises:
        InputError: for no moment, or pictures and gradients of different sizes.
        NumericalError: for a value that is not finite.
    """
    shapes = {tuple(t.shape) for m in moments for t in (m.picture, m.raw, m.regulated)}
    if len(shapes) != 1:
        raise InputError(f"Pictures of {len(shapes)} different shapes make no figure")
    factor = display_factor(moments)
    rows = [moment.picture for moment in moments]
    for gradients in ([m.raw for m in moments], [m.regulated for m in moments]):
        rows += [0.5 + factor * finite("pixel gradient", g).double() for g in gradients]
    pictures = to_uint8(torch.stack([row.detach().double().cpu() for row in rows]))
    times = -(-LEAST_PIXELS // min(pictures.shape[1:3]))
    return contact_sheet(
        pictures.repeat(times, axis=1).repeat(times, axis=2),
        columns=len(moments),
        row_captions=(
            "picture",
            f"pixel gradient before regulation, x {factor:g} around grey",
            f"pixel gradient after regulation, x {factor:g} around grey",
        ),
        column_captions=[f"step {moment.step}" for moment in moments],
    )


def write_gradients(path: Path, moments: Sequence[Moment]) -> None:
    """Write the figure as PNG, whole or not at all.

    Raises:
        InputError: as :func:`gradient_figure`.
        DiskError: the file cannot be written.
    """
    write_png(path, gradient_figure(moments))


def _bound(gradients: Sequence[Tensor]) -> float:
    """What all numbers but outliers stay below in size; 0 where all of them are 0."""
    sizes = torch.cat([gradient.abs().flatten().double().cpu() for gradient in gradients])
    bound = float(sizes.kthvalue(max(1, round(SHOWN_SHARE * len(sizes)))).values)
    # All but a few pixels may have no gradient at all.
    return bound or float(sizes.max())
