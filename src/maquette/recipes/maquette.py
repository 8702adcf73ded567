"""Maquette's own recipe: what of the four papers pays for itself, on Gaussians.

SDS with a noise level that falls, on views and with gradients that know of their region, and with
clipped pixels:

- of CoGrad3D the regions that converge badly are looked at more often, and what neighbouring views
  asked for is added at right angles. It costs no evaluation. With 36 regions instead of 180, each
  is seen often enough in a short run to have a history.
- of PGC no pixel pulls harder than a threshold, 0.5, which cuts about one pixel in ten of the
  embedded prior's.
- of Dreamer XL and LucidDreamer the range of timesteps that falls as the run goes on, down to
  little noise. Their inverted paths are not taken: for the evaluations of one inverted view SDS
  looks twice, and that is worth more.
- of PTD the beginning: no timestep is held back while first renders are far from the prior's law,
  and fine ones come last. Forming a path is not taken: it costs as much as a tenth of the run, and
  the assets of runs with the same number of evaluations were no better for it.

Two regularisers keep what is there solid, and nothing else there.
"""

from maquette.cameras.adaptive import AdaptiveRegions
from maquette.gradients.fusion import OrthogonalFusion
from maquette.gradients.pixel import ClipByNorm
from maquette.history import Regions
from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes._small import GUIDANCE_SCALE
from maquette.recipes._small import small as shared

CITE = """@misc{maquette2026,
  title = {Maquette: Score Distillation with Known Answers},
  author = {The Maquette authors},
  year = {2026},
  note = {Software, recipe ``maquette''},
}"""


def maquette() -> Recipe:
    """SDS with omega 7.5 in 300 steps of four views."""
    regions = Regions(elevation_deg=(-10.0, 60.0), distance=(3.0, 3.6), azimuths=12, distances=1)
    settings = shared()
    settings["cameras"] = AdaptiveRegions(regions=regions, fov_y_deg=(34.0, 39.0))
    return Recipe(
        name="maquette",
        paper="The Maquette authors' own, after PGC, Dreamer XL, PTD and CoGrad3D",
        objective=SDS(guidance_scale=GUIDANCE_SCALE),
        gradients=(ClipByNorm(threshold=0.5, norm="l2"),),
        fusion=OrthogonalFusion(regions=regions),
        **settings,
    )
