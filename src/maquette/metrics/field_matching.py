"""The field-matching loss: how far outside of a prior's law are these pictures?

Anonymous, 2024, Path-Tracing Distillation (PTD), section 3. The score that a prior predicts for
noised pictures is compared with one that no network is asked for: the stable target field of
reference pictures of the prior's own (Xu, Tong and Jaakkola 2023). Where the pictures follow the
prior's law the two agree; first renders lie off it, and the loss is large, the more so at small t.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.priors.base import Prior
from maquette.randomness import Randomness
from maquette.records import Condition

__all__ = ["field_matching", "stable_target"]


@torch.no_grad()
def field_matching(
    prior: Prior,
    latents: Tensor,
    condition: Condition,
    references: Tensor,
    random: Randomness,
    t: Tensor | None = None,
) -> Tensor:
    """``|s_prior(x_t, t, y) - s_approx(x_t)|`` for each picture, ``[B]`` float64.

    PTD equation 5 with ``s = -eps / sigma``, for one draw of noise and timestep; the paper's loss
    is the mean over pictures, timesteps and noise, so average over several steps of ``random``. The
    norm grows with the root of the latents' size: compare like with like. Whether a picture itself
    is among the references decides how small the loss of a good one can be at small t: with it the
    target is unbiased, and without it the nearest other picture is meant.

    Args:
        prior: may be a ``Path``, to measure what its scene is asked to follow.
        latents: ``[B, C, h, w]`` of the pictures.
        condition: the prompt, one row per picture; it is not guided.
        references: ``[n, C, h, w]`` latents of pictures that the prior made of the prompt.
        random: of the noise, and of timesteps that are uniform over the schedule.
        t: timesteps ``[B]`` instead.

    Raises:
        InputError: there are no references, or of another shape.
    """
    if t is None:
        share = random.uniform("field matching timesteps", len(latents)).to(latents.device)
        t = (share * len(prior.schedule)).to(torch.int64)
    noise = random.normal("field matching noise", latents)
    noised = prior.schedule.add_noise(latents, noise, t)
    eps = prior.predict(noised, t, [condition])[0].double()
    off = eps - stable_target(prior.schedule, noised, t, references)
    return (off / prior.schedule.sigma(t, off)).flatten(1).norm(dim=1)


@torch.no_grad()
def stable_target(schedule: NoiseSchedule, noised: Tensor, t: Tensor, references: Tensor) -> Tensor:
    """The noise ``[B, C, h, w]`` in ``noised`` as the references tell it, in float64.

    ``eps = (x_t - alpha x) / sigma`` with x the mean of the references, each weighed by its density
    ``N(x_t; alpha x_i, sigma^2)``: PTD equation 11, whose score is ``-eps / sigma``.

    Args:
        schedule: of the noise.
        noised: ``[B, C, h, w]`` at ``t`` ``[B]``.
        t: not -1, where there is no noise.
        references: ``[n, C, h, w]``.

    Raises:
        InputError: there are no references, or of another shape.
    """
    if len(references) == 0 or references.shape[1:] != noised.shape[1:]:
        raise InputError(
            f"References {list(references.shape)} tell nothing about latents {list(noised.shape)}",
            "Give at least one of the same shape",
        )
    x, known = noised.double(), references.to(noised).double()
    alpha, sigma = schedule.alpha(t, x), schedule.sigma(t, x)
    # Row by row and by differences: near t = 0 a density spans thousands of orders of magnitude.
    means = []
    for row, a, s in zip(x, alpha, sigma, strict=True):
        square = (row - a * known).square().flatten(1).sum(1) / (2 * s.flatten().square())
        means.append(torch.einsum("n,nchw->chw", torch.softmax(-square, 0), known))
    return schedule.eps_from_clean(x, torch.stack(means), t)
