"""BSD: the shortest point of a segment; both objectives in closed form and along their paths."""

import pytest
import torch
from toys import (
    PROMPT,
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

from maquette.noise import NoiseSchedule
from maquette.objectives.bsd import BSD, BootstrappedBSD
from maquette.objectives.csd import CSD
from maquette.objectives.guidance import ask
from maquette.objectives.minimum_norm import minimum_norm
from maquette.priors.analytic import GaussianMixture, Headed
from maquette.priors.base import Counting
from maquette.records import Words

DIMS = (1, 2, 16)
BOTH = (BSD(), BootstrappedBSD())


def dot(a, b):
    return (a * b).sum(1)


def by_geometry(k, d):
    """The shortest point of each segment ``[D]``: an end, or the foot of the origin between."""
    points = []
    for one, other in zip(k, d, strict=True):
        along = (one - other) / (one - other).norm()
        foot = other - (other @ along) * along
        inside = 0 <= (foot - other) @ along <= (one - other).norm()
        points.append(foot if inside else min(one, other, key=torch.linalg.vector_norm))
    return torch.stack(points)


def pairs(dims, count=200):
    """Pairs whose shortest point is the one end, the other and in between."""
    sizes = (2 * numbers(count, 1, seed=7)).exp()
    return numbers(count, dims, seed=1) + 0.7, sizes * (numbers(count, dims, seed=2) + 0.7)


@pytest.mark.parametrize("dims", DIMS)
def test_it_is_the_shortest_point_of_the_segment(dims):
    k, d = pairs(dims)
    g = minimum_norm(k, d)
    close("5.10 geometry", g, by_geometry(k, d), 1e-12)
    share = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None, None]
    on_grid = (share * k + (1 - share) * d).norm(dim=-1).amin(0)
    assert bool((g.norm(dim=-1) <= on_grid + 1e-15).all())
    assert bool((on_grid - g.norm(dim=-1) <= (k - d).norm(dim=-1) / 4000 + 1e-15).all())
    # All three cases are among the pairs, or the test would show less than it says. On a line
    # whose ends have opposite signs the point in between is zero.
    ends = [(g == end).all(-1) for end in (k, d)]
    assert bool(ends[0].any() and ends[1].any() and (~(ends[0] | ends[1])).any())


@pytest.mark.parametrize("dims", DIMS)
def test_neither_aim_gets_worse_to_first_order(dims):
    k, d = pairs(dims)
    g = minimum_norm(k, d)
    assert bool((dot(g, k) >= dot(g, g) - 1e-12).all())
    assert bool((dot(g, d) >= dot(g, g) - 1e-12).all())


@pytest.mark.parametrize("dims", DIMS)
def test_special_pairs(dims):
    k, zero = numbers(5, dims, seed=3), torch.zeros(5, dims, dtype=torch.float64)
    # Where the public code has 0/0 and stands still.
    assert torch.equal(minimum_norm(k, k.clone()), k)
    assert torch.equal(minimum_norm(k, -k), zero)
    assert torch.equal(minimum_norm(k, zero), zero)
    assert torch.equal(minimum_norm(zero, k), zero)
    assert torch.equal(minimum_norm(zero, zero), zero)
    close("5.10 the nearer of two in line", minimum_norm(3 * k, 0.5 * k), 0.5 * k, 1e-15)
    close("5.10 the nearer of two in line", minimum_norm(0.5 * k, 3 * k), 0.5 * k, 1e-15)


def test_at_a_right_angle_the_share_is_that_of_the_squares():
    k, d = numbers(4, 16, seed=3), numbers(4, 16, seed=4)
    d = d - (dot(d, k) / dot(k, k))[:, None] * k
    share = (dot(d, d) / (dot(d, d) + dot(k, k)))[:, None]
    close("5.10 right angle", minimum_norm(k, d), share * k + (1 - share) * d, 1e-14)


@pytest.mark.parametrize("dims", DIMS)
def test_symmetries(dims):
    k, d = pairs(dims)
    g = minimum_norm(k, d)
    close("5.10 symmetric", minimum_norm(d, k), g, 1e-13)
    for factor in (1e-200, 1e-30, 3.0, 1e30, 1e150):
        scaled = minimum_norm(factor * k, factor * d) / factor
        close("5.10 homogeneous", scaled, g, 1e-13)
    turn, _ = torch.linalg.qr(numbers(dims, dims, seed=8))
    close("5.10 rotation", minimum_norm(k @ turn, d @ turn), g @ turn, 1e-13)


def test_each_row_by_itself_whatever_its_shape():
    k, d = numbers(6, 4, 2, 3, seed=1), numbers(6, 4, 2, 3, seed=2)
    k[1], d[2], d[3] = 0.0, 0.0, k[3]
    together = minimum_norm(k, d)
    assert together.shape == k.shape
    for row in range(6):
        alone = minimum_norm(k[row : row + 1], d[row : row + 1])
        close("5.10 per row", alone, together[row : row + 1], 1e-15)
    flat = minimum_norm(k.flatten(1), d.flatten(1))
    assert torch.equal(flat.reshape(k.shape), together)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_pair_of_finite_rows_gives_a_nan(dtype):
    tiny, sizes = torch.finfo(dtype).tiny, (0.0, 1e-3, 1.0, 1e18)
    rows = torch.tensor([[a, b] for a in (tiny, *sizes) for b in (-tiny, *sizes)], dtype=dtype)
    k, d = rows.repeat_interleave(len(rows), 0), rows.repeat(len(rows), 1)
    g = minimum_norm(k, d)
    assert torch.isfinite(g).all()
    assert bool((g.norm(dim=1) <= torch.minimum(k.norm(dim=1), d.norm(dim=1)) * 1.001).all())


def test_a_nan_is_not_painted_over():
    k = numbers(2, 3)
    k[0, 1] = torch.nan
    g = minimum_norm(k, numbers(2, 3, seed=1))
    assert bool(g[0].isnan().any())
    assert torch.isfinite(g[1]).all()


def equal_covariances(dims, c=0.4):
    """A prior of two Gaussians, with the means of the empty prompt and of the text."""
    mu0, mu1 = numbers(dims, seed=1), numbers(dims, seed=2)
    return prior_of(gaussian(mu1, c), gaussian(mu0, c)), mu0, mu1


@pytest.mark.parametrize("t", [60, 500, 950])
@pytest.mark.parametrize("dims", DIMS)
def test_closed_forms_of_gaussians(dims, t):
    (prior, mu0, mu1), c = equal_covariances(dims), 0.4
    alpha, sigma, _ = levels(prior.schedule, t)
    x, noise = numbers(20, dims, seed=3), numbers(20, dims, seed=4)
    spread = alpha**2 * c + sigma**2
    classifier = (sigma * alpha / spread * (mu0 - mu1)).expand(20, dims)
    smoothing = sigma / spread * (alpha * (x - mu0) + sigma * noise)
    g = ask_gradient(BSD(), prior, x, t, tape(noise))
    close("5.10 BSD", g, alpha * by_geometry(15 * classifier, smoothing), 1e-12)
    residual = (sigma * alpha * (x - mu0) - alpha**2 * c * noise) / spread
    weight = residual.norm(dim=1, keepdim=True) * sigma / 50
    g = ask_gradient(BootstrappedBSD(), prior, x, t, tape(noise))
    close("5.10 auto", g, weight * by_geometry(classifier, 1.25 * residual), 1e-13)


@pytest.mark.parametrize("dims", DIMS)
def test_bootstrapped_bsd_of_points_is_the_same_for_every_noise(dims):
    (prior, mu0, mu1), t, x = equal_covariances(dims, 0.0), 400, numbers(9, dims, seed=3)
    _, sigma, rho = levels(prior.schedule, t)
    aims = ((mu0 - mu1) / rho).expand(9, dims), 1.25 * (x - mu0) / rho
    size = (x - mu0).norm(dim=1, keepdim=True) / rho
    for seed in range(3):
        noise = numbers(9, dims, seed=seed)
        g = ask_gradient(BootstrappedBSD(), prior, x, t, tape(noise))
        close("5.10 auto, Dirac", g, 0.02 * sigma * size * by_geometry(*aims), 1e-12)


def noise_and_answers(prior, x, t):
    """The noise that an objective draws for ``x``, and eps of null and text there, flat."""
    count, words = len(x), words_of(prior, len(x))
    noise = RANDOM.normal("noise", x.reshape(count, *prior.latent_shape))
    x_t = prior.schedule.add_noise(x.reshape(noise.shape), noise, at(t, count))
    answers = ask(prior, x_t, at(t, count), words.null, words.positive)
    return [part.flatten(1) for part in (noise, *answers)]


@pytest.mark.parametrize("objective", BOTH, ids=repr)
@pytest.mark.parametrize("dims", DIMS)
def test_no_view_leaves_either_of_its_aims(dims, objective):
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x, t = numbers(50, dims, seed=5), 300
    noise, eps_null, eps_text = noise_and_answers(prior, x, t)
    smoothing = eps_null if isinstance(objective, BSD) else eps_null - noise
    g = ask_gradient(objective, prior, x, t)
    assert bool((dot(g, eps_text - eps_null) >= -1e-14).all())
    assert bool((dot(g, smoothing) >= -1e-14).all())


@pytest.mark.parametrize("dims", DIMS)
def test_small_and_large_lambda(dims):
    """A short classifier term is CSD; a long one only keeps the smoothing from opposing it."""
    prior = prior_of(random_mixture(dims, "full"), random_mixture(dims, "full", seed=9))
    x, t, scale = numbers(40, dims, seed=5), 300, 1e-3
    alpha, _, _ = levels(prior.schedule, t)
    csd = ask_gradient(CSD("uniform"), prior, x, t)
    _, smoothing, _ = noise_and_answers(prior, x, t)
    g = ask_gradient(BSD(scale), prior, x, t)
    shorter = dot(scale * csd, smoothing) >= scale**2 * dot(csd, csd)
    assert 5 <= int(shorter.sum()) <= 35
    close("5.10 BSD = lambda CSD", g[shorter], alpha * scale * csd[shorter], 1e-15)
    assert torch.equal(ask_gradient(BSD(0.0), prior, x, t), torch.zeros_like(x))
    against = (dot(smoothing, csd).clamp(max=0) / dot(csd, csd))[:, None] * csd
    g = ask_gradient(BSD(1e12), prior, x, t)
    close("5.10 BSD, lambda -> inf", g, alpha * (smoothing - against), 1e-9)


def shortest_in_the_plane(one, other):
    """The point of a segment in the plane that is nearest to the origin, in plain numbers."""
    across = (one[0] - other[0], one[1] - other[1])
    length = across[0] ** 2 + across[1] ** 2
    share = -(other[0] * across[0] + other[1] * across[1]) / length
    share = min(max(share, 0.0), 1.0)
    return other[0] + share * across[0], other[1] + share * across[1]


@pytest.mark.parametrize("dims", [2, 16])
def test_trajectory_stays_in_the_plane_of_both_aims(dims):
    (prior, mu0, mu1), c, t, rate = equal_covariances(dims), 0.4, 500, 0.5
    alpha, sigma, _ = levels(prior.schedule, t)
    slope = alpha * sigma / (alpha**2 * c + sigma**2)
    x = mu0 + 3.0 * numbers(1, dims, seed=3)
    u = (mu1 - mu0) / (mu1 - mu0).norm()
    p, v = float((x - mu0)[0] @ u), (x - mu0)[0] - ((x - mu0)[0] @ u) * u
    q, v = float(v.norm()), v / v.norm()
    start = (p, q)
    for _ in range(60):
        pull, text = (slope * p, slope * q), (-15 * slope * float((mu1 - mu0).norm()), 0.0)
        g = shortest_in_the_plane(text, pull)
        p, q = p - rate * alpha * g[0], q - rate * alpha * g[1]
        x = x - rate * ask_gradient(BSD(), prior, x, t, tape(torch.zeros_like(x)))
        close("5.10 trajectory", x[0], mu0 + p * u + q * v, 1e-12)
    assert p >= start[0], "the text's aim never gets worse"
    assert p**2 + q**2 < 0.5 * (start[0] ** 2 + start[1] ** 2)


def test_on_a_line_it_walks_slides_and_rests():
    (prior, mu0, mu1), c, t, rate = equal_covariances(1), 0.4, 500, 2.0
    alpha, sigma, _ = levels(prior.schedule, t)
    slope = rate * alpha * alpha * sigma / (alpha**2 * c + sigma**2)
    away = 15 * (mu1 - mu0)
    x = (mu0 - 3 * away)[None]
    walked = 0
    # Far off on the other side from the text the classifier term is the shorter, a constant.
    while bool((x[0] - mu0).abs() > away.abs()):
        x, walked = x - rate * ask_gradient(BSD(), prior, x, t, tape(torch.zeros(1, 1))), walked + 1
        close("5.10 walks", x[0], mu0 - 3 * away + walked * slope * away, 1e-11)
    entry = x[0] - mu0
    assert walked > 3
    for n in range(1, 41):
        x = x - rate * ask_gradient(BSD(), prior, x, t, tape(torch.zeros(1, 1)))
        close("5.10 slides", x[0] - mu0, (1 - slope) ** n * entry, 1e-11)


@pytest.mark.parametrize("dims", DIMS)
def test_it_rests_from_the_empty_prompts_mean_through_the_texts_and_beyond(dims):
    (prior, mu0, mu1), t = equal_covariances(dims), 500
    x = mu0 + torch.tensor([[0.0], [0.4], [1.0], [9.0]], dtype=torch.float64) * (mu1 - mu0)
    g = ask_gradient(BSD(), prior, x, t, tape(torch.zeros_like(x)))
    close("5.10 opposite aims", g, torch.zeros_like(x), 1e-14)


def test_trajectory_of_the_bootstrapped_form_on_a_line():
    (prior, mu0, mu1), t, rate = equal_covariances(1, 0.0), 400, 100.0
    _, sigma, rho = levels(prior.schedule, t)
    width, far = float((mu1 - mu0).abs()), 2.5
    toward = (mu1 - mu0) / width
    x = (mu0 - far * toward)[None]
    phases = set()
    for n in range(40):
        phases.add(width < 1.25 * far)
        far = far - rate * 0.02 * sigma * far / rho * min(width, 1.25 * far) / rho
        x = x - rate * ask_gradient(BootstrappedBSD(), prior, x, t, RANDOM.at(n))
        close("5.10 auto trajectory", x[0], mu0 - far * toward, 1e-12)
    assert phases == {True, False}, "both ends of the segment were the shorter"


@pytest.mark.parametrize("objective", BOTH, ids=repr)
def test_evaluations_per_view(objective):
    prior, x = Counting(RandomNetwork()), numbers(3, 4, 8, 8)
    objective.gradient(prior, x, at(500, 3), words_of(prior, 3), {}, RANDOM)
    assert prior.evaluations == 3 * 2


def test_the_step_of_a_view_does_not_grow_with_the_batch():
    prior, x, noise = RandomNetwork(), numbers(1, 4, 8, 8), numbers(1, 4, 8, 8, seed=4)

    def step(count):
        rows, same = x.expand(count, -1, -1, -1), tape(noise.expand(count, -1, -1, -1))
        words = words_of(prior, count)
        return BootstrappedBSD().gradient(prior, rows, at(500, count), words, {}, same).gradient

    one, four = step(1), step(4)
    close("5.10 auto, norm per view", four, one.expand_as(four), 1e-13)


@pytest.mark.parametrize("objective", BOTH, ids=repr)
def test_the_base_is_the_negative_prompt(objective):
    laws = {PROMPT: random_mixture(2, "full"), "bad": random_mixture(2, "full", seed=40)}
    prior = GaussianMixture(laws, (1, 1, 2))
    x, t, noise = numbers(9, 1, 1, 2), at(500, 9), numbers(9, 1, 1, 2, seed=6)
    text, bad, null = (prior.condition([word] * 9) for word in (PROMPT, "bad", ""))
    g = objective.gradient(prior, x, t, Words(text, bad, null), {}, tape(noise)).gradient
    x_t = prior.schedule.add_noise(x, noise, t)
    eps_bad, eps_text = (part.flatten(1) for part in prior.predict(x_t, t, [bad, text]))
    alpha, sigma, _ = levels(prior.schedule, 500)
    residual = eps_bad - noise.flatten(1)
    if isinstance(objective, BSD):
        by_hand = alpha * by_geometry(15 * (eps_text - eps_bad), eps_bad)
    else:
        size = sigma / 50 * residual.norm(dim=1, keepdim=True)
        by_hand = size * by_geometry(eps_text - eps_bad, 1.25 * residual)
    close("5.10 negative", g.flatten(1), by_hand, 1e-13)


@pytest.mark.parametrize("objective", BOTH, ids=repr)
@pytest.mark.parametrize("head", ["x0", "v", "flow"])
@pytest.mark.parametrize("dims", DIMS)
def test_same_gradient_behind_every_head(dims, head, objective):
    schedule = NoiseSchedule.flow(1000) if head == "flow" else NoiseSchedule.scaled_linear()
    laws = random_mixture(dims, "full"), random_mixture(dims, "full", seed=50)
    prior, x = prior_of(*laws, schedule=schedule), numbers(4, dims, seed=9)
    plain = ask_gradient(objective, prior, x, 450)
    headed = ask_gradient(objective, Headed(prior, head), x, 450)
    close(f"5.2 {type(objective).__name__} behind {head}", headed, plain, 1e-10)


@pytest.mark.parametrize("objective", BOTH, ids=repr)
def test_same_gradient_on_a_flow_and_on_its_variance_preserving_twin(objective):
    flow, laws = (
        NoiseSchedule.flow(1000),
        (random_mixture(2, "full"), random_mixture(2, "diagonal")),
    )
    k = torch.hypot(flow.alphas, flow.sigmas)
    twin = NoiseSchedule(flow.alphas / k, flow.sigmas / k)
    x = numbers(4, 2, seed=9)
    on_flow, on_twin = (
        ask_gradient(objective, prior_of(*laws, schedule=own), x, 450) for own in (flow, twin)
    )
    close("5.2 flow = twin", on_flow, on_twin, 1e-12)
