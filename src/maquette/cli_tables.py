"""Tables that commands print: recipes, settings, findings of the doctor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from maquette import lookup
from maquette.costs import evaluations_per_step
from maquette.doctor import Finding
from maquette.overrides import settings
from maquette.recipe import Recipe
from maquette.serial import name_of

__all__ = ["show_findings", "show_recipes", "show_settings"]

SIZES: tuple[lookup.Size, ...] = ("paper", "small")


def show_recipes() -> None:
    """Print one row per recipe of the package, with its parts in its paper's size."""
    counts = [f"evaluations per step ({size})" for size in SIZES]
    table = _table("name", "paper", "objective", "other parts", *counts)
    for name in lookup.recipe_names():
        sizes = [lookup.find_recipe(name, size) for size in SIZES]
        recipe = sizes[0]
        default = " (default)" if name == lookup.DEFAULT_RECIPE else ""
        others = ", ".join(_other_parts(recipe))
        counts = [f"{evaluations_per_step(size):.1f}" for size in sizes]
        table.add_row(name + default, recipe.paper, _short(recipe.objective), others, *counts)
    _print(table)


def show_settings(name: str, size: lookup.Size = "small") -> None:
    """Print path, value and type of all settings of a recipe."""
    table = _table("setting", "value", "type")
    for row in settings(lookup.find_recipe(name, size)):
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


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    # Into a file or a pipe, lines are as long as they need to be, so that they can be searched.
    console = Console()
    (console if console.is_terminal else Console(width=1000)).print(table)


def _other_parts(recipe: Recipe) -> list[str]:
    named = ("cameras", "timesteps", "prompting", "fusion", "path", "init", "background", "growth")
    single = [getattr(recipe, name) for name in named]
    parts = [*single, *recipe.losses, *recipe.gradients]
    return [_short(part) for part in parts if dataclasses.is_dataclass(part)]


def _short(part: object) -> str:
    return name_of(type(part)).rpartition(".")[2]
