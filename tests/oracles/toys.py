"""Small worlds with known answers, shared by the oracles: laws, noise by hand, quadrature."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maquette.noise import NoiseSchedule
from maquette.objectives.base import Objective
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.priors.base import Prior
from maquette.randomness import Randomness
from maquette.records import Condition, Words

PROMPT = "a toy"
RANDOM = Randomness(7)


@dataclass(frozen=True)
class Tape(Randomness):
    """A stream whose normal numbers are given, one row per view."""

    seed: int = 0
    noise: Tensor | None = None

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        assert self.noise is not None
        return self.noise.reshape(like.shape).to(like)


def tape(noise: Tensor) -> Tape:
    return Tape(noise=noise)


def close(what: str, actual: Tensor | float, expected: Tensor | float, bound: float) -> None:
    """Assert the largest absolute difference, and log it."""
    residual = float(
        torch.max(torch.abs(torch.as_tensor(actual) - torch.as_tensor(expected)).double())
    )
    logging.getLogger("oracles").info("%s: %.1e (bound %.0e)", what, residual, bound)
    assert residual <= bound, f"{what}: {residual:.3e} exceeds {bound:.0e}"


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Fixed standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(mean: Tensor | Sequence[float], variance: float | Tensor) -> Mixture:
    return Mixture.gaussian(torch.as_tensor(mean, dtype=torch.float64), variance)


def random_mixture(dims: int, kind: str, *, count: int = 3, seed: int = 0) -> Mixture:
    """``count`` Gaussians with ``isotropic``, ``diagonal`` or ``full`` covariances."""
    weights = numbers(count, seed=seed).exp()
    means = numbers(count, dims, seed=seed + 1)
    if kind == "isotropic":
        return Mixture(weights, means, 0.2 + numbers(count, seed=seed + 2).square())
    if kind == "diagonal":
        return Mixture(weights, means, 0.2 + numbers(count, dims, seed=seed + 2).square())
    root = numbers(count, dims, dims, seed=seed + 2)
    return Mixture(
        weights, means, root @ root.mT / dims + 0.2 * torch.eye(dims, dtype=torch.float64)
    )


def prior_of(
    law: Mixture, null: Mixture | None = None, schedule: NoiseSchedule | None = None
) -> GaussianMixture:
    """The prior that knows one prompt, over latents ``[B, 1, 1, D]``."""
    shape = (1, 1, law.means.shape[1])
    return GaussianMixture({PROMPT: law}, shape, null=null or law, schedule=schedule)


def words_of(prior: Prior, count: int) -> Words:
    """The prompt for ``count`` views, without a negative prompt."""
    null = prior.condition([""] * count)
    return Words(prior.condition([PROMPT] * count), null, null)


def at(t: int, count: int = 1) -> Tensor:
    return torch.full((count,), t)


def levels(schedule: NoiseSchedule, t: int) -> tuple[float, float, float]:
    """alpha, sigma and rho at ``t``; t = -1 is the clean level."""
    if t == -1:
        return 1.0, 0.0, 0.0
    alpha, sigma = float(schedule.alphas[t]), float(schedule.sigmas[t])
    return alpha, sigma, sigma / alpha


def ask_gradient(
    objective: Objective, prior: Prior, x: Tensor, t: int, random: Randomness = RANDOM
) -> Tensor:
    """The gradient ``[B, D]`` for flat latents ``[B, D]``."""
    latent = x.reshape(len(x), *prior.latent_shape)
    words, levels_of_rows = words_of(prior, len(x)), at(t, len(x))
    return objective.gradient(prior, latent, levels_of_rows, words, {}, random).gradient.flatten(1)


def hermite(nodes: int = 60, dims: int = 1) -> tuple[Tensor, Tensor]:
    """Points ``[M, D]`` and weights ``[M]`` of the expectation over a standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    grid = np.array(list(itertools.product(points, repeat=dims)))
    joint = np.array(list(itertools.product(weights, repeat=dims))).prod(1)
    return torch.from_numpy(grid), torch.from_numpy(joint)


def antithetic(dims: int) -> tuple[Tensor, Tensor]:
    """Two opposite points: exact for fields that are affine in the noise, in any dimension."""
    point = numbers(1, dims, seed=99)
    return torch.cat([point, -point]), torch.tensor([0.5, 0.5], dtype=torch.float64)


def expected(
    objective: Objective, prior: Prior, x: Tensor, t: int, rule: tuple[Tensor, Tensor]
) -> Tensor:
    """The gradient ``[B, D]`` averaged over the noise by quadrature, through the objective."""
    points, weights = rule
    repeated = x.repeat_interleave(len(points), 0)
    noise = points.repeat(len(x), 1)
    gradient = ask_gradient(objective, prior, repeated, t, tape(noise))
    return torch.einsum("m,bmd->bd", weights, gradient.reshape(len(x), len(points), -1))


def log_density(prior: GaussianMixture, law: Mixture, x_t: Tensor, t: int) -> Tensor:
    """``log p_t`` ``[B]`` at flat ``x_t`` ``[B, D]``, written without the prior's own formulas."""
    alpha, sigma, _ = levels(prior.schedule, t)
    eye = torch.eye(law.means.shape[1], dtype=torch.float64)
    components = torch.distributions.MultivariateNormal(
        alpha * law.means, alpha**2 * law.matrices().double() + sigma**2 * eye
    )
    weights = torch.distributions.Categorical(law.weights)
    return torch.distributions.MixtureSameFamily(weights, components).log_prob(x_t)


def even_in_rho(steps: int, end: float) -> NoiseSchedule:
    """A variance-preserving schedule whose sigma / alpha rises in equal steps to ``end``."""
    rho = torch.arange(1, steps + 1, dtype=torch.float64) * (end / steps)
    alpha = (1 + rho**2).rsqrt()
    return NoiseSchedule(alpha, rho * alpha)


class RandomNetwork(Prior):
    """A network with random weights: identities that hold for any model hold for it."""

    latent_shape, image_size, name = (4, 8, 8), 8, "random"

    def __init__(self, *, seed: int = 0) -> None:
        self.schedule = NoiseSchedule.scaled_linear()
        self._into = 0.3 * numbers(16, 4, 3, 3, seed=seed)
        self._out = 0.3 * numbers(4, 16, 3, 3, seed=seed + 1)

    def encode(self, images: Tensor) -> Tensor:
        rows = images.permute(0, 3, 1, 2)
        return torch.cat([rows, rows.mean(1, keepdim=True)], 1)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        with torch.no_grad():
            return torch.stack([self._one(noised, t, c) for c in conditions])

    def condition(self, texts, views=None, render=None) -> Condition:
        rows = [numbers(1, 16, seed=len(text)) for text in texts]
        return Condition(torch.stack(rows))

    def _one(self, noised: Tensor, t: Tensor, condition: Condition) -> Tensor:
        bias = condition.embedding[:, 0, :, None, None] + torch.sin(t.double() / 100).reshape(
            -1, 1, 1, 1
        )
        hidden = torch.conv2d(noised, self._into.to(noised), padding=1) + bias.to(noised)
        return torch.conv2d(torch.tanh(hidden), self._out.to(noised), padding=1)
