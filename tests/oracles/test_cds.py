"""CDS: the denoiser identity, closed forms of Gaussians, its sign, and the noise that lasts."""

import pytest
import torch
from toys import (
    RANDOM,
    RandomNetwork,
    ask_gradient,
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

from maquette.errors import InputError, PriorError
from maquette.noise import NoiseSchedule
from maquette.objectives.cds import CDS
from maquette.objectives.guidance import guided
from maquette.objectives.inversion import invert
from maquette.objectives.ism import ISM
from maquette.priors.analytic import Headed
from maquette.priors.base import Counting
from maquette.randomness import Randomness

DIMS = (1, 2, 16)
CONVENTIONS = ("paper", "code")
LEVELS = [(500, 300), (900, 650), (300, 299), (120, 0)]
C = 0.4

each_convention = pytest.mark.parametrize("convention", CONVENTIONS)


def exact(gap, convention, scale=1.0, weight="uniform"):
    """CDS over an interval of one length."""
    return CDS(scale, (float(gap), float(gap)), weight, convention)


def between(t, n, convention, scale=1.0, weight="uniform"):
    """The objective, the timestep that it has to be given, and what multiplies eps_t - eps_n."""
    _, _, rho_n = levels(NoiseSchedule.scaled_linear(), n)
    given, factor = (t, rho_n) if convention == "paper" else (n, 1.0)
    return exact(t - n, convention, scale, weight), given, factor


def eps_difference(z, mean, start, end):
    """``eps(start) - eps(end)`` of a Gaussian, for one Euler step from ``z`` at rho ``start``."""
    return C * (start - end) * (z - mean) / ((C + start**2) * (C + end**2))


class Recorder(RandomNetwork):
    """Remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def predict(self, noised, t, conditions):
        self.seen.append((noised, t))
        return super().predict(noised, t, conditions)

    def noise_of(self, x):
        """The noise in the noisier latents that it was shown last."""
        noised, t = self.seen[-2]
        return (noised - self.schedule.alpha(t, x) * x) / self.schedule.sigma(t, x)


def shown(objective, x, given, random):
    """The recorder after one gradient at timesteps ``given``."""
    prior = Recorder()
    objective.gradient(prior, x, given, words_of(prior, len(x)), {}, random)
    return prior


@pytest.mark.parametrize(("t", "n"), LEVELS)
@pytest.mark.parametrize("scale", [1.0, 7.5])
@each_convention
def test_denoiser_identity_of_any_network(convention, scale, t, n):
    prior, x, noise = RandomNetwork(), numbers(3, 4, 8, 8), numbers(1, 4, 8, 8, seed=5)
    noise = noise if convention == "code" else noise.repeat(3, 1, 1, 1)
    objective, given, factor = between(t, n, convention, scale)
    words = words_of(prior, 3)
    g = objective.gradient(prior, x, at(given, 3), words, {}, tape(noise)).gradient
    (a_t, _, rho_t), (a_n, _, rho_n) = (levels(prior.schedule, level) for level in (t, n))
    z_t = x + rho_t * noise
    eps_t = guided(prior, a_t * z_t, at(t, 3), words, scale)
    z_n = z_t + (rho_n - rho_t) * eps_t
    eps_n = guided(prior, a_n * z_n, at(n, 3), words, scale)
    # The random network answers with large numbers, so residuals are taken relative to them.
    unit = factor / g.abs().max()
    g = g / g.abs().max()
    close("5.8 g = eps_t - eps_n", g, unit * (eps_t - eps_n), 1e-12)
    denoised_t, denoised_n = z_t - rho_t * eps_t, z_n - rho_n * eps_n
    close("5.8 g = (D_n - D_t) / rho_n", g, unit * (denoised_n - denoised_t) / rho_n, 1e-11)


@pytest.mark.parametrize(("t", "n"), LEVELS)
@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_cds_of_gaussians(convention, dims, scale, t, n):
    mu0, mu1, noise = numbers(dims, seed=1), numbers(dims, seed=2), numbers(1, dims, seed=3)
    prior, x = prior_of(gaussian(mu1, C), gaussian(mu0, C)), numbers(1, dims, seed=4)
    (_, _, rho_t), (_, _, rho_n) = (levels(prior.schedule, level) for level in (t, n))
    # Guidance between Gaussians of equal variance is a Gaussian whose mean has been moved on.
    mean = mu0 + scale * (mu1 - mu0)
    objective, given, factor = between(t, n, convention, scale)
    g = ask_gradient(objective, prior, x, given, tape(noise))
    by_hand = factor * eps_difference(x + rho_t * noise, mean, rho_t, rho_n)
    close("5.8 CDS", g, by_hand, 1e-12)


@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_weight_is_that_of_the_noisier_level(convention, dims):
    prior, x = prior_of(random_mixture(dims, "full")), numbers(1, dims)
    plain, given, _ = between(500, 300, convention)
    weighted, _, _ = between(500, 300, convention, weight="sigma_squared")
    _, sigma_t, _ = levels(prior.schedule, 500)
    g, h = (ask_gradient(objective, prior, x, given) for objective in (plain, weighted))
    close("5.8 w(t)", h, sigma_t**2 * g, 1e-15)


@pytest.mark.parametrize("scale", [1.0, 7.5])
@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_one_pair_of_levels_leads_to_a_point_beside_the_mode(convention, dims, scale):
    mu0, mu1, (t, n) = numbers(dims, seed=1), numbers(dims, seed=2), (500, 300)
    prior = prior_of(gaussian(mu1, C), gaussian(mu0, C))
    (_, _, rho_t), (_, _, rho_n) = (levels(prior.schedule, level) for level in (t, n))
    objective, given, factor = between(t, n, convention, scale)
    k = factor * C * (rho_t - rho_n) / ((C + rho_t**2) * (C + rho_n**2))
    rate, x = 0.1 / k, numbers(1, dims, seed=4)
    # The stream is the run's own: what it draws at step 0 is there at every step.
    noise = RANDOM.normal("fixed noise", x)
    start, goal = x, mu0 + scale * (mu1 - mu0) - rho_t * noise
    for step in range(1, 81):
        x = x - rate * ask_gradient(objective, prior, x, given, RANDOM.at(step))
        close("5.8 CDS trajectory", x - goal, 0.9**step * (start - goal), 1e-11)
    stays = ask_gradient(objective, prior, goal, given, RANDOM)
    close("5.8 CDS fixed point", stays, torch.zeros(1), 1e-13)


@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_the_mode_is_reached_as_the_noise_falls(convention, dims):
    mean, noise = numbers(dims, seed=1), numbers(1, dims, seed=3)
    prior, x = prior_of(gaussian(mean, C)), numbers(1, dims, seed=4)
    by_hand, away = x, []
    for t in [*range(900, 1, -5), *[1] * 60]:
        n = t // 2
        objective, given, factor = between(t, n, convention)
        (_, _, rho_t), (_, _, rho_n) = (levels(prior.schedule, level) for level in (t, n))
        k = factor * C * (rho_t - rho_n) / ((C + rho_t**2) * (C + rho_n**2))
        x = x - 0.5 / k * ask_gradient(objective, prior, x, given, tape(noise))
        by_hand = by_hand - 0.5 * (by_hand - mean + rho_t * noise)
        close("5.8 CDS path under annealing", x, by_hand, 1e-11)
        away.append(float((x - mean).norm() / noise.norm()))
    assert away[100] > 0.5
    close("5.8 what is left is the lowest rho", away[-1], levels(prior.schedule, 1)[2], 1e-11)


@pytest.mark.parametrize(("t", "n"), LEVELS)
@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_a_point_gives_no_gradient_anywhere(convention, dims, t, n):
    prior, x = prior_of(gaussian(numbers(dims, seed=1), 0.0)), 5 * numbers(1, dims, seed=4)
    objective, given, _ = between(t, n, convention)
    g = ask_gradient(objective, prior, x, given, tape(numbers(1, dims, seed=3)))
    close("5.8 CDS, Dirac", g, torch.zeros(1), 1e-12)


@pytest.mark.parametrize("dims", DIMS)
@each_convention
def test_the_sign(convention, dims):
    mean, quiet, (t, n) = numbers(dims, seed=1), torch.zeros(1, dims).double(), (500, 300)
    prior, x = prior_of(gaussian(mean, C)), numbers(1, dims, seed=4)
    objective, given, factor = between(t, n, convention)
    g = ask_gradient(objective, prior, x, given, tape(quiet))
    assert float((g * (x - mean)).sum()) > 0, "descent on g must lead to the mean"
    (a_t, _, rho_t), (_, _, rho_n) = (levels(prior.schedule, level) for level in (t, n))
    text = prior.condition(["a toy"])
    eps_t = prior.predict((a_t * x).reshape(1, 1, 1, dims), at(t), [text])[0].flatten(1)
    a_n = levels(prior.schedule, n)[0]
    z_n = x + (rho_n - rho_t) * eps_t
    eps_n = prior.predict((a_n * z_n).reshape(1, 1, 1, dims), at(n), [text])[0].flatten(1)
    # The public code: grad = eps_n - eps_t, added to the target of half a square.
    leaf = x.clone().requires_grad_()
    loss = 0.5 * (leaf - (leaf + factor * (eps_n - eps_t)).detach()).square().sum()
    (surrogate,) = torch.autograd.grad(loss, leaf)
    close("5.8 the public code's surrogate", g, surrogate, 1e-14)
    to_cleaner = (x - rho_t * eps_t) - (z_n - rho_n * eps_n)
    assert float((to_cleaner * (x - mean)).sum()) < 0, "the loss as it reads leads away"


@pytest.mark.parametrize(("t", "n"), LEVELS[:3])
@pytest.mark.parametrize("dims", DIMS)
def test_ism_is_the_same_algebra_with_the_arrow_reversed(dims, t, n):
    mean, x, noise = numbers(dims, seed=1), numbers(1, dims, seed=4), numbers(1, dims, seed=3)
    prior = prior_of(gaussian(mean, C))
    _, _, rho_t = levels(prior.schedule, t)
    a_n, _, rho_n = levels(prior.schedule, n)
    down, given, _ = between(t, n, "code")
    cds = ask_gradient(down, prior, x, given, tape(noise))
    close("5.8 t -> n", cds, eps_difference(x + rho_t * noise, mean, rho_t, rho_n), 1e-12)
    up = ISM(1.0, float(t - n), stride=50, weight="uniform", strength=1.0)
    null = prior.condition([""])
    z_n = invert(prior, x.reshape(1, 1, 1, dims), at(n), null, RANDOM, stride=50).flatten(1) / a_n
    ism = ask_gradient(up, prior, x, t)
    close("5.8 n -> t is minus that, swapped", ism, -eps_difference(z_n, mean, rho_n, rho_t), 1e-12)


@each_convention
def test_the_noise_lasts_for_the_run(convention):
    x, given = numbers(3, 4, 8, 8), at(500, 3)
    objective = exact(100, convention)
    first, later, other = (
        shown(objective, x, given, random).noise_of(x)
        for random in (RANDOM, RANDOM.at(17), Randomness(RANDOM.seed + 1))
    )
    close("5.8 one noise for all steps", later, first, 1e-12)
    assert (other - first).abs().max() > 1
    shared = (first[0] - first[1]).abs().max()
    assert shared < 1e-12 if convention == "code" else shared > 1
    part = shown(objective, x[1:], given[1:], RANDOM.from_view(1)).noise_of(x[1:])
    close("5.8 the same for a part of the batch", part, first[1:], 1e-12)
    assert abs(float(first.mean())) < 0.3
    assert abs(float(first.std()) - 1) < 0.2


@each_convention
def test_intervals_are_drawn_for_each_view_and_step(convention):
    x, given = numbers(64, 4, 8, 8), at(500, 64)
    deltas = []
    for step in range(8):
        (_, t), (_, n) = shown(CDS(51.0, convention=convention), x, given, RANDOM.at(step)).seen
        assert torch.equal(n if convention == "code" else t, given)
        deltas.append(t - n)
    drawn = torch.cat(deltas)
    assert 100 <= int(drawn.min()) < 110
    assert 290 <= int(drawn.max()) < 300
    assert len({int(delta[0]) for delta in deltas}) > 4
    assert len(set(deltas[0].tolist())) > 30


def test_levels_stay_within_the_schedule():
    x = numbers(3, 4, 8, 8)
    for convention, given, ends in (
        ("paper", torch.tensor([0, 50, 250]), [(0, 0), (50, 0), (250, 50)]),
        ("code", torch.tensor([999, 850, 250]), [(999, 999), (999, 850), (450, 250)]),
    ):
        (_, t), (_, n) = shown(exact(200, convention), x, given, RANDOM).seen
        assert list(zip(t.tolist(), n.tolist(), strict=True)) == ends


def test_what_is_refused():
    prior = prior_of(gaussian([0.5], C), schedule=NoiseSchedule.flow(1000))
    with pytest.raises(PriorError, match="no signal left"):
        ask_gradient(exact(200, "paper"), prior, numbers(1, 1), 999)
    with pytest.raises(PriorError, match="no signal left"):
        ask_gradient(exact(200, "code"), prior, numbers(1, 1), 850)
    for bounds in ((300.0, 100.0), (-1.0, 5.0)):
        with pytest.raises(InputError, match="0 <= low <= high"):
            ask_gradient(CDS(1.0, bounds), prior, numbers(1, 1), 500)


@each_convention
def test_same_gradient_on_a_flow_and_on_its_variance_preserving_twin(convention):
    flow = NoiseSchedule.flow(1000)
    k = torch.hypot(flow.alphas, flow.sigmas)
    twin = NoiseSchedule(flow.alphas / k, flow.sigmas / k)
    laws, x = (random_mixture(2, "full"), random_mixture(2, "full", seed=50)), numbers(4, 2, seed=9)
    on_flow, on_twin = (
        ask_gradient(
            CDS(7.5, convention=convention), Headed(prior_of(*laws, schedule=s), head), x, 450
        )
        for s, head in ((flow, "flow"), (twin, "v"))
    )
    close("5.2 CDS flow = twin", on_flow, on_twin, 1e-10)


class Echo(RandomNetwork):
    """Answers every question with the same field."""

    def _one(self, noised, t, condition):
        return torch.ones_like(noised) * torch.linspace(-1, 2, 8, dtype=noised.dtype)


@each_convention
def test_equal_predictions_give_nothing_to_do(convention):
    prior, x = Echo(), numbers(3, 4, 8, 8)
    objective = CDS(7.5, convention=convention)
    g = objective.gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM).gradient
    close("5.3 coefficients sum to zero", g, torch.zeros(1), 1e-14)


@each_convention
def test_evaluations_per_view(convention):
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    objective = CDS(51.0, convention=convention)
    objective.gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * 4
