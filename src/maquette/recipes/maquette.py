"""Maquette's own recipe, after the four papers, on Gaussians.

SDS with a noise level that falls, on views and with gradients that know of their region, and with
clipped pixels:

- CoGrad3D: regions that converge badly are looked at more often, and what neighbouring views asked
  for is added at right angles. Neither costs an evaluation. With 36 regions instead of 180, each is
  seen often enough in a short run to have a history.
- PGC: no pixel pulls harder than a threshold.
- Dreamer XL: the range of timesteps falls as the run goes on. Its inverted pairs, which cost more
  than twice as many evaluations a step, are left out.
- PTD: first renders are far from what the prior knows, the more so at little noise. At first there
  are no timesteps below four fifths of the schedule. Its path, which costs evaluations before the
  first step, is left out.

The small size starts from points that a small generator draws of the prompt, as GaussianDreamer
does with Shap-E's; the other one from a ball. Two regularisers keep what is there solid, and
nothing else there. ``benchmarks/variants.py`` takes single parts out, and puts in those that were
left out.
"""

from typing import Any

from maquette.cameras.adaptive import AdaptiveRegions
from maquette.gradients.fusion import OrthogonalFusion
from maquette.gradients.pixel import ClipByNorm
from maquette.history import Regions
from maquette.inits.embedded import Embedded
from maquette.losses import AlphaEntropy, Sparsity
from maquette.objectives.sds import SDS
from maquette.priors.text import Sectors
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._lucid import lucid
from maquette.recipes._small import GUIDANCE_SCALE
from maquette.recipes._small import small as shared
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@misc{maquette2026,
  title = {Maquette: Score Distillation with Known Answers},
  author = {The Maquette authors},
  year = {2026},
  note = {Software, recipe ``maquette''},
}"""


def maquette() -> Recipe:
    """SDS with omega 101 in 2500 steps of two views of 512 pixels, for Stable Diffusion's like.

    Its numbers are those of the papers: LucidDreamer's scene, growth and rates, PGC's guidance and
    threshold. It has never met such a prior, because none is at hand where it was made.
    """
    regions = Regions(elevation_deg=(-15.0, 60.0), distance=(3.5, 5.0), azimuths=12, distances=1)
    return _recipe(
        AdaptiveRegions(regions=regions, fov_y_deg=(16.0, 34.0)),
        guidance_scale=101.0,
        threshold=0.1,
        settings=lucid(2500, growth_end=1500) | {"prompting": Sectors(60.0)},
    )


def small() -> Recipe:
    """SDS with omega 7.5 in 500 steps of two views, for the embedded prior."""
    regions = Regions(elevation_deg=(-10.0, 60.0), distance=(3.0, 3.6), azimuths=12, distances=1)
    settings = shared() | {"steps": 500, "init": Embedded()}
    cameras = AdaptiveRegions(regions=regions, fov_y_deg=(34.0, 39.0))
    return _recipe(cameras, guidance_scale=GUIDANCE_SCALE, threshold=0.5, settings=settings)


def _recipe(
    cameras: AdaptiveRegions,
    *,
    guidance_scale: float,
    threshold: float,
    settings: dict[str, Any],
) -> Recipe:
    """The recipe; its regularisers are in proportion to what a pixel may pull at most."""
    settings |= {
        "cameras": cameras,
        "timesteps": UniformTime(low=linear(0.8, 0.02), high=linear(0.98, 0.2)),
        "losses": (AlphaEntropy(weight=40 * threshold), Sparsity(weight=20 * threshold)),
        "views": 2,
    }
    return Recipe(
        name="maquette",
        paper="The Maquette authors' own, after PGC, Dreamer XL, PTD and CoGrad3D",
        objective=SDS(guidance_scale=guidance_scale),
        gradients=(ClipByNorm(threshold=threshold, norm="l2"),),
        fusion=OrthogonalFusion(regions=cameras.regions),
        **settings,
    )
