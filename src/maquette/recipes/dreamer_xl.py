"""Dreamer XL: trajectory score matching on Gaussians, for a prior of high resolution.

Miao et al. 2024, Dreamer XL: Towards High-Resolution Text-to-3D Generation via Trajectory Score
Matching, equations 5 to 9. It is built on LucidDreamer, whose settings hold where it gives none.

Convention: paper, wherever it is definite, because the code's gamma has another meaning: gamma =
0.3 puts mu at 30 % of the interval, t is uniform over the schedule, and pixels are clipped "as
PGC", which is 0.1 in the Euclidean norm. The public code puts mu at 95.4 % for the same gamma,
draws t from 20 to a bound that falls from 980 to 500, and clips at 0.05 in the largest channel:
``objective.convention=code`` and ``ClipByNorm(0.05, "linf")``. Lengths of the interval are the
code's, as the paper has symbols only. Guidance is 7.5 in form A.

The clip of depths (``gradients.ClipDepth``) belongs to steps in which the prior looks at depth;
there are none here. The paper's rate for a "camera encoder" has nothing that it could be for.
"""

from maquette.gradients.pixel import ClipByNorm
from maquette.objectives.tsm import TSM
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._lucid import WARM_UP, lucid
from maquette.recipes._small import shrunk
from maquette.timesteps.shared import Shared
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@misc{miao2024dreamerxl,
  title = {Dreamer XL: Towards High-Resolution Text-to-3D Generation via Trajectory Score Matching},
  author = {Miao, Xingyu and Duan, Haoran and Ojha, Varun and Song, Jun and Shah, Tejal and
    Long, Yang and Ranjan, Rajiv},
  year = {2024},
  eprint = {2405.11252},
  archivePrefix = {arXiv},
}"""


def dreamer_xl() -> Recipe:
    """TSM with omega 7.5 in 2500 steps of four views of 1024 pixels."""
    settings = lucid(2500, growth_end=1500, size=1024)
    settings["timesteps"] = Shared(UniformTime(low=0.001, high=0.999))
    return Recipe(
        name="dreamer-xl",
        paper="Dreamer XL, Miao et al. 2024, arXiv 2405.11252",
        objective=TSM(
            guidance_scale=7.5,
            gamma=0.3,
            delta_t=linear(100.0, 80.0, finish=WARM_UP),
            stride=200,
            weight="rho",
            strength=0.1,
            convention="paper",
        ),
        gradients=(ClipByNorm(threshold=0.1, norm="l2"),),
        **settings,
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(dreamer_xl())
