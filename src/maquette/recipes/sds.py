"""Score distillation sampling on Gaussians (DreamFusion, Poole et al. 2022), small."""

from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes import _small
from maquette.recipes.dreamfusion import CITE as CITE


def sds() -> Recipe:
    """SDS with guidance 7.5: a small prior needs far less than the paper's 100."""
    return Recipe(
        name="sds",
        paper="DreamFusion, Poole et al. 2022, arXiv 2209.14988",
        objective=SDS(guidance_scale=7.5),
        **_small.small(),
    )
