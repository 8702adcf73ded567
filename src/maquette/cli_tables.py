"""Tables that commands print: recipes, settings, findings of the doctor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from rich.console import Console
from rich.table import Table

from maquette import lookup
from maquette.doctor import Finding
from maquette.overrides import settings
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.serial import name_of

__all__ = ["evaluations_per_step", "show_findings", "show_recipes", "show_settings"]


def show_recipes() -> None:
    """Print one row per recipe of the package."""
    table = _table("name", "paper", "objective", "other parts", "evaluations per step")
    for name in lookup.recipe_names():
        recipe = lookup.find_recipe(name)
        default = " (default)" if name == lookup.DEFAULT_RECIPE else ""
        others = ", ".join(_other_parts(recipe))
        count = f"{evaluations_per_step(recipe):.1f}"
        table.add_row(name + default, recipe.paper, _short(recipe.objective), others, count)
    _print(table)


def show_settings(name: str) -> None:
    """Print path, value and type of all settings of a recipe."""
    table = _table("setting", "value", "type")
    for row in settings(lookup.find_recipe(name)):
        table.add_row(*row)
    _print(table)


def show_findings(findings: Iterable[Finding]) -> bool:
    """Print what the doctor found as it comes; False where something has to be done."""
    console = Console(highlight=False)
    well = True
    for finding in findings:
        well = well and finding.ok
        mark = "[green]ok[/]  " if finding.ok else "[red]FAIL[/]"
        console.print(mark, end=" ")
        console.print(f"{finding.what}: {finding.state}", markup=False, soft_wrap=True)
        if finding.hint:
            console.print(f"     {finding.hint}", markup=False, soft_wrap=True)
    return well


def evaluations_per_step(recipe: Recipe) -> float:
    """U-Net evaluations of single pictures in a step, counted on the analytic prior.

    Objectives differ in what they ask at which timestep, so steps all over the run are taken.
    """
    prior = Counting(GaussianMixture.from_pictures({"": torch.zeros(4, 4, 3)}))
    state = recipe.objective.init(prior)
    taken = 16
    for sample in range(taken):
        place = round(sample / (taken - 1) * (recipe.steps - 1))
        now, random = recipe.at(place), Randomness(0, place)
        views = now.cameras.draw(now.views, 4, random)
        t = now.timesteps.draw(views, prior.schedule, random)
        words = now.prompting.words(prior, "", "", views)
        latent = torch.zeros(now.views, *prior.latent_shape)
        state = now.objective.gradient(prior, latent, t, words, state, random).state
    return prior.evaluations / taken


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    # Into a file or a pipe, lines are as long as they need to be, so that they can be searched.
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def _other_parts(recipe: Recipe) -> list[str]:
    named = ("cameras", "timesteps", "init", "background", "growth")
    single = [getattr(recipe, name) for name in named]
    parts = [*single, *recipe.losses, *recipe.gradients]
    return [_short(part) for part in parts if dataclasses.is_dataclass(part)]


def _short(part: object) -> str:
    return name_of(type(part)).rpartition(".")[2]
