"""A rehearsal: every turn of a recipe at toy size, so that what cannot work is refused at once.

Parts check their numbers when they are asked, which for a ramp may be late in a run. Here they are
asked beforehand, on a prior that costs nothing, at each progress at which a ramp turns: between two
turns a ramp only rises or only falls, so one that leaves its range does so at a turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from maquette.costs import without_network
from maquette.distill import step
from maquette.errors import InputError
from maquette.inits.canvas import Canvas
from maquette.priors.analytic import GaussianMixture
from maquette.ramps import Ramp, number
from maquette.recipe import Recipe
from maquette.run import Run

__all__ = ["rehearse"]

SIZE = 16


def rehearse(recipe: Recipe) -> None:
    """Do one tiny step at every turn of ``recipe``.

    Raises:
        InputError: a part refuses a number, or the recipe does not fit itself.
    """
    if recipe.steps < 1 or recipe.views < 1:
        raise InputError(f"A run of {recipe.steps} steps with {recipe.views} views cannot be made")
    prior = GaussianMixture.from_pictures({"": torch.full((SIZE, SIZE, 3), 0.5)})
    places = {round(progress * max(recipe.steps - 1, 1)) for progress in _turns(recipe)}
    for place in sorted(places):
        moment = recipe.at(place)
        if number(moment.size) < 1:
            raise InputError(f"Pictures of {moment.size} pixels show nothing", "Raise size")
        if moment.path is not None:
            forming = moment.path.forming
            moment.path.place(max(forming.steps // (forming.keep_every or forming.steps), 1))
        try:
            step(Run.start("", _toy(moment), prior))
        except InputError:
            raise
        except Exception:
            # Whatever else a part cannot do with a toy tells nothing about the run itself, which
            # has guards of its own: its numbers, or that it needs a network.
            continue


def _toy(moment: Recipe) -> Recipe:
    toy = without_network(replace(moment.tiny(), path=None, negative_prompt="", size=SIZE))
    return replace(toy, init=Canvas(size=SIZE)) if isinstance(toy.init, Canvas) else toy


def _turns(part: Any) -> Iterator[float]:
    """The progress of every knot in ``part``, at any depth, and both ends."""
    yield from (0.0, 1.0)
    if isinstance(part, Ramp):
        yield from (min(max(progress, 0.0), 1.0) for progress, _ in part.knots)
    elif is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            yield from _turns(getattr(part, field.name))
    elif isinstance(part, tuple | list):
        for item in part:
            yield from _turns(item)
    elif isinstance(part, dict):
        for item in part.values():
            yield from _turns(item)
