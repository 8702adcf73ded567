"""Colour that depends on the viewing direction, as real spherical harmonics up to degree 3.

Coefficients are ordered as in the PLY files of 3D Gaussian Splatting and in gsplat: by degree, then
by order from -l to l, with the Condon-Shortley sign of those programs (order 1 and -1 negative).
"""

from __future__ import annotations

import torch
from torch import Tensor

from maquette.errors import InputError

__all__ = ["MAX_DEGREE", "coefficient_count", "sh_basis", "sh_colour", "sh_degree"]

MAX_DEGREE = 3

# sqrt((2 l + 1) / (4 pi) (l - m)! / (l + m)!) and the factor of the polynomial, multiplied out.
_C0 = 0.28209479177387814
_C1 = 0.4886025119029199
_C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154)
_C3_ZONAL = 1.445305721320277


def coefficient_count(degree: int) -> int:
    """Coefficients per colour channel up to a degree: ``(degree + 1)**2``."""
    return (degree + 1) ** 2


def sh_degree(count: int) -> int:
    """The degree that ``count`` coefficients reach.

    Raises:
        InputError: if the count is not 1, 4, 9 or 16.
    """
    for degree in range(MAX_DEGREE + 1):
        if coefficient_count(degree) == count:
            return degree
    raise InputError(
        f"{count} spherical harmonics coefficients make no whole degree",
        f"give 1, 4, 9 or 16 of them, for degree 0 to {MAX_DEGREE}",
    )


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """The basis functions ``[..., (degree + 1)**2]`` at unit directions ``[..., 3]``."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, _C0)]
    if degree >= 1:
        basis += [-_C1 * y, _C1 * z, -_C1 * x]
    if degree >= 2:
        basis += [
            _C2[0] * x * y,
            -_C2[0] * y * z,
            _C2[1] * (3 * z * z - 1),
            -_C2[0] * x * z,
            _C2[2] * (x * x - y * y),
        ]
    if degree >= 3:
        basis += [
            -_C3[0] * y * (3 * x * x - y * y),
            _C3[1] * x * y * z,
            -_C3[2] * y * (5 * z * z - 1),
            _C3[3] * z * (5 * z * z - 3),
            -_C3[2] * x * (5 * z * z - 1),
            _C3_ZONAL * z * (x * x - y * y),
            -_C3[0] * x * (x * x - 3 * y * y),
        ]
    return torch.stack(basis, dim=-1)


def sh_colour(sh: Tensor, directions: Tensor) -> Tensor:
    """Evaluate coefficients in directions; a renderer adds 0.5 and cuts at 0.

    Args:
        sh: ``[N, K, 3]`` with K = 1, 4, 9 or 16.
        directions: ``[B, N, 3]`` from the camera towards each Gaussian, of any length but zero.

    Returns:
        ``[B, N, 3]``.

    Raises:
        InputError: if K is no whole degree.
    """
    degree = sh_degree(sh.shape[1])
    if degree == 0:
        return (_C0 * sh[:, 0]).expand(len(directions), *sh[:, 0].shape)
    basis = sh_basis(torch.nn.functional.normalize(directions, dim=-1), degree)
    return torch.einsum("bnk,nkc->bnc", basis, sh)
