"""What a prior itself draws: deterministic DDIM sampling with classifier-free guidance.

Not part of distillation; it shows what there is to distil.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from maquette.objectives.guidance import ask, classifier_free
from maquette.priors.base import Prior
from maquette.randomness import Randomness

__all__ = ["sample_latents"]


@torch.no_grad()
def sample_latents(
    prior: Prior,
    texts: Sequence[str],
    random: Randomness,
    *,
    steps: int = 30,
    guidance_scale: float = 4.0,
) -> Tensor:
    """Latents ``[B, C, h, w]`` for one text each (Song et al. 2021, equation 12, eta = 0).

    Args:
        prior: is asked twice a step, in one batch.
        texts: B texts.
        random: of the first noise, one row per text.
        steps: DDIM steps, the last of them to the clean picture.
        guidance_scale: classifier-free guidance, diffusers form.
    """
    words, null = prior.condition(texts), prior.condition([""] * len(texts))
    last = len(prior.schedule) - 1
    times = [*torch.linspace(last, 0, steps).round().long().tolist(), -1]
    like = words.embedding.new_zeros(len(texts), *prior.latent_shape, dtype=torch.float32)
    noised = random.normal("start", like)
    for t, after in pairwise(times):
        now, then = (torch.full((len(texts),), value) for value in (t, after))
        base, text = ask(prior, noised, now, null, words)
        eps = classifier_free(base, text, guidance_scale)
        noised = prior.schedule.ddim_step(noised, eps, now, then)
    return noised
