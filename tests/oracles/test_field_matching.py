"""Field matching: by hand from the two scores, zero on the law's own pictures, larger off them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    at,
    close,
    gaussian,
    levels,
    log_density,
    numbers,
    prior_of,
    words_of,
)

from maquette.errors import InputError
from maquette.metrics.field_matching import field_matching, stable_target
from maquette.noise import NoiseSchedule
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.randomness import Randomness

SCHEDULE = NoiseSchedule.scaled_linear()
NOISE, TIMES = "field matching noise", "field matching timesteps"


def as_latents(flat: Tensor) -> Tensor:
    return flat.reshape(len(flat), 1, 1, -1)


def points(means: Tensor) -> GaussianMixture:
    """The prior of a few pictures and nothing between."""
    zeros = torch.zeros(len(means), dtype=torch.float64)
    return prior_of(Mixture(zeros + 1, means, zeros))


@pytest.mark.parametrize("t", [20, 400, 900])
def test_the_loss_is_the_papers_by_hand(t: int) -> None:
    """Equations 5 and 11, written with scores and loops."""
    prior, references = RandomNetwork(), 0.4 * numbers(5, 4, 8, 8, seed=1)
    latents = references[:3] + 0.2 * numbers(3, 4, 8, 8, seed=2)
    condition = prior.condition([PROMPT] * 3)
    ours = field_matching(prior, latents, condition, references, RANDOM, at(t, 3))
    alpha, sigma, _ = levels(prior.schedule, t)
    noise = RANDOM.normal(NOISE, latents)
    x_t = (alpha * latents + sigma * noise).numpy()
    eps = prior.predict(torch.from_numpy(x_t), at(t, 3), [condition])[0].numpy()
    for row in range(3):
        logs, scores = [], []
        for reference in references.numpy():
            off = x_t[row] - alpha * reference
            logs.append(-np.sum(off**2) / (2 * sigma**2))
            scores.append(-off / sigma**2)
        shares = np.exp(np.array(logs) - max(logs))
        approx = sum(p * s for p, s in zip(shares / shares.sum(), scores, strict=True))
        loss = np.sqrt(np.sum((-eps[row] / sigma - approx) ** 2))
        close(f"PTD 5, t = {t}", ours[row] / loss, 1.0, 1e-12)


def test_timesteps_are_uniform_and_keyed() -> None:
    prior, latents = RandomNetwork(), numbers(3, 4, 8, 8)
    condition, references = prior.condition([PROMPT] * 3), numbers(4, 4, 8, 8, seed=5)
    t = (RANDOM.uniform(TIMES, 3) * len(prior.schedule)).to(torch.int64)
    drawn = field_matching(prior, latents, condition, references, RANDOM)
    assert torch.equal(drawn, field_matching(prior, latents, condition, references, RANDOM, t))
    other = field_matching(prior, latents, condition, references, RANDOM.at(1))
    assert not torch.equal(drawn, other)


@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_no_loss_where_the_references_are_the_law(t: int) -> None:
    means = numbers(6, 3, seed=1)
    prior, x = points(means), as_latents(means[:4] + 0.3 * numbers(4, 3, seed=2))
    words, references = words_of(prior, 4), as_latents(means)
    loss = field_matching(prior, x, words.positive, references, RANDOM, at(t, 4))
    _, sigma, _ = levels(prior.schedule, t)
    close("the whole law", sigma * loss, torch.zeros(1), 1e-12)
    without = field_matching(prior, x, words.positive, references[2:], RANDOM, at(t, 4))
    assert float(without.max()) > 1e-3


def test_the_target_is_the_posterior_mean_of_the_references() -> None:
    means, t = numbers(6, 3, seed=1), 300
    law = Mixture(torch.ones(6).double(), means, torch.zeros(6).double())
    prior = prior_of(law)
    x = numbers(4, 3, seed=2).requires_grad_()
    (slope,) = torch.autograd.grad(log_density(prior, law, x, t).sum(), x)
    _, sigma, _ = levels(SCHEDULE, t)
    eps = stable_target(SCHEDULE, as_latents(x.detach()), at(t, 4), as_latents(means))
    close("score of the references", eps.flatten(1), -sigma * slope, 1e-12)


def test_one_reference_that_is_the_picture_gives_the_noise() -> None:
    x, noise = numbers(1, 4, 8, 8), numbers(1, 4, 8, 8, seed=1)
    for t in (0, 400, 999):
        noised = SCHEDULE.add_noise(x, noise, at(t))
        close("DSM", stable_target(SCHEDULE, noised, at(t), x), noise, 1e-12)


def law_and_samples(count: int = 400) -> tuple[GaussianMixture, Tensor]:
    prior = prior_of(gaussian([1.0, -0.5], 0.3))
    return prior, as_latents(torch.tensor([1.0, -0.5]) + 0.3**0.5 * numbers(count, 2, seed=3))


@pytest.mark.parametrize("t", [20, 50, 200])
def test_pictures_of_the_law_lose_less_than_others(t: int) -> None:
    prior, samples = law_and_samples()
    condition, rows = words_of(prior, 100).positive, samples[:100]

    def loss(latents: Tensor) -> float:
        return float(field_matching(prior, latents, condition, samples, RANDOM, at(t, 100)).mean())

    shifts = [loss(rows + shift) for shift in (0.0, 1.0, 2.0, 3.0)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.7 * shifts[2]


def test_first_renders_stand_out_the_more_the_less_noise_there_is() -> None:
    prior, samples = law_and_samples()
    condition, rows = words_of(prior, 100).positive, samples[:100]
    gaps = []
    for t in (900, 200, 50, 20):
        within, off = (
            field_matching(prior, latents, condition, samples, RANDOM, at(t, 100)).mean()
            for latents in (rows, rows + 2.5)
        )
        gaps.append(float(off - within))
    assert gaps[1:] == sorted(gaps[1:])
    assert abs(gaps[0]) < 0.01 * gaps[-1]


def test_more_references_bring_the_target_nearer_to_the_score() -> None:
    prior, samples = law_and_samples()
    condition, t = words_of(prior, 1).positive, at(400)
    losses = []
    for count in (1, 4, 16, 64, 256):
        each = [
            field_matching(prior, row[None], condition, samples[i : i + count], Randomness(i), t)
            for i, row in enumerate(samples[:64])
        ]
        losses.append(float(torch.cat(each).mean()))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.2 * losses[0]


def test_what_does_not_change_the_target() -> None:
    references, x, t = numbers(6, 4, 8, 8), numbers(2, 4, 8, 8, seed=1), at(600, 2)
    eps = stable_target(SCHEDULE, x, t, references)
    close("order", stable_target(SCHEDULE, x, t, references.flip(0)), eps, 1e-14)
    twice = references.repeat(2, 1, 1, 1)
    close("twice the same", stable_target(SCHEDULE, x, t, twice), eps, 1e-14)
    shift, alpha = numbers(1, 4, 8, 8, seed=2), levels(SCHEDULE, 600)[0]
    moved = stable_target(SCHEDULE, x + alpha * shift, t, references + shift)
    close("translation", moved, eps, 1e-12)


def test_limits_of_little_and_of_much_noise() -> None:
    references = numbers(6, 4, 8, 8)
    flow = NoiseSchedule.flow(1000)
    x = 0.001 * references[3:4] + 0.999 * numbers(1, 4, 8, 8, seed=1)
    late = stable_target(flow, x, at(999), references)
    close("much: nothing of any picture is left", late, x, 1e-12)
    alpha, sigma, _ = levels(flow, 0)
    noise = numbers(1, 4, 8, 8, seed=2)
    early = stable_target(flow, alpha * references[3:4] + sigma * noise, at(0), references)
    close("little: the nearest is meant", early, noise, 1e-11)


def test_single_precision_does_not_break_far_from_the_references() -> None:
    references = 100 * numbers(3, 4, 8, 8).float()
    x = references[:1] + 30.0
    eps = stable_target(SCHEDULE, x, at(0), references)
    assert eps.dtype == torch.float64
    assert torch.isfinite(eps).all()


def test_references_that_are_none_are_refused() -> None:
    x = numbers(2, 4, 8, 8)
    for wrong in (x[:0], x[:, :3]):
        with pytest.raises(InputError, match="tell nothing"):
            stable_target(SCHEDULE, x, at(5, 2), wrong)
