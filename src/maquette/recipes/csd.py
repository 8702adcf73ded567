"""Classifier score distillation, in its form on Gaussians.

Yu et al. 2023, Text-to-3D with Classifier Score Distillation.

Convention: paper, because the public code divides the gradient of the whole batch by its norm in
the stage that starts from nothing, which is in no formula. It also asks for ``eps(y) + b
eps(negative) + n eps(null)`` with ramps for b and n; as ``b + n = -1`` throughout, these only
divide the base between two prompts, which are one and the same without a negative prompt. No
guidance scale enters. Numbers are those of the code's first stage, and the weight that of its
second, sigma squared. It shows only front and back in the first 1000 steps, and
has Perp-Neg for characters: not taken. Field and mesh come later.
"""

from maquette.cameras.uniform import Uniform
from maquette.losses import Sparsity
from maquette.objectives.csd import CSD
from maquette.ramps import linear, steps
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@misc{yu2023csd,
  title = {Text-to-3D with Classifier Score Distillation},
  author = {Yu, Xin and Guo, Yuan-Chen and Li, Yangguang and Liang, Ding and Zhang, Song-Hai and
    Qi, Xiaojuan},
  year = {2023},
  eprint = {2310.19415},
  archivePrefix = {arXiv},
}"""


def csd() -> Recipe:
    """CSD in 10,000 steps of one view, half of them at less than half the noise."""
    return Recipe(
        name="csd",
        paper="Text-to-3D with classifier score distillation, Yu et al. 2023, arXiv 2310.19415",
        objective=CSD(weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-10.0, 45.0), distance=(1.5, 2.0), fov_y_deg=(40.0, 70.0)),
        timesteps=UniformTime(low=0.02, high=steps((0.0, 0.98), (0.5, 0.5))),
        losses=(Sparsity(weight=linear(10.0, 1.0, finish=0.5)),),
        steps=10_000,
        views=1,
        size=64,
        # The difference alone, not a hundred times it.
        **field_as_gaussians(pull=1 / 101),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(csd())
