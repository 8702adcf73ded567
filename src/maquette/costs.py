"""What a recipe costs: evaluations of the prior's network, counted and not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maquette.objectives.vsd import VSD
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting, Prior, Student
from maquette.priors.lora import LoRA
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Words

__all__ = ["evaluations_before", "evaluations_per_step", "steps_within", "without_network"]

SAMPLES = 16
"""Steps that are tried, evenly over the run."""


def evaluations_per_step(recipe: Recipe) -> float:
    """Evaluations of single pictures in a step, counted on the analytic prior.

    Objectives differ in what they ask at which timestep, so steps all over the run are taken. A
    student that adapts the network costs two evaluations per view, as a run counts them: one for
    its answer, and one for its step of training, of which the backward pass does not count.
    """
    prior = Counting(GaussianMixture.from_pictures({"": torch.zeros(4, 4, 3)}))
    recipe = without_network(recipe)
    state = recipe.objective.init(prior)
    for sample in range(SAMPLES):
        place = round(sample / (SAMPLES - 1) * (recipe.steps - 1))
        now, random = recipe.at(place), Randomness(0, place)
        views = now.cameras.draw(now.views, 4, random)
        t = now.timesteps.draw(views, prior.schedule, random)
        words = now.prompting.words(prior, "", "", views)
        latent = torch.zeros(now.views, *prior.latent_shape)
        state = now.objective.gradient(prior, latent, t, words, state, random).state
    return prior.evaluations / SAMPLES


def without_network(recipe: Recipe) -> Recipe:
    """``recipe`` with a student that asks as often as its own and adapts no network."""
    objective = recipe.objective
    if isinstance(objective, VSD) and isinstance(objective.student, LoRA):
        return replace(recipe, objective=replace(objective, student=_Asking()))
    return recipe


def evaluations_before(recipe: Recipe) -> int:
    """Evaluations of single pictures before the first step, which are those that form a path."""
    return 0 if recipe.path is None else recipe.path.forming.steps * recipe.path.forming.batch


def steps_within(recipe: Recipe, budget: int) -> int:
    """How many steps, at least one, make a run come nearest to ``budget`` evaluations."""
    left = budget - evaluations_before(recipe)
    return max(1, round(left / evaluations_per_step(recipe)))


@dataclass(frozen=True)
class _Asking(Student):
    """Asks the prior once for an answer and once to learn, as an adapter does, and forgets all."""

    def init(self, prior: Prior) -> dict[str, Tensor]:
        return {}

    def predict(
        self, prior: Prior, state: Mapping[str, Tensor], noised: Tensor, t: Tensor, words: Words
    ) -> Tensor:
        return prior.predict(noised, t, [words.positive])[0]

    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        words: Words,
        random: Randomness,
    ) -> dict[str, Tensor]:
        t = torch.zeros(len(latent), dtype=torch.int64, device=latent.device)
        prior.predict(latent, t, [words.positive])
        return {}
