"""ProlificDreamer: variational score distillation, in its form on Gaussians.

Wang et al. 2023, ProlificDreamer: High-Fidelity and Diverse Text-to-3D Generation with Variational
Score Distillation, equation 9; the first of its three stages.

Convention: paper, which is what the authors' own code has: the student, a low-rank adapter of rank
4, answers without guidance, where threestudio guides it too. Guidance of the prior is 7.5 in form
A, as in the code. From the 5000th step on t is at most 500. The student adapts the prior that is
asked, where the code adapts its sister that predicts v.

There is one particle, as by default in the code; ``init=inits.Several`` and
``growth=scenes.GrowthOfEach`` make several, for which the code takes 100,000 steps and lowers t at
20,000. The field, its noise on densities and its loss on samples along a ray come later, and so do
the stages on a mesh. Start, rates and growth are those of ``_field.py``.
"""

from maquette.cameras.uniform import Uniform
from maquette.objectives.vsd import VSD
from maquette.priors.lora import Adapter, LoRA
from maquette.ramps import steps
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import shrunk
from maquette.timesteps.shared import Shared
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{wang2023prolificdreamer,
  title = {ProlificDreamer: High-Fidelity and Diverse Text-to-3D Generation with Variational Score
    Distillation},
  author = {Wang, Zhengyi and Lu, Cheng and Wang, Yikai and Bao, Fan and Li, Chongxuan and
    Su, Hang and Zhu, Jun},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {36},
  pages = {8406--8441},
  year = {2023},
}"""


def prolificdreamer() -> Recipe:
    """VSD with omega 7.5 in 25,000 steps of one view of 512 pixels."""
    high = steps((0.0, 0.98), (5000 / 25_000, 0.5))
    return Recipe(
        name="prolificdreamer",
        paper="ProlificDreamer, Wang et al. 2023, arXiv 2305.16213",
        objective=VSD(
            student=LoRA(
                adapter=Adapter(rank=4, learning_rate=1e-4, warmup_steps=500),
                pose_dropout=0.1,
            ),
            guidance_scale=7.5,
            weight="sigma_squared",
        ),
        cameras=Uniform(elevation_deg=(-30.0, 90.0), distance=(1.0, 1.5), fov_y_deg=(40.0, 70.0)),
        timesteps=Shared(UniformTime(low=0.02, high=high)),
        steps=25_000,
        views=1,
        size=512,
        **field_as_gaussians(pull=7.5 / 101),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(prolificdreamer())
