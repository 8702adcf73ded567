"""Maquette: text to 3D by score distillation.

``maquette.generate("a red and blue mug")`` makes an asset; the parts can as well be put together by
hand. The public names are listed here and imported when they are first used, so that importing the
package is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maquette.comparison import Comparison, compare
    from maquette.errors import (
        CheckpointError,
        DiskError,
        InputError,
        MaquetteError,
        NumericalError,
        PriorError,
        RefusedError,
        RunError,
    )
    from maquette.generation import Result, Watch, generate, resume
    from maquette.imaging import Drawing, image
    from maquette.lookup import find_prior, find_recipe, recipe_names
    from maquette.overrides import override
    from maquette.randomness import Randomness
    from maquette.recipe import Recipe
    from maquette.records import Render, Report, Views
    from maquette.run import Run
    from maquette.run_folder import load
    from maquette.signals import Stopped

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Comparison",
    "DiskError",
    "Drawing",
    "InputError",
    "MaquetteError",
    "NumericalError",
    "PriorError",
    "Randomness",
    "Recipe",
    "RefusedError",
    "Render",
    "Report",
    "Result",
    "Run",
    "RunError",
    "Stopped",
    "Views",
    "Watch",
    "compare",
    "find_prior",
    "find_recipe",
    "generate",
    "image",
    "load",
    "override",
    "recipe_names",
    "resume",
]

_HOMES = {
    "comparison": "Comparison compare",
    "errors": "CheckpointError DiskError InputError MaquetteError NumericalError PriorError "
    "RefusedError RunError",
    "generation": "Result Watch generate resume",
    "imaging": "Drawing image",
    "lookup": "find_prior find_recipe recipe_names",
    "overrides": "override",
    "randomness": "Randomness",
    "recipe": "Recipe",
    "records": "Render Report Views",
    "run": "Run",
    "run_folder": "load",
    "signals": "Stopped",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'maquette' has no attribute {name!r}")
    return getattr(importlib.import_module(f"maquette.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
