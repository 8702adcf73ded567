"""Spherical harmonics: orthonormality by exact quadrature, signs, and the fast path of degree 0."""

import math

import numpy as np
import pytest
import torch

from maquette.errors import InputError
from maquette.render.spherical_harmonics import (
    MAX_DEGREE,
    coefficient_count,
    sh_basis,
    sh_colour,
    sh_degree,
)


def sphere_quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials up to degree 7 over the sphere exactly."""
    heights, weights = np.polynomial.legendre.leggauss(4)
    angles = torch.arange(8, dtype=torch.float64) * (math.tau / 8)
    z = torch.from_numpy(heights)[:, None].expand(4, 8)
    ring = (1 - z * z).sqrt()
    directions = torch.stack([ring * angles.cos(), ring * angles.sin(), z], dim=-1)
    spread = torch.from_numpy(weights)[:, None].expand(4, 8) * (math.tau / 8)
    return directions.reshape(-1, 3), spread.reshape(-1)


@pytest.mark.oracles
def test_basis_is_orthonormal():
    directions, weights = sphere_quadrature()
    basis = sh_basis(directions, MAX_DEGREE)
    gram = torch.einsum("q,qi,qj->ij", weights, basis, basis)
    assert torch.allclose(gram, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.oracles
def test_basis_matches_associated_legendre_functions():
    """Real harmonics from their definition, with the Condon-Shortley phase left in."""
    special = pytest.importorskip("scipy.special")
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=-1)
    x, y, z = directions.numpy().T
    azimuth = np.arctan2(y, x)
    for degree in range(MAX_DEGREE + 1):
        for order in range(-degree, degree + 1):
            m = abs(order)
            legendre = special.lpmv(m, degree, z)
            norm = math.sqrt(
                (2 * degree + 1)
                / (4 * math.pi)
                * math.factorial(degree - m)
                / math.factorial(degree + m)
            )
            turn = np.sin(m * azimuth) if order < 0 else np.cos(m * azimuth)
            expected = norm * legendre * turn * (math.sqrt(2) if m else 1)
            found = sh_basis(directions, degree)[:, degree * degree + degree + order]
            assert np.abs(found.numpy() - expected).max() < 1e-12, (degree, order)


def test_first_order_signs_are_those_of_the_field():
    """Against y, along z, against x: a viewer of PLY files relies on it."""
    basis = sh_basis(torch.eye(3, dtype=torch.float64), 1)[:, 1:]
    c = math.sqrt(3 / (4 * math.pi))
    expected = torch.tensor([[0, 0, -c], [-c, 0, 0], [0, c, 0]], dtype=torch.float64)
    assert torch.allclose(basis, expected, atol=1e-15)


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
def test_colour_is_the_sum_over_the_basis(degree):
    torch.manual_seed(degree)
    sh = torch.randn(5, coefficient_count(degree), 3, dtype=torch.float64)
    directions = torch.randn(2, 5, 3, dtype=torch.float64)
    unit = directions / directions.norm(dim=-1, keepdim=True)
    expected = torch.zeros(2, 5, 3, dtype=torch.float64)
    for k in range(sh.shape[1]):
        expected += sh_basis(unit, degree)[..., k, None] * sh[:, k]
    assert torch.allclose(sh_colour(sh, directions), expected, rtol=0, atol=1e-14)


def test_higher_coefficients_of_zero_change_nothing():
    torch.manual_seed(0)
    sh = torch.zeros(4, 16, 3, dtype=torch.float64)
    sh[:, 0] = torch.randn(4, 3)
    directions = torch.randn(3, 4, 3, dtype=torch.float64)
    assert torch.allclose(sh_colour(sh, directions), sh_colour(sh[:, :1], directions), atol=1e-15)


def test_degree_from_count():
    assert [sh_degree(count) for count in (1, 4, 9, 16)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="1, 4, 9 or 16"):
        sh_degree(5)


@pytest.mark.oracles
def test_gradients():
    torch.manual_seed(0)
    sh = torch.randn(3, 16, 3, dtype=torch.float64, requires_grad=True)
    directions = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sh_colour, (sh, directions), atol=1e-8, rtol=1e-6)
