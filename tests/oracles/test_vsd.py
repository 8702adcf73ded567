"""VSD: SDS with one particle, the law of many, the fixed point, and an adapter that reaches it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import (
    RANDOM,
    antithetic,
    at,
    close,
    gaussian,
    levels,
    numbers,
    prior_of,
    random_mixture,
    tape,
    words_of,
)

import adapters
from maquette.noise import NoiseSchedule
from maquette.objectives.csd import CSD
from maquette.objectives.sds import SDS
from maquette.objectives.vsd import VSD
from maquette.objectives.weights import Weight
from maquette.priors.base import Prior, Student
from maquette.priors.lora import Adapter, LoRA, weights_of
from maquette.priors.low_rank import Adapted
from maquette.priors.path import Fading, Forming, Path, form
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.priors.students import GaussianFit, Points
from maquette.ramps import resolve
from maquette.randomness import Randomness
from maquette.records import Condition

State = dict[str, Tensor]


def gradient(
    student: Student,
    state: State,
    prior: Prior,
    x: Tensor,
    t: int,
    *,
    scale: float = 1.0,
    weight: Weight = "uniform",
    random: Randomness = RANDOM,
) -> Tensor:
    """The gradient ``[B, D]`` for flat latents ``[B, D]``."""
    latent = x.reshape(len(x), *prior.latent_shape)
    objective = VSD(student, scale, weight)
    words = words_of(prior, len(x))
    answer = objective.gradient(prior, latent, at(t, len(x)), words, state, random)
    return answer.gradient.flatten(1)


def seen(student: Student, prior: Prior, *batches: Tensor) -> State:
    """What the student knows after flat latents ``[B, D]``."""
    state = student.init(prior)
    for x in batches:
        latent = x.reshape(len(x), *prior.latent_shape)
        state = student.learn(prior, state, latent, words_of(prior, len(x)), RANDOM)
    return state


def known(mean: Tensor, variance: Tensor) -> State:
    """The state of a fit that has this mean and variance, ``[D]`` each."""
    shape = (1, 1, len(mean))
    return {
        "mean": mean.reshape(shape),
        "square": (variance + mean.square()).expand(len(mean)).reshape(shape),
    }


def averaged(
    state: State, prior: Prior, x: Tensor, t: int, rule: tuple[Tensor, Tensor], scale: float = 1.0
) -> Tensor:
    """The gradient ``[B, D]`` of a Gaussian fit, averaged over the noise by quadrature."""
    points, weights = rule
    repeated, noise = x.repeat_interleave(len(points), 0), points.repeat(len(x), 1)
    rows = gradient(GaussianFit(), state, prior, repeated, t, scale=scale, random=tape(noise))
    return torch.einsum("m,bmd->bd", weights, rows.reshape(len(x), len(points), -1))


@pytest.mark.parametrize("weight", ["uniform", "sigma_squared", "rho"])
@pytest.mark.parametrize("scale", [1.0, 7.5, 100.0])
@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_one_particle_is_sds(t: int, scale: float, weight: Weight) -> None:
    prior, x = prior_of(random_mixture(5, "full"), random_mixture(5, "full", seed=9)), numbers(1, 5)
    ours = gradient(Points(1), seen(Points(1), prior, x), prior, x, t, scale=scale, weight=weight)
    latent, words = x.reshape(1, 1, 1, 5), words_of(prior, 1)
    sds = SDS(scale, weight).gradient(prior, latent, at(t), words, {}, RANDOM).gradient.flatten(1)
    close("5.7 one particle", ours / (1 + sds.abs().max()), sds / (1 + sds.abs().max()), 1e-12)


def test_many_particles_have_the_score_of_their_mixture() -> None:
    prior, t = prior_of(random_mixture(3, "full")), 300
    particles, x = numbers(7, 3, seed=1), numbers(4, 3, seed=2)
    state = seen(Points(7), prior, particles[4:], particles[:4])
    alpha, sigma, _ = levels(prior.schedule, t)
    noised = x.reshape(4, 1, 1, 3)
    eps = Points(7).predict(prior, state, noised, at(t, 4), words_of(prior, 4)).flatten(1)
    off = x[:, None] - alpha * particles
    shares = torch.softmax(-off.square().sum(-1) / (2 * sigma**2), dim=1)
    close("5.7 particles", eps, torch.einsum("bn,bnd->bd", shares, off) / sigma, 1e-12)


def test_only_the_newest_points_are_remembered() -> None:
    prior = prior_of(gaussian([0.0, 0.0], 1.0))
    x = numbers(5, 2)
    state = seen(Points(3), prior, x[:4], x[4:])
    expected = torch.cat([x[4:], x[:2]])
    close("newest first", state["points"].flatten(1), expected, 1e-7)
    assert int(state["seen"]) == 5


def test_a_fit_of_batches_is_their_moving_average() -> None:
    prior = prior_of(gaussian([0.0, 0.0], 1.0))
    one, two = numbers(6, 2, seed=1), numbers(3, 2, seed=2)
    state = seen(GaussianFit(memory=0.9), prior, one, two)
    mean = 0.09 * one.mean(0) + 0.1 * two.mean(0)
    square = 0.81 + 0.09 * one.square().mean(0) + 0.1 * two.square().mean(0)
    close("mean", state["mean"].flatten(), mean, 1e-15)
    close("square", state["square"].flatten(), square, 1e-15)


@pytest.mark.parametrize("dims", [1, 2, 16])
@pytest.mark.parametrize("t", [20, 500, 980])
def test_the_mean_gradient_is_the_difference_of_two_pulls(t: int, dims: int) -> None:
    mu, m = numbers(dims, seed=1), numbers(dims, seed=2)
    c, spread = 0.4, 0.1 + numbers(dims, seed=3).square()
    prior, x = prior_of(gaussian(mu, c)), numbers(3, dims, seed=4)
    alpha, sigma, _ = levels(prior.schedule, t)
    pull = (x - mu) / (alpha**2 * c + sigma**2) - (x - m) / (alpha**2 * spread + sigma**2)
    ours = averaged(known(m, spread), prior, x, t, antithetic(dims))
    close("5.7 mean gradient", ours, alpha * sigma * pull, 1e-12)


@pytest.mark.parametrize("t", [20, 500, 980])
def test_renders_of_the_priors_law_are_left_alone(t: int) -> None:
    mu, c = numbers(4, seed=1), 0.4
    prior, x = prior_of(gaussian(mu, c)), numbers(5, 4, seed=2)
    variance = torch.tensor([c], dtype=torch.float64)
    close(
        "5.7 zero, for every noise",
        gradient(GaussianFit(), known(mu, variance), prior, x, t),
        torch.zeros(1),
        1e-13,
    )
    off = gradient(GaussianFit(), known(mu, 1.2 * variance), prior, x, t)
    assert float(off.abs().max()) > 1e-4


def test_guidance_moves_the_law_and_keeps_its_width() -> None:
    """Between laws of one width: the mean is where SDS ends, and the width is the prior's."""
    mu0, mu1, c, scale, t = numbers(3, seed=1), numbers(3, seed=2), 0.4, 7.5, 500
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    goal = mu0 + scale * (mu1 - mu0)
    x = goal + numbers(5, 3, seed=3)
    state = known(goal, torch.tensor([c], dtype=torch.float64))
    still = averaged(state, prior, x, t, antithetic(3), scale)
    close("5.7 guided fixed point", still, torch.zeros(1), 1e-12)


def test_the_law_is_reached_where_sds_collapses() -> None:
    """400 particles: mean and variance of the prior's law against a single point."""
    (goal, c), t, rate = torch.tensor([0.3, 0.4], dtype=torch.float64), 500, 0.5
    prior, fit = prior_of(gaussian(goal[None], c)), GaussianFit(memory=0.0)
    words, x = words_of(prior, 400), 2 + 0.2 * numbers(400, 1, seed=1)
    y = x
    state = seen(fit, prior, x)
    vsd, sds = VSD(fit, 1.0, "uniform"), SDS(1.0, "uniform")
    for step in range(1, 801):
        noise = numbers(400, 1, seed=step)
        random, rows = tape(noise), at(t, 400)
        answer = vsd.gradient(prior, x.reshape(-1, 1, 1, 1), rows, words, state, random)
        x, state = x - rate * answer.gradient.flatten(1), answer.state
        y = y - rate * averaged_sds(sds, prior, y, t)
    close("5.7 mean of the law", x.mean(), goal, 1e-12)
    close("5.7 variance of the law", x.var(correction=0), c, 1e-12)
    close("5.7 SDS has none", y.var(correction=0), 0, 1e-20)
    close("5.7 SDS is at the mode", y.mean(), goal, 1e-10)


def averaged_sds(sds: SDS, prior: Prior, x: Tensor, t: int) -> Tensor:
    """SDS averaged over two opposite draws, exact for a Gaussian."""
    words, latent = words_of(prior, len(x)), x.reshape(-1, 1, 1, 1)
    both = [
        sds.gradient(prior, latent, at(t, len(x)), words, {}, tape(sign * torch.ones_like(x)))
        for sign in (1.0, -1.0)
    ]
    return sum(one.gradient.flatten(1) for one in both) / 2


def test_it_answers_by_what_it_knew_and_then_learns() -> None:
    prior, fit = prior_of(gaussian([0.5, -0.5], 0.3)), GaussianFit()
    one, two = numbers(4, 2, seed=1), numbers(4, 2, seed=2)
    state = seen(fit, prior, one)
    objective, words = VSD(fit, 1.0, "uniform"), words_of(prior, 4)
    latent = two.reshape(4, 1, 1, 2)
    answer = objective.gradient(prior, latent, at(400, 4), words, state, RANDOM)
    close("of before", answer.gradient.flatten(1), gradient(fit, state, prior, two, 400), 0)
    after = seen(fit, prior, one, two)
    assert after.keys() == answer.state.keys()
    assert all(torch.equal(after[name], value) for name, value in answer.state.items())


def ridden(kind: str) -> Prior:
    """A prior with attention, alone or with an adapter of its own beneath the student."""
    prior = adapters.attending()
    if kind == "adapted":
        return Adapted(prior, adapters.weights_at_work(prior), 0.5)
    if kind == "path":
        forming = Forming(Adapter(learning_rate=0.01), steps=3)
        latents = adapters.numbers(4, *prior.latent_shape)
        formed = form(prior, latents, adapters.words_of(prior), forming, RANDOM)
        return Path(prior, formed, resolve(Fading(forming), 0.05))
    return prior


@pytest.mark.parametrize("kind", ["plain", "adapted", "path"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_an_untrained_adapter_leaves_csd(scale: float, kind: str) -> None:
    prior, words = ridden(kind), adapters.words_of(adapters.attending())
    latent, vsd = adapters.numbers(4, *prior.latent_shape, seed=2), VSD(LoRA(), scale)
    answer = vsd.gradient(prior, latent, adapters.T, words, vsd.init(prior), RANDOM)
    csd = CSD().gradient(prior, latent, adapters.T, words, {}, RANDOM)
    assert float(csd.gradient.abs().max()) > 1e-3
    close("5.7 untrained", answer.gradient, (scale - 1) * csd.gradient, 1e-12)
    after = vsd.gradient(prior, latent, adapters.T, words, answer.state, RANDOM)
    assert not torch.equal(after.gradient, answer.gradient)


class _Matrix(nn.Module):
    """A network of one projection: its head is ``W x`` on flattened latents."""

    config = SimpleNamespace(sample_size=2, in_channels=1)

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.to_q = nn.Linear(4, 4, bias=False, dtype=torch.float64)
        self.attention.to_q.weight = nn.Parameter(0.3 * adapters.numbers(4, 4, seed=5))

    def forward(self, x: Tensor, t: Tensor, **given: Any) -> tuple[Tensor]:
        return (self.attention.to_q(x.flatten(1)).reshape(x.shape),)


class _Nothing(nn.Module):
    class _Config(dict):
        scaling_factor = 1.0

    config = _Config(block_out_channels=(1,))


@pytest.mark.parametrize("head", ["epsilon", "v_prediction", "sample"])
def test_a_trained_adapter_reaches_the_least_squares_of_a_gaussian(head: str) -> None:
    """``A = sigma / (alpha^2 S^2 + sigma^2)`` minimises ``E |A x_t - eps|^2`` for ``N(0, S^2)``."""
    alpha, spread = 0.8, torch.tensor([0.3, 0.7, 1.0, 1.6], dtype=torch.float64)
    schedule = NoiseSchedule.from_alphas_cumprod(torch.tensor([alpha**2]))
    prior = StableDiffusion(_Matrix(), _Nothing(), _Nothing(), None, schedule, head, "matrix")
    condition = Condition(torch.zeros(4096, 1, 1))
    rules = Adapter(rank=4, weight_decay=0.0)
    state = rules.init(prior)
    for step in range(500):
        now = dataclasses.replace(rules, learning_rate=0.03 * 0.988**step)
        latent = (spread * numbers(4096, 4, seed=step)).reshape(-1, 1, 2, 2)
        noise = numbers(4096, 4, seed=100_000 + step).reshape(latent.shape)
        state = now.learn(prior, state, latent, condition, _Opposite(seed=step, noise=noise))
    sigma = (1 - alpha**2) ** 0.5
    slope = sigma / (alpha**2 * spread.square() + sigma**2)
    trained = Adapted(prior, weights_of(state))
    eye = torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2)
    learnt = trained.predict(eye, at(0, 4), [Condition(torch.zeros(4, 1, 1))])[0].flatten(1)
    close(f"5.7 least squares, {head}", learnt, torch.diag(slope), 0.01)


@dataclasses.dataclass(frozen=True)
class _Opposite(Randomness):
    """A stream with given noise, to spare a generator per row."""

    seed: int = 0
    noise: Tensor | None = None

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        assert self.noise is not None
        return self.noise.reshape(like.shape)

    def uniform(self, purpose: str, count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.float64)
