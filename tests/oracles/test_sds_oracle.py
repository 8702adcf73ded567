"""SDS: the functional it descends, its law for Gaussians, its fixed points and its trajectories."""

import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from toys import (
    RANDOM,
    antithetic,
    ask_gradient,
    close,
    expected,
    gaussian,
    hermite,
    levels,
    log_density,
    numbers,
    prior_of,
    random_mixture,
    tape,
    words_of,
)

from maquette.noise import NoiseSchedule
from maquette.objectives.sds import SDS
from maquette.priors.analytic import Mixture

DIMS = (1, 2, 16)
PLAIN = SDS(guidance_scale=1.0, weight="uniform")
TWO_MODES = Mixture(
    torch.tensor([0.4, 0.6], dtype=torch.float64),
    torch.tensor([[-1.5], [1.0]], dtype=torch.float64),
    torch.tensor([0.05, 0.1], dtype=torch.float64),
)


def noise_free_slope(prior, t, variance):
    """``w a s / D`` of a Gaussian under the ``sigma_squared`` weight."""
    alpha, sigma, _ = levels(prior.schedule, t)
    return sigma**2 * alpha * sigma / (alpha**2 * variance + sigma**2)


@pytest.mark.parametrize("t", [100, 500, 900])
@pytest.mark.parametrize("dims", [1, 2])
def test_gradient_of_the_kl_functional(dims, t):
    law = random_mixture(dims, "full", seed=3)
    prior = prior_of(law)
    alpha, sigma, _ = levels(prior.schedule, t)
    points, weights = rule = hermite(60 if dims == 1 else 24, dims)
    x, h = numbers(1, dims, seed=4), 2e-3

    def kl(at_x):
        """``KL(N(a x, s^2 I) || p_t)`` up to a constant in x."""
        return -(weights * log_density(prior, law, alpha * at_x + sigma * points, t)).sum()

    shifts = h * torch.eye(dims, dtype=torch.float64)
    slope = torch.stack(
        [(8 * (kl(x + d) - kl(x - d)) - (kl(x + 2 * d) - kl(x - 2 * d))) / (12 * h) for d in shifts]
    )
    mean = expected(PLAIN, prior, x, t, rule)[0]
    close("5.4 E[g] = (s/a) grad KL", mean, sigma / alpha * slope, 1e-9)


@pytest.mark.parametrize("t", [20, 300, 980])
@pytest.mark.parametrize("dims", DIMS)
def test_mean_and_noise_of_a_gaussian(dims, t):
    mean, variance = numbers(dims, seed=1), 0.4
    prior = prior_of(gaussian(mean, variance))
    alpha, sigma, _ = levels(prior.schedule, t)
    d, w, x = alpha**2 * variance + sigma**2, sigma**2, numbers(3, dims, seed=2)
    objective = SDS(guidance_scale=1.0)
    average = expected(objective, prior, x, t, antithetic(dims))
    close("5.4 E[g]", average, w * alpha * sigma * (x - mean) / d, 1e-14)
    quiet = ask_gradient(objective, prior, x, t, tape(torch.zeros_like(x)))
    noise = numbers(3, dims, seed=6)
    noisy = ask_gradient(objective, prior, x, t, tape(noise))
    close("5.4 noise of g", noisy - quiet, -w * alpha**2 * variance / d * noise, 1e-14)


@pytest.mark.parametrize("dims", DIMS)
def test_a_point_gives_the_same_gradient_for_every_noise(dims):
    mean, t, x = numbers(dims, seed=1), 350, numbers(5, dims, seed=2)
    prior = prior_of(gaussian(mean, 0.0))
    alpha, sigma, rho = levels(prior.schedule, t)
    for seed in range(3):
        g = ask_gradient(SDS(1.0), prior, x, t, tape(numbers(5, dims, seed=seed)))
        close("5.4 Dirac", g, sigma**2 / rho * (x - mean), 1e-13)
    assert alpha > 0


@pytest.mark.parametrize("scale", [1.0, 7.5, 100.0])
@pytest.mark.parametrize("dims", DIMS)
def test_guidance_moves_the_fixed_point(dims, scale):
    mu0, mu1, c, t = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 500
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    k, x = noise_free_slope(prior, t, c), numbers(3, dims, seed=3)
    objective = SDS(guidance_scale=scale)
    average = expected(objective, prior, x, t, antithetic(dims))
    close("5.4 CFG field", average, k * ((x - mu0) - scale * (mu1 - mu0)), 1e-12)
    there = (mu0 + scale * (mu1 - mu0))[None]
    stays = expected(objective, prior, there, t, antithetic(dims))
    close("5.4 CFG fixed point", stays / scale, torch.zeros(1), 1e-13)


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
def test_the_whole_trajectory_of_gradient_descent(dims, scale):
    mu0, mu1, c, t, rate = numbers(dims, seed=1), numbers(dims, seed=2), 0.4, 500, 1.5
    prior = prior_of(gaussian(mu1, c), gaussian(mu0, c))
    k, goal = noise_free_slope(prior, t, c), mu0 + scale * (mu1 - mu0)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 61):
        x = x - rate * expected(SDS(scale), prior, x, t, antithetic(dims))
        close("5.4 trajectory", x - goal, (1 - rate * k) ** n * (start - goal), 1e-11)


def test_limits_in_t():
    variance = 0.4
    prior = prior_of(gaussian([0.5], variance), schedule=NoiseSchedule.flow(1000))
    x, noise = torch.tensor([[2.0]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    early, late = (
        ask_gradient(PLAIN, prior, x, t, tape(noise))
        - ask_gradient(PLAIN, prior, x, t, tape(-noise))
        for t in (0, 999)
    )
    close("5.4 t -> 0: noise is w", early / -2, torch.ones(1), 1e-5)
    close("5.4 t -> T: noise is 0", late, torch.zeros(1), 1e-14)
    close("5.4 t -> T: mean is 0", expected(PLAIN, prior, x, 999, hermite()), torch.zeros(1), 1e-14)


def one_dimensional_field(prior, t):
    return lambda x: float(
        expected(PLAIN, prior, torch.tensor([[float(x)]], dtype=torch.float64), t, hermite())
    )


def test_mixtures_converge_to_the_roots_of_the_field():
    prior, t = prior_of(TWO_MODES), 100
    field = one_dimensional_field(prior, t)
    grid = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)[:, None]
    on_grid = expected(PLAIN, prior, grid, t, hermite())[:, 0]
    crossings = torch.nonzero(on_grid[:-1] * on_grid[1:] < 0)[:, 0]
    roots = [brentq(field, float(grid[i]), float(grid[i + 1]), xtol=1e-13) for i in crossings]
    assert len(roots) == 3
    starts = torch.tensor([[-2.4], [-0.9], [roots[1] - 0.01], [roots[1] + 0.01], [0.7], [2.2]])
    x = starts = starts.double()
    for _ in range(400):
        x = x - 0.5 * expected(PLAIN, prior, x, t, hermite())
    ends = torch.tensor([roots[0]] * 3 + [roots[2]] * 3)[:, None]
    close("5.4 fixed points of a mixture", x, ends, 1e-6)

    def flow(_, y):
        return -expected(PLAIN, prior, torch.from_numpy(y)[:, None], t, hermite())[:, 0].numpy()

    path = solve_ivp(flow, (0, 200), starts[:, 0].numpy(), rtol=1e-9, atol=1e-11)
    close("5.4 the ODE ends there too", x[:, 0], torch.from_numpy(path.y[:, -1]), 1e-6)


def test_a_mixture_in_sixteen_dimensions_is_one_dimensional_along_its_line():
    direction = numbers(16, seed=1)
    direction = direction / direction.norm()
    means = torch.tensor([-1.5, 1.0], dtype=torch.float64)
    weights = TWO_MODES.weights
    wide = prior_of(
        Mixture(weights, means[:, None] * direction, torch.full((2,), 0.1, dtype=torch.float64))
    )
    narrow = prior_of(Mixture(weights, means[:, None], torch.full((2,), 0.1, dtype=torch.float64)))
    points, node_weights = hermite()
    x = numbers(2, 16, seed=2)
    along = (x @ direction)[:, None]
    rule = (points * direction, node_weights)
    full = expected(PLAIN, wide, x, 300, rule)
    line = expected(PLAIN, narrow, along, 300, (points, node_weights))
    alpha, sigma, _ = levels(wide.schedule, 300)
    across = alpha * sigma / (alpha**2 * 0.1 + sigma**2) * (x - along * direction)
    close("5.4 mixture in 16 dimensions", full, line * direction + across, 1e-13)


def test_sjc_is_sds_with_uniform_weight():
    prior, x, t = prior_of(random_mixture(2, "full")), numbers(3, 2, seed=1), 400
    _, _, rho = levels(prior.schedule, t)
    noise = RANDOM.normal("noise", x.reshape(3, 1, 1, 2))
    z = x.reshape(3, 1, 1, 2) + rho * noise
    alpha = levels(prior.schedule, t)[0]
    steps = torch.full((3,), t)
    (eps,) = prior.predict(alpha * z, steps, [words_of(prior, 3).positive])
    denoised = prior.schedule.clean_from_eps(alpha * z, eps, steps)
    sjc = -(denoised - x.reshape(3, 1, 1, 2)) / rho
    close("5.4 SJC = SDS", ask_gradient(PLAIN, prior, x, t), sjc.flatten(1), 1e-13)


def test_surrogate_losses_carry_the_same_gradient():
    prior, x = prior_of(random_mixture(2, "full")), numbers(4, 2, seed=1)
    g = ask_gradient(PLAIN, prior, x, 400)
    leaf = x.clone().requires_grad_()
    loss = 0.5 * (leaf - (leaf - g).detach()).square().sum()
    (summed,) = torch.autograd.grad(loss, leaf)
    close("5.4 half square surrogate", summed, g, 1e-15)
    (injected,) = torch.autograd.grad(leaf * 1.0, leaf, g)
    assert torch.equal(injected, g)
    mean_loss = 0.5 * (leaf - (leaf - g).detach()).square().sum() / len(x)
    (averaged,) = torch.autograd.grad(mean_loss, leaf)
    close("5.4 division by the batch is a factor B", averaged * len(x), g, 1e-15)


def test_value_is_half_the_mean_square():
    prior, x = prior_of(random_mixture(2, "full")), numbers(4, 1, 1, 2)
    t = torch.full((4,), 300)
    answer = PLAIN.gradient(prior, x, t, words_of(prior, 4), {}, RANDOM)
    close("value", answer.value, 0.5 * answer.gradient.square().flatten(1).mean(1), 1e-16)
