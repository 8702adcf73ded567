"""Maquette's own recipe."""

from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes import _small

CITE = """@misc{maquette,
}"""


def maquette() -> Recipe:
    """Provisional."""
    return Recipe(
        name="maquette",
        paper="Maquette",
        objective=SDS(guidance_scale=7.5),
        **_small.small(),
    )
