"""Perp-Neg on score distillation, in its form on Gaussians.

Armandpour et al. 2023, Re-imagine the Negative Prompt Algorithm: Transform 2D Diffusion into 3D,
alleviate Janus problem and Beyond.

Convention: code, that of stable-dreamfusion, on which the authors work and whose table of weights
is everybody's: pushed off are the texts of the front and of the side, at right angles to the own
one. Guidance is 100 in form A there, so omega = 100. The floor of 1e-6 under its projection is left
out. The field comes later: its first fifth on normals, Adan, and the losses on samples along a ray
and on orientation are not here, and start, rates and growth are those of ``_field.py``.
"""

from maquette.cameras.uniform import Uniform
from maquette.objectives.sds import SDS
from maquette.priors.text import Interpolated, PerpNeg
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@misc{armandpour2023perpneg,
  title = {Re-imagine the Negative Prompt Algorithm: Transform 2D Diffusion into 3D, alleviate Janus
    problem and Beyond},
  author = {Armandpour, Mohammadreza and Sadeghian, Ali and Zheng, Huangjie and Sadeghian, Amir and
    Zhou, Mingyuan},
  year = {2023},
  eprint = {2304.04968},
  archivePrefix = {arXiv},
}"""


def perpneg() -> Recipe:
    """SDS with omega 100 and Perp-Neg in 10,000 steps of one view."""
    settings = field_as_gaussians()
    settings["prompting"] = PerpNeg(prompting=Interpolated(), weights="lucid_dreamer")
    return Recipe(
        name="perpneg",
        paper="Perp-Neg, Armandpour et al. 2023, arXiv 2304.04968",
        objective=SDS(guidance_scale=100.0, weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-15.0, 45.0), distance=(3.0, 3.5), fov_y_deg=(10.0, 30.0)),
        timesteps=UniformTime(low=0.02, high=0.98),
        steps=10_000,
        views=1,
        size=64,
        **settings,
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(perpneg(), guidance_scale=GUIDANCE_SCALE)
