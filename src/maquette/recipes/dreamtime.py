"""DreamTime: score distillation whose timesteps only fall, in its form on Gaussians.

Huang et al. 2024, DreamTime: An Improved Optimization Strategy for Diffusion-Guided 3D Generation.

Convention: paper: a Gaussian preference of mean 500 and deviation 125. PGC's public code has two
halves around 500 and 800, and no code of the authors is at hand; so all that is not about timesteps
is that of ``dreamfusion``, the field that comes later and omega = 101 included.
"""

from dataclasses import replace

from maquette.recipe import Recipe
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.recipes.dreamfusion import dreamfusion
from maquette.timesteps.dreamtime import DreamTime

CITE = """@inproceedings{huang2024dreamtime,
  title = {DreamTime: An Improved Optimization Strategy for Diffusion-Guided 3D Generation},
  author = {Huang, Yukun and Wang, Jianan and Shi, Yukai and Tang, Boshi and Qi, Xianbiao and
    Zhang, Lei},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
}"""


def dreamtime() -> Recipe:
    """SDS with omega 101 at timesteps that fall along the run."""
    return replace(
        dreamfusion(),
        name="dreamtime",
        paper="DreamTime, Huang et al. 2024, arXiv 2306.12422",
        timesteps=DreamTime(mean=0.5, width=0.125, low=0.02, high=0.98),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(dreamtime(), guidance_scale=GUIDANCE_SCALE)
