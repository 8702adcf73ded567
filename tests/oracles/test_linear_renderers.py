"""The whole relay with renderers that are matrices: least squares, trajectories, and Janus."""

import numpy as np
import torch
from scipy.optimize import brentq
from toys import antithetic, at, close, expected, gaussian, hermite, levels, numbers, prior_of, tape

from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.records import Words

VIEWS = ("front", "side", "back", "overhead")
T, PIXELS, LATENTS, PARAMETERS = 500, 12, 4, 8
OBJECTIVE = SDS(guidance_scale=1.0)


class LinearWorld:
    """Four linear renderers of eight parameters, pictures of 2 x 2 pixels, latents of 4 numbers."""

    def __init__(self) -> None:
        self.renderers = numbers(4, PIXELS, PARAMETERS, seed=1)
        self.encoder = numbers(LATENTS, PIXELS, seed=2) / PIXELS**0.5
        self.means, self.variances = numbers(4, LATENTS, seed=3), (0.1, 0.3, 0.5, 0.9)
        laws = {
            f"a toy, {word} view": gaussian(mean, c)
            for word, mean, c in zip(VIEWS, self.means, self.variances, strict=True)
        }
        self.prior = GaussianMixture(laws, (1, 2, 2), image_size=2, encoder=self.encoder)
        text = self.prior.condition(list(laws))
        null = self.prior.condition([""] * 4)
        self.words = Words(text, null, null)

    def gradient(self, theta, noise):
        """One relay: render, encode, ask, and carry the answer back to the parameters."""
        theta = theta.clone().requires_grad_()
        pictures = (self.renderers @ theta).reshape(4, 2, 2, 3)
        pixels = pictures.detach().requires_grad_()
        latents = self.prior.encode(pixels)
        answer = OBJECTIVE.gradient(
            self.prior, latents.detach(), at(T, 4), self.words, {}, tape(noise)
        )
        (on_pixels,) = torch.autograd.grad(latents, pixels, answer.gradient)
        return torch.autograd.grad(pictures, theta, on_pixels)[0]

    def mean_gradient(self, theta):
        noise = numbers(4, LATENTS, seed=5)
        return (self.gradient(theta, noise) + self.gradient(theta, -noise)) / 2

    def normal_equations(self):
        """``H`` and ``b`` of the field ``H theta - b``, and the stacked least-squares problem."""
        alpha, sigma, _ = levels(self.prior.schedule, T)
        slopes = [sigma**2 * alpha * sigma / (alpha**2 * c + sigma**2) for c in self.variances]
        seen = self.encoder @ self.renderers
        rows = torch.cat([k**0.5 * a for k, a in zip(slopes, seen, strict=True)])
        aims = torch.cat([k**0.5 * m for k, m in zip(slopes, self.means, strict=True)])
        return rows, aims


def test_the_field_is_that_of_weighted_least_squares():
    world = LinearWorld()
    rows, aims = world.normal_equations()
    theta = numbers(PARAMETERS, seed=4)
    close("5.12 field", world.mean_gradient(theta), rows.T @ (rows @ theta - aims), 1e-12)
    solution = torch.from_numpy(np.linalg.lstsq(rows.numpy(), aims.numpy(), rcond=None)[0])
    close("5.12 lstsq is at rest", world.mean_gradient(solution), torch.zeros(1), 1e-12)


def test_plain_descent_follows_the_matrix_power():
    world = LinearWorld()
    rows, aims = world.normal_equations()
    hessian = rows.T @ rows
    goal = torch.linalg.solve(hessian, rows.T @ aims)
    rate = 1.0 / float(torch.linalg.matrix_norm(hessian, 2))
    once = torch.eye(PARAMETERS, dtype=torch.float64) - rate * hessian
    theta = start = numbers(PARAMETERS, seed=4)
    power = torch.eye(PARAMETERS, dtype=torch.float64)
    for _ in range(300):
        theta = theta - rate * world.mean_gradient(theta)
        power = power @ once
        close("5.12 matrix power", theta - goal, power @ (start - goal), 1e-10)
    assert (theta - goal).norm() < 0.1 * (start - goal).norm()


def test_a_view_without_a_renderer_changes_nothing():
    world = LinearWorld()
    world.renderers[2] = 0.0
    theta = numbers(PARAMETERS, seed=4)
    before = world.mean_gradient(theta)
    world.words.positive.embedding[2] = world.words.positive.embedding[0]
    close("5.12 unseen view", world.mean_gradient(theta), before, 1e-15)


def face_or_back(face):
    """One pixel that shows a face (+1) with probability ``face``, else the back of a head (-1)."""
    return Mixture(
        torch.tensor([face, 1 - face], dtype=torch.float64),
        torch.tensor([[1.0], [-1.0]], dtype=torch.float64),
        torch.tensor([0.05, 0.05], dtype=torch.float64),
    )


def watershed(face, t):
    """The picture between the two basins of SDS in one view, or None where there is one basin."""
    prior, plain = prior_of(face_or_back(face)), SDS(1.0, "uniform")

    def field(x):
        return float(expected(plain, prior, torch.tensor([[x]]).double(), t, hermite()))

    grid = np.linspace(-1.3, 1.3, 53)
    signs = np.sign([field(x) for x in grid])
    # The field leaves an unstable root on both sides: it falls from plus to minus there.
    falls = [i for i in range(52) if signs[i] > 0 > signs[i + 1]]
    return brentq(field, grid[falls[0]], grid[falls[0] + 1]) if falls else None


def janus_share(front, back, t):
    """Share of starts in [-1.3, 1.3]^2 whose front and back both end as a face, by descent."""
    starts = torch.linspace(-1.3, 1.3, 105, dtype=torch.float64)[:, None]
    ends = []
    for face in (front, back):
        prior, x = prior_of(face_or_back(face)), starts
        for _ in range(150):
            x = x - 0.5 * expected(SDS(1.0, "uniform"), prior, x, t, hermite(40))
        ends.append((x > 0).double().mean())
    return float(ends[0] * ends[1])


def test_view_dependent_prompts_shrink_the_janus_basin():
    t, width = 100, 2.6
    blind = janus_share(0.7, 0.7, t)
    aware = janus_share(0.95, 0.05, t)
    edges = {face: watershed(face, t) for face in (0.7, 0.95, 0.05)}
    assert all(edge is not None for edge in edges.values())
    share = {face: (1.3 - edge) / width for face, edge in edges.items()}
    close("5.12 Janus, same words", blind, share[0.7] ** 2, 0.02)
    close("5.12 Janus, view words", aware, share[0.95] * share[0.05], 0.02)
    assert aware < blind


def test_enough_noise_and_clear_words_leave_no_janus_at_all():
    t = 400
    assert watershed(0.05, t) is None
    assert janus_share(0.95, 0.05, t) == 0.0


def test_the_rule_of_two_points_is_exact_for_these_laws():
    prior, x = prior_of(gaussian([0.3], 0.2)), numbers(3, 1)
    two = expected(OBJECTIVE, prior, x, T, antithetic(1))
    close("5.12 two points", two, expected(OBJECTIVE, prior, x, T, hermite()), 1e-14)
