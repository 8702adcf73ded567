"""Interval score matching on Gaussians (LucidDreamer, Liang et al. 2023), small."""

from maquette.objectives.ism import ISM
from maquette.recipe import Recipe
from maquette.recipes import _small
from maquette.recipes.luciddreamer import CITE as CITE


def ism() -> Recipe:
    """ISM with guidance 7.5 on the embedded prior."""
    return Recipe(
        name="ism",
        paper="LucidDreamer, Liang et al. 2023, arXiv 2311.11284",
        objective=ISM(guidance_scale=7.5, stride=1000),
        **_small.small(),
    )
