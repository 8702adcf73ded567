"""DDIM inversion: the noised latent that the prior itself would reach from a picture.

Instead of drawing noise, walk the probability-flow ODE from the picture up to a noise level, with
the unconditional prediction and long strides (Liang et al. 2024, LucidDreamer, section 3.2).
Objectives that compare two points of one path (ISM, TSM) share the walk.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.objectives.guidance import ask
from maquette.priors.base import Prior
from maquette.randomness import Randomness
from maquette.records import Condition

__all__ = ["Convention", "Interval", "first_level", "interval", "invert", "invert_from"]

Convention = Literal["paper", "code"]
"""``paper``: walk from the clean latent. ``code``: from one noised a little, as LucidDreamer."""

CLEAN, CODE_START = -1, 1
"""Where the walk begins. LucidDreamer's index 0 is t = 1, because Stable Diffusion's timesteps are
offset by one; its render is noised there."""

CODE_OFFSET_NOISE = 0.1
"""LucidDreamer adds this much of a noise that is constant over a channel's pixels."""


def first_level(convention: Convention) -> int:
    """The smallest t that an inverted latent may have: predictions below it are not defined."""
    return {"paper": 0, "code": CODE_START}[convention]


class Interval(NamedTuple):
    """Two points of one inverted path, for each view.

    Attributes:
        s: the nearer timestep ``[B]``.
        x_s: the latents there, ``[B, C, h, w]``.
        eps_s: the unconditional prediction there.
        x_t: the latents at the further timestep, one DDIM step on with ``eps_s``.
    """

    s: Tensor
    x_s: Tensor
    eps_s: Tensor
    x_t: Tensor


def interval(
    prior: Prior,
    latent: Tensor,
    t: Tensor,
    length: int,
    null: Condition,
    random: Randomness,
    *,
    stride: int,
    convention: Convention,
) -> Interval:
    """The interval of ``length`` timesteps that ends at ``t`` ``[B]`` (LucidDreamer, equation 9).

    ``s`` is held at the lowest level of the schedule, because no prediction exists for the clean
    latent. Every evaluation is done once.
    """
    s = (t - length).clamp(min=first_level(convention))
    x_s = invert(prior, latent, s, null, random, stride=stride, convention=convention)
    (eps_s,) = ask(prior, x_s, s, null)
    return Interval(s, x_s, eps_s, prior.schedule.ddim_step(x_s, eps_s, s, t))


def invert(
    prior: Prior,
    latent: Tensor,
    s: Tensor,
    null: Condition,
    random: Randomness,
    *,
    stride: int = 200,
    convention: Convention = "paper",
) -> Tensor:
    """The latents ``[B, C, h, w]`` on the paths of clean ``latent``, at timesteps ``s`` ``[B]``.

    The prediction at ``(x_s, s)`` is not part of the walk: whoever needs it asks for it once.
    ``random`` serves the ``code`` convention only.
    """
    if convention == "paper":
        return invert_from(prior, latent, CLEAN, s, null, stride=stride)
    begin = torch.full_like(s, CODE_START)
    start = prior.schedule.add_noise(latent, _code_noise(latent, random), begin)
    return invert_from(prior, start, CODE_START, s, null, stride=stride)


def invert_from(
    prior: Prior, start: Tensor, begin: int, s: Tensor, null: Condition, *, stride: int
) -> Tensor:
    """DDIM steps of ``stride`` from ``start`` at level ``begin`` to ``s`` ``[B]``, one by one.

    The last stride is shortened to land on ``s``. Views have their own ``s``: those that have
    arrived are held and cost nothing, so a view takes ``ceil((s - begin) / stride)`` evaluations.
    """
    if stride < 1:
        raise InputError(f"A stride of {stride} never arrives", "Use a stride of at least 1")
    noised, level = start.clone(), torch.full_like(s, begin)
    while bool((moving := level < s).any()):
        x, now = noised[moving], level[moving]
        ahead = torch.minimum(now + stride, s[moving])
        # A prior knows no level below 0; the clean picture is shown to it at the lowest one.
        (eps,) = ask(prior, x, now.clamp(min=0), null.rows(moving))
        noised[moving] = prior.schedule.ddim_step(x, eps, now, ahead)
        level[moving] = ahead
    return noised


def _code_noise(latent: Tensor, random: Randomness) -> Tensor:
    # The offset is one draw for the whole batch, hence keyed by no view.
    generator = random.generator("offset noise")
    offset = torch.randn(latent.shape[1], 1, 1, generator=generator, dtype=torch.float64)
    return random.normal("noise", latent) + CODE_OFFSET_NOISE * offset.to(latent)
