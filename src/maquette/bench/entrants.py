"""Who takes part in a benchmark: recipes by name, or one recipe with parts changed, for ablations.

An ablation is a list of entrants whose names say what is different. Its first is the whole method.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from maquette.errors import InputError
from maquette.lookup import find_recipe
from maquette.overrides import override
from maquette.recipe import Recipe

__all__ = ["ABLATIONS", "Entrant", "ablation", "entrants"]


@dataclass(frozen=True)
class Entrant:
    """One row of a table.

    Attributes:
        name: what the table calls it.
        recipe: its name, or ``path/to/file.py:function``.
        settings: texts like ``objective.gamma=0.5`` that change it.
    """

    name: str
    recipe: str
    settings: tuple[str, ...] = ()

    def made(self) -> Recipe:
        """The recipe in its small size; raises InputError for an unknown one or a wrong setting."""
        return override(find_recipe(self.recipe), self.settings)


EVEN = "cameras.temperature=inf"
ANNEALED = "timesteps=timesteps.Annealed"
CLIP = "gradients=gradients.ClipByNorm"

ABLATIONS: dict[str, tuple[Entrant, ...]] = {
    # CoGrad3D's table 2: adaptive regions (A), timesteps by region (B), orthogonal fusion (C).
    "cograd3d": (
        Entrant("cograd3d", "cograd3d"),
        Entrant("without regions (A)", "cograd3d", (EVEN,)),
        Entrant("without regional time (B)", "cograd3d", (ANNEALED,)),
        Entrant("without fusion (C)", "cograd3d", ("fusion=none",)),
        Entrant("without all", "cograd3d", (EVEN, ANNEALED, "fusion=none")),
    ),
    # Dreamer XL: where between the two ends of an interval the trajectory is matched.
    "tsm": tuple(
        Entrant(f"gamma {gamma}", "dreamer-xl", (f"objective.gamma={gamma}",))
        for gamma in (0.0, 0.3, 0.5, 0.7, 1.0)
    ),
    # PGC: thresholds and variants, on the paper's own recipe.
    "pgc": (
        *(
            Entrant(f"clipped by norm at {c}", "pgc", (f"gradients.clipbynorm.threshold={c}",))
            for c in (0.1, 0.01, 1.0)
        ),
        Entrant("clipped by value at 0.1", "pgc", ("gradients=ClipByValue",)),
        Entrant("normalised (PNGD)", "pgc", ("gradients=PNGD",)),
        Entrant("scaled as a whole", "pgc", ("gradients=GlobalScale",)),
        Entrant("as it is", "pgc", ("gradients=[]",)),
    ),
    # PTD: how fast the path is left, and no path at all.
    "ptd": (
        *(
            Entrant(f"C = {power}", "ptd", (f"path.power={power}",))
            for power in (0.3, 0.1, 1.0, 3.0)
        ),
        Entrant("without the path", "ptd", ("path=none",)),
    ),
    # PGC with each objective: on and off.
    "clipping": tuple(
        Entrant(f"{name}{suffix}", name, settings)
        for name in ("dreamfusion", "csd", "luciddreamer", "prolificdreamer")
        for suffix, settings in ((" clipped", (CLIP,)), ("", ("gradients=[]",)))
    ),
}
"""By name: one command for each of the papers' tables."""


def ablation(name: str) -> tuple[Entrant, ...]:
    """The entrants of the ablation called ``name``.

    Raises:
        InputError: there is none; with the nearest name.
    """
    if name not in ABLATIONS:
        near = difflib.get_close_matches(name, ABLATIONS, n=1)
        hint = f"The nearest is {near[0]}" if near else f"There are {', '.join(ABLATIONS)}"
        raise InputError(f"There is no ablation {name!r}", hint)
    return ABLATIONS[name]


def entrants(names: Sequence[str]) -> tuple[Entrant, ...]:
    """Recipes by name, each as it is.

    Raises:
        InputError: there is no such recipe, or it is named twice.
    """
    for name in names:
        find_recipe(name)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"The recipe {twice[0]} is named twice", "Name each once")
    return tuple(Entrant(name, name) for name in names)
