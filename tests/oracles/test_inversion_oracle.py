"""DDIM inversion: order of convergence, the way back, views of their own pace, and its cost."""

import pytest
import torch
from toys import (
    RANDOM,
    RandomNetwork,
    at,
    close,
    even_in_rho,
    gaussian,
    levels,
    numbers,
    prior_of,
    random_mixture,
    words_of,
)

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.objectives.csd import CSD
from maquette.objectives.inversion import first_level, invert, invert_from
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.priors.base import Counting


def walk(prior, x, begin, s, stride):
    latent = x.reshape(len(x), *prior.latent_shape)
    null = prior.condition([""] * len(x))
    return invert_from(prior, latent, begin, at(s, len(x)), null, stride=stride).flatten(1)


@pytest.mark.parametrize("dims", [1, 2, 16])
def test_first_order_towards_the_exact_flow(dims):
    mean, c, begin, s = numbers(dims, seed=1), 0.4, 1023, 16383
    prior = prior_of(gaussian(mean, c), schedule=even_in_rho(16384, 4.0))
    alpha_0, _, rho_0 = levels(prior.schedule, begin)
    alpha_s, _, rho_s = levels(prior.schedule, s)
    z_0 = numbers(2, dims, seed=2)
    exact = mean + (z_0 - mean) * ((c + rho_s**2) / (c + rho_0**2)) ** 0.5
    errors = torch.stack(
        [
            (walk(prior, alpha_0 * z_0, begin, s, stride) / alpha_s - exact).norm()
            for stride in (256, 128, 64, 32)
        ]
    )
    order = torch.log2(errors[:-1] / errors[1:])
    close("5.5 order of DDIM", order, torch.ones(3), 0.02)
    assert errors[-1] < 0.01 * exact.norm()


def test_the_step_is_euler_in_z_and_rho():
    schedule = NoiseSchedule.scaled_linear()
    x, eps = numbers(3, 1, 1, 2), numbers(3, 1, 1, 2, seed=1)
    for s, t in ((-1, 0), (-1, 500), (100, 180), (700, 20), (999, -1)):
        a_s, _, rho_s = levels(schedule, s)
        a_t, _, rho_t = levels(schedule, t)
        stepped = schedule.ddim_step(x, eps, at(s, 3), at(t, 3))
        close("5.5 Euler", stepped / a_t, x / a_s + (rho_t - rho_s) * eps, 1e-12)


def back(prior, x_s, s, stride):
    """DDIM sampling from ``s`` to the clean level, with the levels of the inversion."""
    null = [prior.condition([""] * len(x_s))]
    x, level = x_s.reshape(len(x_s), *prior.latent_shape), s
    for lower in [*range(stride * ((s - 1) // stride), 0, -stride), -1]:
        eps = prior.predict(x, at(level, len(x)), null)[0]
        x = prior.schedule.ddim_step(x, eps, at(level, len(x)), at(lower, len(x)))
        level = lower
    return x.flatten(1)


@pytest.mark.parametrize("dims", [1, 2, 16])
def test_there_and_back_again(dims):
    x, s = numbers(2, dims), 400
    point = prior_of(gaussian(numbers(dims, seed=1), 0.0))
    close(
        "5.5 back, Dirac", back(point, walk(point, x, -1, s, 100), s, 100), point._means[0], 1e-12
    )
    cloud = prior_of(random_mixture(dims, "full"))
    errors = torch.stack(
        [(back(cloud, walk(cloud, x, -1, s, d), s, d) - x).norm() for d in (8, 4, 2)]
    )
    assert errors[-1] < 0.1 * x.norm()
    assert bool((errors[:-1] / errors[1:] > 1.6).all()), errors


def test_back_to_the_picture_that_is_the_point():
    x, s = numbers(1, 4), 600
    prior = prior_of(gaussian(x[0], 0.0))
    close("5.5 back, self-Dirac", back(prior, walk(prior, x, -1, s, 100), s, 100), x, 1e-12)


def test_views_walk_at_their_own_pace():
    prior, x = RandomNetwork(), numbers(4, 4, 8, 8)
    s, words = torch.tensor([0, 199, 200, 777]), words_of(prior, 4)
    counting = Counting(prior)
    together = invert(counting, x, s, words.null, RANDOM)
    # ceil((s + 1) / 200) for each view: the walk begins at -1, the clean level.
    assert counting.evaluations == 1 + 1 + 2 + 4
    for row in range(4):
        alone = invert(prior, x[row : row + 1], s[row : row + 1], words_of(prior, 1).null, RANDOM)
        close("5.5 rows alone", together[row : row + 1], alone, 1e-13)


def test_the_code_convention_starts_a_little_noised():
    prior, x = RandomNetwork(), numbers(2, 4, 8, 8)
    null = words_of(prior, 2).null
    start = invert(prior, x, at(1, 2), null, RANDOM, convention="code")
    alpha, sigma, _ = levels(prior.schedule, 1)
    noise = (start - alpha * x) / sigma
    offset = (noise - RANDOM.normal("noise", x)) / 0.1
    close("5.5 offset is constant over pixels", offset.std((2, 3)), torch.zeros(2, 4), 1e-11)
    close("5.5 offset is shared by the batch", offset[0], offset[1], 1e-11)
    assert offset[0].std() > 0.1
    assert first_level("code") == 1
    assert 0.04 < sigma < 0.042


@pytest.mark.parametrize(
    ("objective", "per_view"),
    [
        (SDS(), 2),
        (CSD(), 2),
        (ISM(), 3 + 3),  # s = 420: from -1 by 199, 399 and 420.
        (ISM(convention="code"), 3 + 3),  # From 1 by 201, 401 and 420.
        (ISM(stride=1000), 1 + 3),
        (ISM(delta_t=600), 1 + 3),  # s = 0, held there: one step from the clean level.
        (ISM(delta_t=600, convention="code"), 0 + 3),
    ],
    ids=repr,
)
def test_evaluations_per_view(objective, per_view):
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    objective.gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * per_view


def test_a_stride_that_never_arrives_is_refused():
    prior = prior_of(gaussian([0.0], 1.0))
    with pytest.raises(InputError, match="never arrives"):
        walk(prior, numbers(1, 1), -1, 10, 0)
