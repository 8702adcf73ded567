"""A small prior with attention, and adapters and paths for it, whose weights are all at work."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import small_networks
from maquette.objectives.vsd import VSD
from maquette.priors.base import Prior
from maquette.priors.lora import LoRA
from maquette.priors.low_rank import UP, Adapted, first_weights
from maquette.priors.path import Fading, Forming, Path, form
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.ramps import resolve
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Views, Words

TEXTS = ["a mug, front view", "a mug, side view", "a mug, back view", "a mug, overhead view"]
T = torch.tensor([0, 20, 500, 980])


def attending(dtype: torch.dtype = torch.float64, head: str = "epsilon") -> StableDiffusion:
    """A prior with random weights and one head of attention per block, on 8 x 8 latents."""
    prior = StableDiffusion.load(small_networks.stable_diffusion(), dtype=dtype)
    prior.prediction_type = head
    return prior


def adapts(recipe: Recipe) -> bool:
    """Whether ``recipe`` needs a prior with a network, as it adapts one."""
    objective = recipe.objective
    learns = isinstance(objective, VSD) and isinstance(objective.student, LoRA)
    return learns or recipe.path is not None


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Fixed standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def latents_of(prior: StableDiffusion, count: int = 4, seed: int = 0) -> Tensor:
    """Standard normal latents in the precision of the prior, but at least in single."""
    dtype = torch.promote_types(prior.dtype, torch.float32)
    return numbers(count, *prior.latent_shape, seed=seed, dtype=dtype)


def weights_at_work(
    prior: Prior, *, seed: int = 0, poses: bool = False, size: float = 0.5
) -> dict[str, Tensor]:
    """Weights of an adapter of rank 3, none of which is zero."""
    weights = first_weights(prior, 3, poses=poses)
    for place, (name, value) in enumerate(weights.items()):
        if name.endswith(UP) or name.startswith("pose."):
            weights[name] = size * numbers(*value.shape, seed=1000 * seed + place).to(value)
    return weights


def words_of(prior: Prior, rows: slice = slice(None), *, views: bool = True) -> Words:
    """The prompt from four sides."""
    texts = TEXTS[rows]
    null = prior.condition([""] * len(texts))
    known = Views.ring(4, elevation_deg=20.0)[rows] if views else None
    return Words(prior.condition(texts), null, null, views=known)


def bent() -> Adapted:
    """A prior with half of an adapter."""
    prior = attending(torch.float32)
    return Adapted(prior, weights_at_work(prior), 0.5)


def path() -> Path:
    """A prior in the midst of a short path."""
    prior = attending(torch.float32)
    forming = dataclasses.replace(Forming(), steps=3, batch=2)
    latents = numbers(4, *prior.latent_shape, dtype=torch.float32)
    formed = form(prior, latents, words_of(prior), forming, Randomness(0))
    return Path(prior, formed, resolve(Fading(forming), 0.05))
