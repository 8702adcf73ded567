"""Gaussians in other programs' frames: the whole scene turned, harmonics included."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from maquette.render.spherical_harmonics import MAX_DEGREE, coefficient_count, sh_basis, sh_degree
from maquette.render.splat_torch import rotation_from_quaternion

__all__ = ["GLTF_FROM_WORLD", "RDF_FROM_WORLD", "inverse", "rotated"]

RDF_FROM_WORLD = (0.5, 0.5, 0.5, -0.5)
"""(x, y, z) -> (y, -z, -x): x right, y down, z forward, the front looking towards the viewer."""

GLTF_FROM_WORLD = (0.5, -0.5, -0.5, -0.5)
"""(x, y, z) -> (y, z, x): y up, the front along +z, as glTF asks of an asset."""

Quaternion = tuple[float, float, float, float]


def inverse(quat: Quaternion) -> Quaternion:
    """The turn back of a unit quaternion, w x y z."""
    w, x, y, z = quat
    return w, -x, -y, -z


def rotated(tensors: Mapping[str, Tensor], quat: Quaternion) -> dict[str, Tensor]:
    """The parameters of a scene of Gaussians, turned about the origin by a unit quaternion.

    Args:
        tensors: as ``Gaussians.tensors`` gives them, detached.
        quat: w x y z.

    Returns:
        The same names and dtypes, computed in double precision.
    """
    turn = torch.tensor(quat, dtype=torch.float64)
    rotation = rotation_from_quaternion(turn)
    means, quats, sh = (tensors[name].cpu() for name in ("means", "quats", "sh"))
    bands = [sh[:, :1]]  # The constant harmonic looks the same from everywhere.
    for degree in range(1, sh_degree(sh.shape[1]) + 1):
        band = slice(coefficient_count(degree - 1), coefficient_count(degree))
        turned = torch.einsum("ij,njc->nic", _band_rotation(degree, rotation), sh[:, band].double())
        bands.append(turned.to(sh.dtype))
    return {
        **tensors,
        "means": (means.double() @ rotation.T).to(means.dtype),
        "quats": _product(turn, quats.double()).to(quats.dtype),
        "sh": torch.cat(bands, dim=1),
    }


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The Hamilton product ``[N, 4]`` of one quaternion ``[4]`` with many."""
    w, x, y, z = left.tolist()
    matrix = torch.tensor(
        [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]], dtype=left.dtype
    )
    return right @ matrix.T


def _band_rotation(degree: int, rotation: Tensor) -> Tensor:
    """The matrix ``[2l + 1, 2l + 1]`` that turns the coefficients of one degree.

    A turned scene shows in direction R d what it showed in d before: Y(R d) c' = Y(d) c. Harmonics
    of one degree only mix among themselves, so few directions determine the matrix exactly.
    """
    directions = _directions(64)
    band = slice(coefficient_count(degree - 1), coefficient_count(degree))
    before = sh_basis(directions, MAX_DEGREE)[:, band]
    after = sh_basis(directions @ rotation.T, MAX_DEGREE)[:, band]
    return torch.linalg.lstsq(after, before).solution


def _directions(count: int) -> Tensor:
    """Unit vectors ``[count, 3]`` in float64, evenly on a golden spiral."""
    steps = torch.arange(count, dtype=torch.float64)
    z = 1.0 - (2.0 * steps + 1.0) / count
    angle = steps * math.pi * (3.0 - math.sqrt(5.0))
    radius = (1.0 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=-1)
