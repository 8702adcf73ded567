"""CoGrad3D: views, timesteps and gradients by what each view region has seen, on Gaussians.

Tong et al. 2026, CoGrad3D: Spatially-Coupled Timestep Optimization with Orthogonal Gradient Fusion
for 3D Generation, sections 3.2 to 3.4 and appendix A.3. It is built on LucidDreamer, whose settings
hold where it gives none: ISM with guidance 7.5 in form A.

Convention: paper; there is no public code. Where it contradicts itself or is silent,
``cameras/adaptive.py``, ``timesteps/regional.py`` and ``gradients/fusion.py`` say what is taken.
One region is drawn each step, hence one view. Distances of 1.5 to 2 come without a field of view:
it is that of threestudio's recipes with the same distances. At this size the stored gradients take
up to 56 bytes for each Gaussian and each of 180 regions; ``regions`` with fewer parts take less.
"""

from maquette.cameras.adaptive import AdaptiveRegions
from maquette.gradients.fusion import OrthogonalFusion
from maquette.history import Regions
from maquette.recipe import Recipe
from maquette.recipes._lucid import lucid
from maquette.recipes._small import shrunk
from maquette.recipes.luciddreamer import luciddreamer
from maquette.timesteps.regional import RegionalTime

CITE = """@inproceedings{tong2026cograd3d,
  title = {CoGrad3D: Spatially-Coupled Timestep Optimization with Orthogonal Gradient Fusion for 3D
    Generation},
  author = {Tong, Haoyang and Wang, Hongbo and Liu, Jin and Wang, Qi and Cao, Jie and He, Ran},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year = {2026},
}"""


def cograd3d() -> Recipe:
    """ISM with omega 7.5 in 6000 steps of one view, over 180 regions."""
    settings = lucid(6000)
    regions = Regions(elevation_deg=(-30.0, 60.0), distance=(1.5, 2.0))
    settings |= {
        "cameras": AdaptiveRegions(regions=regions, fov_y_deg=(40.0, 70.0), temperature=0.1),
        "timesteps": RegionalTime(regions=regions),
        "fusion": OrthogonalFusion(regions=regions),
        "views": 1,
    }
    return Recipe(
        name="cograd3d",
        paper="CoGrad3D, Tong et al. 2026, AAAI",
        objective=luciddreamer().objective,
        **settings,
    )


def small() -> Recipe:
    """The same on the embedded prior; its regions cover the toy world's cameras."""
    regions = Regions(elevation_deg=(-10.0, 60.0), distance=(3.0, 3.6))
    return shrunk(
        cograd3d(),
        cameras=AdaptiveRegions(regions=regions, fov_y_deg=(34.0, 39.0), temperature=0.1),
        timesteps=RegionalTime(regions=regions),
        fusion=OrthogonalFusion(regions=regions),
    )
