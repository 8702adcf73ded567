"""What pictures are like by themselves, whatever they show: colour, sharpness, and likeness.

Score distillation tends to colours too strong (DreamFusion, section 5) and to surfaces too smooth
(LucidDreamer, section 1); saturation and sharpness put numbers to either. Where the coverage of a
render is known, only the object is measured, so that its size in the picture and the background
make no difference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maquette.errors import InputError

__all__ = ["COVERED", "check_pictures", "psnr", "saturation", "sharpness"]

COVERED = 0.5
"""From this alpha on a pixel counts as one of the object."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), on values as stored."""


def saturation(pictures: Tensor, alpha: Tensor | None = None) -> Tensor:
    """Mean HSV saturation per picture, ``[B]`` float64 in [0, 1].

    Smith 1978: ``(max - min) / max`` over the three channels of a pixel, 0 for black. Greys have
    0, pure colours 1.

    Args:
        pictures: ``[B, H, W, 3]`` in [0, 1].
        alpha: ``[B, H, W, 1]`` of the same render; without it every pixel counts.

    Returns:
        NaN for a picture without an object.

    Raises:
        InputError: these are no such tensors.
    """
    _check(pictures, alpha)
    values = pictures.double()
    most, least = values.amax(dim=-1), values.amin(dim=-1)
    # Black divides by 1 instead of 0, and is 0 all the same.
    share = (most - least) / torch.where(most > 0, most, torch.ones_like(most))
    return _mean(share, _object(pictures, alpha))


def sharpness(pictures: Tensor, alpha: Tensor | None = None) -> Tensor:
    """Variance of the Laplacian of luma per picture, ``[B]`` float64.

    Pech-Pacheco et al. 2000: ``up + down + left + right - 4 here``, on luma in [0, 1]; multiply by
    255^2 to compare with values from 8-bit pictures. Pixels on the picture's border are left out,
    and with ``alpha`` also those with a neighbour off the object: an outline is no detail. It
    depends on the resolution: compare like with like.

    Args:
        pictures: ``[B, H, W, 3]`` in [0, 1].
        alpha: ``[B, H, W, 1]`` of the same render; without it every pixel counts.

    Returns:
        NaN for a picture in which nothing is left.

    Raises:
        InputError: these are no such tensors.
    """
    _check(pictures, alpha)
    luma = pictures.double() @ pictures.new_tensor(LUMA, dtype=torch.float64)
    here, *around = _cross(luma)
    laplacian = sum(around) - 4 * here
    inside = torch.stack(_cross(_object(pictures, alpha))).all(dim=0)
    mean = _mean(laplacian, inside)
    return _mean((laplacian - mean[:, None, None]).square(), inside)


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair in decibels, ``[B]`` float64.

    ``-10 log10`` of the mean squared difference, with 1 as the peak; infinite for equal pictures.

    Args:
        first: ``[B, H, W, 3]`` in [0, 1].
        second: likewise, of the same shape.

    Raises:
        InputError: these are no such pictures.
    """
    check_pictures(first)
    if first.shape != second.shape:
        raise InputError(
            f"Pictures of shapes {list(first.shape)} and {list(second.shape)} make no pairs"
        )
    error = (first.double() - second.double()).square().mean(dim=(1, 2, 3))
    return error.log() * (-10 / math.log(10))


def _cross(layer: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of ``[B, H, W]`` the inner places, and what lies above, below, left and right of each."""
    inner = slice(1, -1)
    return (
        layer[:, inner, inner],
        layer[:, :-2, inner],
        layer[:, 2:, inner],
        layer[:, inner, :-2],
        layer[:, inner, 2:],
    )


def _object(pictures: Tensor, alpha: Tensor | None) -> Tensor:
    """``[B, H, W]``, true where a pixel counts."""
    if alpha is None:
        return torch.ones(pictures.shape[:-1], dtype=torch.bool, device=pictures.device)
    return alpha[..., 0] >= COVERED


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean over places of ``[B, H, W]`` that count; NaN where none does."""
    return torch.where(counted, values, 0.0).sum(dim=(1, 2)) / counted.sum(dim=(1, 2))


def check_pictures(pictures: Tensor) -> None:
    """Refuse what cannot be pictures.

    Raises:
        InputError: the tensor's shape is not ``[B, H, W, 3]``.
    """
    if pictures.dim() != 4 or pictures.shape[-1] != 3:
        raise InputError(f"A tensor of shape {list(pictures.shape)} holds no pictures [B, H, W, 3]")


def _check(pictures: Tensor, alpha: Tensor | None) -> None:
    check_pictures(pictures)
    if alpha is not None and alpha.shape != (*pictures.shape[:-1], 1):
        raise InputError(
            f"Coverage of shape {list(alpha.shape)} does not fit pictures of shape "
            f"{list(pictures.shape)}"
        )
