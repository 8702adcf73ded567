"""HiFA: denoising in several steps, compared as latents and as pictures, in its form on Gaussians.

Zhu et al. 2024, HiFA: High-fidelity Text-to-3D Generation with Advanced Diffusion Guidance.

Convention: paper, which is what the authors' own code has: up to four steps of 250 and variances of
depth that are normalised along a ray and summed over rays, at weight 3. threestudio's has a single
step and a mean. Guidance is 100 in form A, as in the code, always with Perp-Neg. Timesteps fall by
the root of progress from 980 to 300 without jitter.

The field comes later, and start, rates and growth are those of ``_field.py``; so Adan and the
clip of its gradients, the loss of a guessed depth, and what acts on samples along a ray (z-entropy,
monotonicity, kernel smoothing) are not here.
"""

from maquette.cameras.uniform import Uniform
from maquette.losses import ZVariance
from maquette.objectives.hifa import HiFA
from maquette.priors.text import PerpNeg
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.annealed import Annealed

CITE = """@inproceedings{zhu2024hifa,
  title = {HiFA: High-fidelity Text-to-3D Generation with Advanced Diffusion Guidance},
  author = {Zhu, Junzhe and Zhuang, Peiye and Koyejo, Sanmi},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
}"""


def hifa() -> Recipe:
    """HiFA with omega 100 in 10,000 steps of one view of 512 pixels."""
    # Beside SDS, its gradient is 0.05 times sigma / alpha, which is about 1.
    settings = field_as_gaussians(pull=0.05)
    settings["prompting"] = PerpNeg()
    return Recipe(
        name="hifa",
        paper="HiFA, Zhu et al. 2024, arXiv 2305.18766",
        objective=HiFA(
            guidance_scale=100.0,
            stride=250,
            eta=1.0,
            image_weight=0.1,
            weight="uniform",
            strength=0.05,
        ),
        cameras=Uniform(elevation_deg=(-15.0, 45.0), distance=(3.0, 3.5), fov_y_deg=(10.0, 30.0)),
        timesteps=Annealed(high=0.98, low=0.3, power=0.5, jitter=0.0),
        losses=(ZVariance(weight=linear(0.0, 3.0, finish=0.5), over_rays="sum"),),
        steps=10_000,
        views=1,
        size=512,
        **settings,
    )


def small() -> Recipe:
    """The same on the embedded prior.

    The weight of the regulariser falls with the guidance, as the gradient does beside which it
    stands; at its paper's it makes everything a ball here.
    """
    weight = linear(0.0, 3.0 * GUIDANCE_SCALE / 100.0, finish=0.5)
    losses = (ZVariance(weight=weight, over_rays="sum"),)
    return shrunk(hifa(), guidance_scale=GUIDANCE_SCALE, losses=losses)
