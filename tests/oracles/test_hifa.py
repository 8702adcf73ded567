"""HiFA: SDS in one step, DDIM and DDPM in several, and residuals of pictures through a decoder."""

import itertools

import pytest
import torch
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    antithetic,
    ask_gradient,
    at,
    close,
    expected,
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
from maquette.objectives.guidance import guided
from maquette.objectives.hifa import HiFA
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture, Headed
from maquette.priors.base import Counting, Prior
from maquette.records import Against, Words

DIMS = (1, 2, 16)
LATENTS = HiFA(image_weight=0.0)


class Drawing(Prior):
    """A prior whose ``draw`` makes flat pictures ``[B, P]`` of flat latents ``[B, D]``."""

    def __init__(self, prior, draw, encoder=None):
        self.prior, self.draw, self.encoder = prior, draw, encoder
        self.schedule, self.name = prior.schedule, prior.name
        self.latent_shape, self.image_size = prior.latent_shape, prior.image_size

    def encode(self, images):
        assert self.encoder is not None
        return (images.flatten(1) @ self.encoder.T).reshape(-1, *self.latent_shape)

    def decode(self, latents):
        return self.draw(latents.flatten(1)).reshape(len(latents), 1, -1, 3)

    def predict(self, noised, t, conditions):
        return self.prior.predict(noised, t, conditions)

    def condition(self, texts, views=None, render=None):
        return self.prior.condition(texts, views, render)


def equal_covariances(dims, c=0.4, *, scale=7.5):
    """A prior of two Gaussians, and the mean that guidance makes of theirs."""
    mu0, mu1 = numbers(dims, seed=1), numbers(dims, seed=2)
    return prior_of(gaussian(mu1, c), gaussian(mu0, c)), mu0 + scale * (mu1 - mu0)


def of_latents(scale=7.5, stride=250, eta=1.0):
    return HiFA(scale, stride, eta, image_weight=0.0, strength=1.0)


def stages(t, stride):
    """The levels that denoising goes through, the clean one (-1) at the end."""
    return [*range(t, 0, -stride), -1] if t else [0, -1]


def fresh(like, step):
    return RANDOM.normal(f"denoise {step}", like)


@pytest.mark.parametrize("weight", ["uniform", "sigma_squared", "rho"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_one_step_is_sds_for_any_network(scale, weight):
    prior, x = RandomNetwork(), numbers(4, 4, 8, 8)
    t, words = torch.tensor([0, 20, 500, 980]), words_of(prior, 4)
    hifa = HiFA(scale, 1000, weight=weight, image_weight=0.0)
    g, sds = (
        part.gradient(prior, x, t, words, {}, RANDOM).gradient
        for part in (hifa, SDS(scale, weight))
    )
    close("HiFA in one step = rho SDS", g, 0.05 * prior.schedule.rho(t, x) * sds, 1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("t", [20, 250, 251, 700, 980])
@pytest.mark.parametrize("dims", DIMS)
def test_closed_form_of_gaussians(dims, t, eta):
    """Each step takes ``z - m`` to an affine image of itself; ``m`` is the guided mean."""
    (prior, mean), c = equal_covariances(dims), 0.4
    x = numbers(3, dims, seed=3)
    like, path = x.reshape(3, *prior.latent_shape), stages(t, 250)
    rhos = [levels(prior.schedule, level)[2] for level in path]
    off = x - mean + rhos[0] * RANDOM.normal("noise", like).flatten(1)
    for step, (rho, ahead) in enumerate(itertools.pairwise(rhos)):
        new = ahead * eta * (1 - ahead**2 / rho**2) ** 0.5
        kept = (ahead**2 - new**2) ** 0.5
        off = (c + rho * kept) / (c + rho**2) * off + new * fresh(like, step).flatten(1)
    g = ask_gradient(of_latents(eta=eta), prior, x, t)
    close("HiFA of Gaussians", g, x - (mean + off), 1e-11)


@pytest.mark.parametrize("stride", [1000, 250, 100, 37])
@pytest.mark.parametrize("t", [300, 980])
@pytest.mark.parametrize("dims", DIMS)
def test_with_fresh_noise_the_mean_does_not_depend_on_the_number_of_steps(dims, t, stride):
    """With eta = 1 the factors of the steps telescope to ``c / (c + rho_t^2)``."""
    (prior, mean), c, x = equal_covariances(dims), 0.4, numbers(3, dims, seed=3)
    rho = levels(prior.schedule, t)[2]
    average = expected(of_latents(stride=stride), prior, x, t, antithetic(dims))
    close("HiFA, E[g]", average, rho**2 / (c + rho**2) * (x - mean), 1e-11)


def test_with_fresh_noise_a_step_is_that_of_ddpm_for_any_network():
    """The posterior ``q(x_s | x_t, x_0)`` as Ho et al. 2020 write it, equation 7, across levels."""
    prior, x, t = RandomNetwork(), numbers(2, 4, 8, 8), 700
    words, bars = words_of(prior, 2), prior.schedule.alphas**2
    x_t = prior.schedule.add_noise(x, RANDOM.normal("noise", x), at(t, 2))
    for step, (now, ahead) in enumerate([(700, 450), (450, 200), (200, -1)]):
        eps = guided(prior, x_t, at(now, 2), words, 7.5)
        clean = prior.schedule.clean_from_eps(x_t, eps, at(now, 2))
        bar, lower = bars[now], bars[ahead] if ahead >= 0 else torch.ones(())
        ratio = bar / lower
        mean = lower.sqrt() * (1 - ratio) * clean + ratio.sqrt() * (1 - lower) * x_t
        variance = (1 - lower) / (1 - bar) * (1 - ratio)
        x_t = mean / (1 - bar) + variance.sqrt() * fresh(x, step)
    g = of_latents().gradient(prior, x, at(t, 2), words, {}, RANDOM).gradient
    close("HiFA, eta = 1 is DDPM", g, x - x_t, 1e-11)


def test_without_fresh_noise_a_step_is_that_of_ddim_for_any_network():
    prior, x, t = RandomNetwork(), numbers(2, 4, 8, 8), 700
    words = words_of(prior, 2)
    x_t = prior.schedule.add_noise(x, RANDOM.normal("noise", x), at(t, 2))
    for now, ahead in [(700, 450), (450, 200), (200, -1)]:
        eps = guided(prior, x_t, at(now, 2), words, 7.5)
        x_t = prior.schedule.ddim_step(x_t, eps, at(now, 2), at(ahead, 2))
    g = of_latents(eta=0.0).gradient(prior, x, at(t, 2), words, {}, RANDOM).gradient
    close("HiFA, eta = 0 is DDIM", g, x - x_t, 1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("dims", DIMS)
def test_points_give_the_same_gradient_for_every_noise_and_stride(dims, eta):
    (prior, mean), x = equal_covariances(dims, 0.0), numbers(3, dims, seed=3)
    for stride in (1000, 250, 60):
        for seed in range(2):
            noise = tape(numbers(3, dims, seed=seed))
            g = ask_gradient(of_latents(7.5, stride, eta), prior, x, 700, noise)
            close("HiFA, Dirac", g, x - mean, 1e-11)


@pytest.mark.parametrize("stride", [1000, 250])
@pytest.mark.parametrize("dims", DIMS)
def test_trajectory_without_pictures(dims, stride):
    (prior, mean), c, t, rate = equal_covariances(dims), 0.4, 700, 0.3
    rho = levels(prior.schedule, t)[2]
    k = rho**2 / (c + rho**2)
    x = start = numbers(2, dims, seed=3)
    for n in range(1, 31):
        x = x - rate * expected(of_latents(stride=stride), prior, x, t, antithetic(dims))
        close("HiFA trajectory", x - mean, (1 - rate * k) ** n * (start - mean), 1e-10)


@pytest.mark.parametrize("stride", [1000, 250])
@pytest.mark.parametrize("dims", DIMS)
def test_trajectory_with_the_pictures_of_a_linear_decoder(dims, stride):
    (inner, mean), c, t, rate = equal_covariances(dims), 0.4, 700, 0.2
    matrix = numbers(3 * dims, dims, seed=5) / dims**0.5
    prior = Drawing(inner, lambda z: z @ matrix.T + 0.3)
    rho, objective = levels(prior.schedule, t)[2], HiFA(7.5, stride, strength=1.0)
    eye = torch.eye(dims, dtype=torch.float64)
    once = eye - rate * rho**2 / (c + rho**2) * (eye + 0.1 * matrix.T @ matrix)
    x = start = numbers(2, dims, seed=3)
    power = eye
    for _ in range(30):
        x = x - rate * expected(objective, prior, x, t, antithetic(dims))
        power = power @ once
        close("HiFA trajectory, pictures", x - mean, (start - mean) @ power, 1e-10)
    assert (x - mean).norm() < 0.1 * (start - mean).norm()


@pytest.mark.parametrize("dims", DIMS)
def test_image_residual_is_the_slope_of_half_its_square(dims):
    inner = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    matrix, x, h = numbers(6, dims, seed=5) / dims**0.5, numbers(1, dims, seed=3), 1e-3
    prior = Drawing(inner, lambda z: torch.sigmoid(z @ matrix.T))
    plain, pictured = (
        ask_gradient(HiFA(2.0, image_weight=share, strength=1.0), prior, x, 500)
        for share in (0.0, 0.7)
    )
    aim = prior.draw(x - plain)  # z_hat is z less the gradient of latents.

    def half_square(at_x):
        return 0.5 * (prior.draw(at_x) - aim).square().sum(1)

    steps = h * torch.eye(dims, dtype=torch.float64)
    near = half_square(x + steps) - half_square(x - steps)
    far = half_square(x + 2 * steps) - half_square(x - 2 * steps)
    slope = (8 * near - far) / (12 * h)
    close("HiFA image residual by differences", (pictured - plain)[0], 0.7 * slope, 1e-10)
    assert slope.abs().max() > 1e-4


def test_at_the_pixels_the_residual_is_what_the_autoencoder_can_draw_of_hifas_own():
    inner, pixels = prior_of(random_mixture(4, "full")), 12
    encoder = torch.linalg.qr(numbers(pixels, 4, seed=5))[0].T
    prior, t = Drawing(inner, lambda z: z @ encoder, encoder), at(500, 2)
    rendered = numbers(2, 1, pixels // 3, 3, seed=6).requires_grad_()
    latents, words = prior.encode(rendered), words_of(prior, 2)
    pictured, plain = (
        HiFA(2.0, image_weight=share, strength=1.0).gradient(
            prior, latents.detach(), t, words, {}, RANDOM
        )
        for share in (0.1, 0.0)
    )
    image_part = pictured.gradient - plain.gradient
    (on_pixels,) = torch.autograd.grad(latents, rendered, image_part)
    denoised = prior.decode(latents.detach() - plain.gradient)
    own = (rendered - denoised).detach().flatten(1)
    close("HiFA at pixels", on_pixels.flatten(1), 0.1 * own @ encoder.T @ encoder, 1e-13)
    # A picture that the autoencoder keeps gets the paper's gradient, whole.
    kept = prior.decode(latents.detach()).flatten(1)
    whole = kept - denoised.flatten(1)
    close("HiFA at pixels, kept pictures", on_pixels.flatten(1), 0.1 * whole, 1e-13)


def test_pictures_of_views_do_not_mix():
    inner = prior_of(random_mixture(4, "full"), random_mixture(4, "full", seed=9))
    matrix = numbers(6, 4, seed=5)
    prior, t = Drawing(inner, lambda z: torch.tanh(z @ matrix.T)), torch.tensor([0, 251, 980])
    x, words = numbers(3, 1, 1, 4), words_of(prior, 3)
    together = HiFA().gradient(prior, x, t, words, {}, RANDOM).gradient
    for row in range(3):
        rows, random = slice(row, row + 1), RANDOM.from_view(row)
        alone = HiFA().gradient(prior, x[rows], t[rows], words_of(prior, 1), {}, random).gradient
        close("HiFA rows", alone, together[rows], 1e-12)


@pytest.mark.parametrize(
    ("objective", "steps"),
    [(HiFA(), (1, 1, 1, 2, 4)), (HiFA(stride=1000), (1, 1, 1, 1, 1)), (LATENTS, (1, 1, 1, 2, 4))],
    ids=repr,
)
def test_evaluations_per_view(objective, steps):
    counting = Counting(RandomNetwork())
    prior, x = Drawing(counting, lambda z: z[:, :192]), numbers(5, 4, 8, 8)
    words = words_of(prior, 5)
    objective.gradient(prior, x, torch.tensor([0, 20, 250, 251, 980]), words, {}, RANDOM)
    assert counting.evaluations == 2 * sum(steps)


@pytest.mark.parametrize("broken", [HiFA(stride=0), HiFA(eta=-0.1), HiFA(eta=1.5)], ids=repr)
def test_settings_that_cannot_denoise_are_refused(broken):
    prior = prior_of(gaussian([0.0], 1.0))
    with pytest.raises(InputError, match="cannot denoise"):
        ask_gradient(broken, prior, numbers(1, 1), 500)


def test_a_prior_without_a_decoder_is_refused_only_where_one_is_needed():
    prior, x, t = RandomNetwork(), numbers(2, 4, 8, 8), at(500, 2)
    words = words_of(prior, 2)
    with pytest.raises(PriorError, match="cannot decode"):
        HiFA().gradient(prior, x, t, words, {}, RANDOM)
    assert torch.isfinite(LATENTS.gradient(prior, x, t, words, {}, RANDOM).gradient).all()


def test_a_decoder_without_a_gradient_is_refused():
    prior = Drawing(prior_of(gaussian([0.0], 1.0)), torch.no_grad()(lambda z: z.repeat(1, 3)))
    with pytest.raises(PriorError, match="keeps no gradient"):
        ask_gradient(HiFA(), prior, numbers(1, 1), 500)


def test_it_asks_within_a_context_that_keeps_no_gradient():
    inner = prior_of(random_mixture(2, "full"))
    prior, x = Drawing(inner, lambda z: torch.tanh(z.repeat(1, 3))), numbers(3, 2)
    with torch.no_grad():
        inside = ask_gradient(HiFA(), prior, x, 500)
    assert torch.equal(inside, ask_gradient(HiFA(), prior, x, 500))


def test_the_base_is_the_negative_prompt():
    laws = {PROMPT: random_mixture(2, "full"), "bad": random_mixture(2, "full", seed=40)}
    prior = GaussianMixture(laws, (1, 1, 2))
    x, t, noise = numbers(3, 1, 1, 2), at(200, 3), numbers(3, 1, 1, 2, seed=6)
    text, bad, null = (prior.condition([word] * 3) for word in (PROMPT, "bad", ""))
    g = LATENTS.gradient(prior, x, t, Words(text, bad, null), {}, tape(noise)).gradient
    x_t = prior.schedule.add_noise(x, noise, t)
    eps_bad, eps_text = prior.predict(x_t, t, [bad, text])
    rho = prior.schedule.rho(t, x)
    by_hand = 0.05 * rho * (eps_bad + 100 * (eps_text - eps_bad) - noise)
    close("HiFA negative", g, by_hand, 1e-12)


def test_texts_to_keep_away_from_ride_along_row_by_row():
    laws = {PROMPT: random_mixture(2, "full"), "other": random_mixture(2, "full", seed=40)}
    # By default the empty prompt is a blend of both, and on their line nothing is perpendicular.
    prior = GaussianMixture(laws, (1, 1, 2), null=random_mixture(2, "full", seed=60))
    x, t = numbers(3, 1, 1, 2), torch.tensor([100, 400, 900])
    weight = torch.tensor([-1.0, 0.0, -0.3], dtype=torch.float64)

    def words(rows):
        text, other, null = (prior.condition([word] * len(rows)) for word in (PROMPT, "other", ""))
        return Words(text, null, null, (Against(other, weight[rows]),))

    plain, together = (
        LATENTS.gradient(prior, x, t, own, {}, RANDOM).gradient
        for own in (words_of(prior, 3), words([0, 1, 2]))
    )
    for row in range(3):
        rows, random = slice(row, row + 1), RANDOM.from_view(row)
        alone = LATENTS.gradient(prior, x[rows], t[rows], words([row]), {}, random).gradient
        close("HiFA away from texts", alone, together[rows], 1e-12)
    moved = (together - plain).flatten(1).norm(dim=1)
    assert moved[1] == 0.0
    assert bool((moved[[0, 2]] > 1e-3).all())


@pytest.mark.parametrize("head", ["x0", "v", "flow"])
@pytest.mark.parametrize("dims", DIMS)
def test_same_gradient_behind_every_head(dims, head):
    schedule = NoiseSchedule.flow(1000) if head == "flow" else NoiseSchedule.scaled_linear()
    laws = random_mixture(dims, "full"), random_mixture(dims, "full", seed=50)
    prior, x = prior_of(*laws, schedule=schedule), numbers(4, dims, seed=9)
    plain, headed = (ask_gradient(LATENTS, own, x, 450) for own in (prior, Headed(prior, head)))
    close(f"5.2 HiFA behind {head}", headed, plain, 1e-10)


def test_same_gradient_on_a_flow_and_on_its_variance_preserving_twin():
    flow, laws = (
        NoiseSchedule.flow(1000),
        (random_mixture(2, "full"), random_mixture(2, "diagonal")),
    )
    k = torch.hypot(flow.alphas, flow.sigmas)
    twin = NoiseSchedule(flow.alphas / k, flow.sigmas / k)
    x = numbers(4, 2, seed=9)
    on_flow, on_twin = (
        ask_gradient(LATENTS, prior_of(*laws, schedule=own), x, 800) for own in (flow, twin)
    )
    close("5.2 HiFA flow = twin", on_flow, on_twin, 1e-10)
