"""Score Jacobian chaining, in its form on Gaussians.

Wang et al. 2023, Score Jacobian Chaining: Lifting Pretrained 2D Diffusion Models for 3D Generation.

Convention: code, which is the paper's formula with the factor 1 / sigma once. Its variance
reduction (the clean baseline) is on, and its noise levels, entries 30 to -10 of its falling table,
are t = 969 to 10. Its guidance of 100 is of form A already, so omega = 100 (threestudio has 100 in
form B). The official voxels hold latents and weigh emptiness along each ray, which Gaussians do not
have; the field comes later. Elevations are threestudio's. The code says its view words before the
prompt, here they stand after it as everywhere.
"""

from maquette.cameras.uniform import Uniform
from maquette.objectives.sjc import SJC
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{wang2023sjc,
  title = {Score Jacobian Chaining: Lifting Pretrained 2D Diffusion Models for 3D Generation},
  author = {Wang, Haochen and Du, Xiaodan and Li, Jiahao and Yeh, Raymond A. and
    Shakhnarovich, Greg},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {12619--12629},
  year = {2023},
}"""


def sjc() -> Recipe:
    """SJC with omega 100 in 10,000 steps of one view."""
    return Recipe(
        name="sjc",
        paper="Score Jacobian Chaining, Wang et al. 2023, arXiv 2212.00774",
        objective=SJC(guidance_scale=100.0, baseline="clean", weight="uniform"),
        cameras=Uniform(elevation_deg=(-10.0, 45.0), distance=(1.5, 1.5), fov_y_deg=(60.0, 60.0)),
        timesteps=UniformTime(low=0.01, high=0.969),
        steps=10_000,
        views=1,
        size=64,
        **field_as_gaussians(),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(sjc(), guidance_scale=GUIDANCE_SCALE)
