"""Before the first step: what a recipe's parts begin with.

The scene is made where the run computes, parts that learn get their first states, and the prior is
bent to the first renders where the recipe has a path (see ``priors/path.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.history import Learner
from maquette.priors.base import Prior
from maquette.priors.low_rank import network_of
from maquette.priors.path import form
from maquette.ramps import number
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Condition, Words
from maquette.scenes.base import Scene
from maquette.scenes.particles import Particles

__all__ = [
    "LEARNERS",
    "check",
    "first_memory",
    "first_path",
    "first_scene",
    "learners",
    "named",
    "place",
]

LEARNERS = ("cameras", "timesteps", "fusion")
"""Roles whose parts may learn. In a run's memory, their names begin with the role and a dot."""

RENDERS = 64
"""Pictures of the first scene, in whole batches, that a path leads to; the paper does not say."""


def check(prompt: str, recipe: Recipe, prior: Prior) -> None:
    """Refuse what cannot begin, before anything is written or rendered.

    Raises:
        InputError: the prior does not know the prompt's words.
        PriorError: the objective or the path cannot work with ``prior``.
    """
    prior.check(prompt)
    first_memory(recipe, prior)
    if recipe.path is not None:
        network_of(prior)


def first_scene(prompt: str, recipe: Recipe, random: Randomness, device: torch.device) -> Scene:
    """What the recipe starts from.

    Raises:
        InputError: the recipe has a fusion, and what it starts from are particles.
    """
    scene = recipe.init.make(prompt, random)
    if recipe.fusion is not None and isinstance(scene, Particles):
        raise InputError(
            f"The recipe {recipe.name!r} fuses gradients of views that show different particles",
            "Set fusion=none, or an init that makes a single scene",
        )
    place(scene, scene.parameters(), device)
    return scene


def place(scene: Scene, tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Give ``scene`` these parameters on ``device``, unless it has them there already.

    Raises:
        InputError: they are not the scene's.
    """
    if any(value.device != device for value in tensors.values()) or any(
        tensors[name] is not value for name, value in scene.parameters().items()
    ):
        scene.replace({name: value.detach().to(device) for name, value in tensors.items()})


def first_memory(recipe: Recipe, prior: Prior) -> dict[str, Tensor]:
    """What the objective and the parts that learn know before the first step.

    Raises:
        PriorError: the objective cannot work with ``prior``.
    """
    memory = dict(recipe.objective.init(prior))
    for role, part in learners(recipe).items():
        memory |= named(role, part.init())
    return memory


def learners(recipe: Recipe) -> dict[str, Learner]:
    """The parts of ``recipe`` that may learn, by role."""
    parts = {role: getattr(recipe, role) for role in LEARNERS}
    return {role: part for role, part in parts.items() if part is not None}


def named(role: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A part's state with the names of a run's memory."""
    return {f"{role}.{name}": value for name, value in state.items()}


@torch.no_grad()
def first_path(
    prompt: str, recipe: Recipe, prior: Prior, scene: Scene, random: Randomness
) -> dict[str, Tensor]:
    """The path from ``prior`` to the first renders; empty for a recipe without one.

    Raises:
        PriorError: the prior has no network that could be adapted.
        NumericalError: a render, a latent or the training is not finite.
    """
    if recipe.path is None:
        return {}
    network_of(prior)  # Refuses at once, before all the renders.
    first, latents, embeddings = recipe.at(0), [], []
    for done in range(0, RENDERS, recipe.views):
        # Steps below 0 are those before the run.
        now = random.at(-1 - done)
        views = first.cameras.draw(recipe.views, round(number(first.size)), now)
        views = views.to(next(iter(scene.parameters().values())).device)
        background = first.background.draw(views, now)
        render = scene.shown(len(views), now).render(views, background)
        latents.append(finite("encode", prior.encode(finite("render", render.colour))))
        words = first.prompting.words(prior, prompt, recipe.negative_prompt, views)
        embeddings.append(words.positive.embedding)
    told = Condition(torch.cat(embeddings))
    words = Words(told, told, told)
    return form(prior, torch.cat(latents), words, recipe.path.forming, random)
