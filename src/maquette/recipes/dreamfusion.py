"""DreamFusion: score distillation sampling, in its form on Gaussians.

Poole et al. 2023, DreamFusion: Text-to-3D using 2D Diffusion, equation 3.

Convention: both. Paper and code have one formula. The numbers are those of threestudio's
``dreamfusion-sd``, because the paper's own prior, Imagen, is not public. Its guidance of 100 is in
the paper's form B, so omega = 101 here. The field and its shading come later; of what they need,
the orientation loss has no meaning on Gaussians, and start, rates and growth are those of
``_field.py``. Cameras are drawn evenly in elevation, where threestudio draws half of them evenly on
the sphere.
"""

from maquette.cameras.uniform import Uniform
from maquette.losses import Sparsity
from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{poole2023dreamfusion,
  title = {DreamFusion: Text-to-3D using 2D Diffusion},
  author = {Poole, Ben and Jain, Ajay and Barron, Jonathan T. and Mildenhall, Ben},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
}"""


def dreamfusion() -> Recipe:
    """SDS with omega 101 in 10,000 steps of one view."""
    return Recipe(
        name="dreamfusion",
        paper="DreamFusion, Poole et al. 2023, arXiv 2209.14988",
        objective=SDS(guidance_scale=101.0, weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-10.0, 90.0), distance=(1.5, 2.0), fov_y_deg=(40.0, 70.0)),
        timesteps=UniformTime(low=0.02, high=0.98),
        losses=(Sparsity(weight=1.0),),
        steps=10_000,
        views=1,
        size=64,
        **field_as_gaussians(),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(dreamfusion(), guidance_scale=GUIDANCE_SCALE)
