"""Pixel-wise gradient clipping on score distillation, in its form on Gaussians.

Pan et al. 2024, Enhancing High-Resolution 3D Generation through Pixel-wise Gradient Clipping,
equation 10 and section 5.1.

Convention: paper: each pixel's gradient is clipped at 0.1 in the Euclidean norm; the public code
takes the largest channel (``gradients.clipbynorm.norm=linf``). Guidance 100 is of form B in the
code, so omega = 101. Focal lengths of 0.7 to 1.35 picture heights are fields of view of 71.1 to
40.6 degrees, drawn evenly in the angle here.

The paper paints and shapes a given mesh, inside a box of half side 0.8; that comes later. On
Gaussians, which start as a ball of that size, its timesteps up to 500 are few for finding a shape.
Rates, density control and the drawn plain backgrounds are those of ``_field.py``, where the code
has scenery for SDXL.
"""

from maquette.cameras.uniform import Uniform
from maquette.gradients.pixel import ClipByNorm
from maquette.objectives.sds import SDS
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{pan2024pgc,
  title = {Enhancing High-Resolution 3D Generation through Pixel-wise Gradient Clipping},
  author = {Pan, Zijie and Lu, Jiachen and Zhu, Xiatian and Zhang, Li},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
}"""


def pgc() -> Recipe:
    """SDS with omega 101 and clipped pixels, in 1200 steps of four views of 1024 pixels."""
    return Recipe(
        name="pgc",
        paper="Pixel-wise gradient clipping, Pan et al. 2024, arXiv 2310.12474",
        objective=SDS(guidance_scale=101.0, weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-10.0, 45.0), distance=(2.0, 2.5), fov_y_deg=(40.6, 71.1)),
        timesteps=UniformTime(low=0.02, high=0.5),
        gradients=(ClipByNorm(threshold=0.1, norm="l2"),),
        steps=1200,
        views=4,
        size=1024,
        **field_as_gaussians(radius=0.8),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(pgc(), guidance_scale=GUIDANCE_SCALE)
