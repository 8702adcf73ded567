"""The optimiser of the U-Net: equal singular values for matrices, plain Adam for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from maquette.toybox.muon import ADAM_SHARE, MOMENTUM, Muon, orthogonalised


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("shape", [(24, 24), (8, 60), (60, 8)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    left, values, right = torch.linalg.svd(numbers(*shape), full_matrices=False)
    made = orthogonalised(left @ torch.diag(values * 30) @ right).float()
    core = left.T @ made @ right.T
    assert core.diagonal().min() > 0.5
    assert core.diagonal().max() < 1.3
    assert (core - torch.diag(core.diagonal())).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (4, 6, 1, 1)])
def test_a_kernel_moves_by_its_orthogonalised_momentum(shape):
    network = nn.Conv2d(shape[1], shape[0], shape[2], bias=False)
    start, gradient = network.weight.detach().clone(), numbers(*shape)
    network.weight.grad = gradient.clone()
    Muon(network, 0.1).step()
    looked_ahead = gradient.lerp((1 - MOMENTUM) * gradient, MOMENTUM)
    step = orthogonalised(looked_ahead.flatten(1)).float().view(shape)
    tall = max(1.0, shape[0] / (shape[1] * shape[2] * shape[3])) ** 0.5
    torch.testing.assert_close(network.weight.detach(), start - 0.1 * tall * step)


def test_vectors_and_ends_are_left_to_adam():
    network = nn.ModuleDict(
        {
            "conv_in": nn.Conv2d(2, 3, 3),
            "norm": nn.LayerNorm(4),
            "token_embedding": nn.Embedding(5, 4),
        }
    )
    other = copy.deepcopy(network)
    muon = Muon(network, 0.02)
    adam = torch.optim.Adam(other.parameters(), lr=0.02 * ADAM_SHARE, betas=(0.9, 0.99))
    for step in range(5):
        for one, two in zip(network.parameters(), other.parameters(), strict=True):
            one.grad = two.grad = numbers(*one.shape) + step
        muon.step()
        adam.step()
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_parameters_without_gradient_stay():
    network = nn.Linear(3, 3)
    before = copy.deepcopy(network.state_dict())
    Muon(network, 0.1).step()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
