"""Classifier score distillation on Gaussians (Yu et al. 2023), small."""

from maquette.objectives.csd import CSD
from maquette.recipe import Recipe
from maquette.recipes._small import small


def csd() -> Recipe:
    """CSD on the embedded prior."""
    return Recipe(
        name="csd",
        paper="Text-to-3D with classifier score distillation, Yu et al. 2023, arXiv 2310.19415",
        objective=CSD(),
        **small(),
    )
