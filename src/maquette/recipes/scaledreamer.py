"""ScaleDreamer: asynchronous score distillation, in its form on Gaussians.

Ma et al. 2024, ScaleDreamer: Scalable Text-to-3D Synthesis with Asynchronous Score Distillation.
Here it is for a single prompt.

Convention: code, for its numbers; the formula is the same. Guidance is 7.5, which is of form A in
the code because Perp-Neg is on. Perp-Neg has threestudio's weights at half their strength. The
code's AdamW forgets its first moment at once (betas 0 and 0.99); here Adam keeps it. The field
comes later, and start, rates and growth are those of ``_field.py``. Front and back lie within 30
degrees in the code; here words are mixed all the way round.
"""

from maquette.cameras.uniform import Uniform
from maquette.losses import AlphaEntropy, Sparsity
from maquette.objectives.asd import ASD
from maquette.priors.text import Interpolated, PerpNeg
from maquette.ramps import linear, steps
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import shrunk
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{ma2024scaledreamer,
  title = {ScaleDreamer: Scalable Text-to-3D Synthesis with Asynchronous Score Distillation},
  author = {Ma, Zhiyuan and Wei, Yuxiang and Zhang, Yabin and Zhu, Xiangyu and Lei, Zhen and
    Zhang, Lei},
  booktitle = {European Conference on Computer Vision},
  year = {2024},
}"""

FINE = 10_000 / 25_000
"""Progress at which pictures become larger and coverage is made definite."""


def scaledreamer() -> Recipe:
    """ASD with omega 7.5 in 25,000 steps of one view."""
    lowest = linear(0.5, 0.02)
    settings = field_as_gaussians(pull=7.5 / 101)
    settings["prompting"] = PerpNeg(
        prompting=Interpolated(overhead_above_deg=60.0),
        weights="threestudio",
        strength=0.5,
        overhead_above_deg=60.0,
    )
    return Recipe(
        name="scaledreamer",
        paper="ScaleDreamer, Ma et al. 2024, arXiv 2407.02040",
        objective=ASD(guidance_scale=7.5, ratio=0.1, low=lowest, weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-10.0, 45.0), distance=(1.0, 1.5), fov_y_deg=(40.0, 70.0)),
        timesteps=UniformTime(low=lowest, high=linear(0.98, 0.5)),
        losses=(Sparsity(weight=30.0), AlphaEntropy(weight=steps((0.0, 0.0), (FINE, 100.0)))),
        steps=25_000,
        views=1,
        size=steps((0.0, 64.0), (FINE, 256.0)),
        **settings,
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(scaledreamer())
