"""The plain objectives in equal surroundings: everything shared but the formula.

    maquette bench toy --recipes benchmarks/plain.py:sds,benchmarks/plain.py:ism

The recipes of the papers bring their own timesteps, regularisers and cameras along. To see what the
objective alone does, these share all of that, and the default recipe's.
"""

from __future__ import annotations

from maquette.objectives.base import Objective
from maquette.objectives.csd import CSD
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes._small import GUIDANCE_SCALE, small

__all__ = ["csd", "ism", "sds"]


def sds() -> Recipe:
    """Score distillation sampling, two evaluations per view."""
    return _plain("plain-sds", SDS(guidance_scale=GUIDANCE_SCALE))


def csd() -> Recipe:
    """Classifier score distillation, two evaluations per view."""
    return _plain("plain-csd", CSD())


def ism() -> Recipe:
    """Interval score matching, inverted in one stride; four evaluations per view."""
    return _plain("plain-ism", ISM(guidance_scale=GUIDANCE_SCALE, stride=1000))


def _plain(name: str, objective: Objective) -> Recipe:
    return Recipe(name=name, paper="the objective alone", objective=objective, **small())
