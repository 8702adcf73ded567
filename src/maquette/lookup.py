"""Recipes and priors by name: what a user types becomes an object.

A recipe's name is that of a file in ``recipes/`` and of the function in it, which gives the size
of its paper; ``small`` in the same file gives one for small priors. ``path/to/mine.py:mine`` is one
from outside the package. Listing names reads the folder only and imports nothing.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from maquette.errors import InputError, MaquetteError

if TYPE_CHECKING:
    from maquette.priors.base import Prior
    from maquette.recipe import Recipe

__all__ = [
    "DEFAULT_RECIPE",
    "SMALL_PIXELS",
    "Size",
    "citation",
    "find_prior",
    "find_recipe",
    "prior_name",
    "recipe_for",
    "recipe_names",
]

DEFAULT_RECIPE = "maquette"

Size = Literal["paper", "small"]
"""``paper``: the paper's own numbers. ``small``: for the embedded prior and others of its kind."""

SMALL_PIXELS = 128
"""Priors whose pictures have no longer sides than this take the small size."""


def recipe_names() -> list[str]:
    """The recipes of the package, as the command line writes them."""
    folder = Path(__file__).parent / "recipes"
    stems = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    return [stem.replace("_", "-") for stem in stems]


def find_recipe(name: str, size: Size = "small") -> Recipe:
    """The recipe called ``name``, or made by the function that ``path/to/file.py:function`` names.

    Args:
        name: with hyphens or underscores.
        size: that of the embedded prior by default, as the prior of a run is. A recipe from outside
            the package has one size only.

    Raises:
        InputError: there is none; with the nearest name, or with what is wrong with the file.
    """
    if ".py:" in name:
        from maquette.recipe import Recipe

        recipe = _from_file(name)()
        if not isinstance(recipe, Recipe):
            raise InputError(f"{name} does not return a Recipe but a {type(recipe).__name__}")
        return recipe
    if size not in ("paper", "small"):
        raise InputError(f"A recipe has no size {size!r}", "Choose paper or small")
    module = _recipe_module(name)
    full = getattr(module, module.__name__.rpartition(".")[2])
    return getattr(module, "small", full)() if size == "small" else full()


def recipe_for(
    name: str, prior: Prior | str, size: Size | None = None, device: str = "cpu"
) -> tuple[Recipe, Prior | str]:
    """The recipe called ``name`` in the size that fits a prior, and the prior.

    A prior that is given by its name is loaded only where its pictures have to be asked for, and
    comes back loaded then.

    Args:
        name: as ``find_recipe`` takes it.
        prior: a prior, or its name as ``find_prior`` takes it.
        size: forces one; None takes the small one up to ``SMALL_PIXELS``.
        device: where the prior shall live.

    Raises:
        InputError: there is no such recipe or prior.
        PriorError: the prior cannot be loaded.
    """
    recipe = find_recipe(name, size or "small")
    if size is not None or ".py:" in name or (isinstance(prior, str) and _is_packaged(prior)):
        return recipe, prior
    prior = find_prior(prior, device) if isinstance(prior, str) else prior
    if prior.image_size > SMALL_PIXELS:
        recipe = find_recipe(name, "paper")
    return recipe, prior


def citation(name: str) -> str:
    """BibTeX of the paper of the recipe called ``name``.

    Raises:
        InputError: there is no such recipe, or it comes from outside the package.
    """
    if ".py:" in name:
        raise InputError(f"{name} is no recipe of the package, and tells no paper to cite")
    return _recipe_module(name).CITE


def _recipe_module(name: str) -> ModuleType:
    stem = name.replace("-", "_")
    if stem.replace("_", "-") not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f"The nearest is {near[0]}" if near else f"There are {', '.join(recipe_names())}"
        raise InputError(f"There is no recipe {name!r}", hint)
    return importlib.import_module(f"maquette.recipes.{stem}")


def prior_name(name: str) -> str:
    """``name`` as a run's file records it: absolute paths, so that they mean the same later."""
    if ".py:" in name:
        path, _, function = name.rpartition(":")
        return f"{Path(path).resolve()}:{function}"
    if not _is_packaged(name) and Path(name).exists():
        return str(Path(name).resolve())
    return name


def find_prior(name: str, device: str = "cpu") -> Prior:
    """The prior called ``name``.

    Args:
        name: ``embedded``, a folder in the diffusers layout or one that ``maquette prior
            linearise`` made, or ``path/to/file.py:function``.
        device: where it shall live.

    Raises:
        InputError: there is no such prior.
        PriorError: it cannot be loaded.
    """
    if _is_packaged(name):
        from maquette.priors.embedded import embedded

        return embedded(device=device) if name == "embedded" else embedded(name, device=device)
    if ".py:" in name:
        from maquette.priors.base import Prior

        prior = _from_file(name)()
        if not isinstance(prior, Prior):
            raise InputError(f"{name} does not return a Prior but a {type(prior).__name__}")
        return prior
    if Path(name).is_dir():
        from maquette.priors import linear_encoder
        from maquette.priors.stable_diffusion import StableDiffusion

        behind = linear_encoder.prior_behind(Path(name))
        if behind is not None:
            return linear_encoder.load(Path(name), find_prior(behind, device))
        return StableDiffusion.load(name, device=device)
    raise InputError(
        f"There is no prior {name!r}",
        "Use embedded, the path of a folder in the diffusers layout, or path/to/file.py:function",
    )


def _is_packaged(name: str) -> bool:
    return name == "embedded" or (name.startswith("embedded-") and Path(name).name == name)


def _from_file(name: str) -> Callable[[], Any]:
    """The function in ``path/to/file.py:function``; the user asked for that file to be run."""
    path, _, function = name.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise InputError(f"There is no file {path}", "Write it as path/to/file.py:function")
    spec = importlib.util.spec_from_file_location(f"recipe_file.{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Type hints of the dataclasses in it are looked up by the module's name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except MaquetteError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    made = getattr(module, function, None)
    if not callable(made):
        names = [n for n in vars(module) if not n.startswith("_")]
        near = difflib.get_close_matches(function, names, n=1)
        hint = f"The nearest is {near[0]}" if near else ""
        raise InputError(f"{path} has no function {function!r}", hint)
    return made
