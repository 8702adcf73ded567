"""LucidDreamer: interval score matching on Gaussians.

Liang et al. 2024, LucidDreamer: Towards High-Fidelity Text-to-3D Generation via Interval Score
Matching, section 3.2.

Convention: paper, because it is what the equations say and what others compare with: the inversion
starts from the clean latent, and the base of guidance is the empty prompt (``negative_prompt`` is
empty). The public code starts from a latent that is noised at t = 1 and takes a negative prompt:
``objective.convention=code`` and ``negative_prompt=...``. What the paper leaves open is the code's:
w(t) = 0.1 sigma / alpha, a gradient that is summed over views, one timestep for all of them, and
all numbers. Guidance is 7.5 in form A, as in the code.

The code starts from Point-E, or from a ball of 100,000 Gaussians, which is taken. It also encodes
normalised disparity in the place of the picture one time of five, smooths that disparity, shakes
cameras and scales, mirrors batches, draws one field of view for ten cameras, and decides from the
last view of a step where to grow: none of this is here. Perp-Neg, which it turns on for heads and
animals, is ``prompting=priors.text.PerpNeg``.
"""

from maquette.objectives.ism import ISM
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._lucid import WARM_UP, lucid
from maquette.recipes._small import shrunk

CITE = """@inproceedings{liang2024luciddreamer,
  title = {LucidDreamer: Towards High-Fidelity Text-to-3D Generation via Interval Score Matching},
  author = {Liang, Yixun and Yang, Xin and Lin, Jiantao and Li, Haodong and Xu, Xiaogang and
    Chen, Yingcong},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {6517--6526},
  year = {2024},
}"""


def luciddreamer() -> Recipe:
    """ISM with omega 7.5 in 5000 steps of four views."""
    return Recipe(
        name="luciddreamer",
        paper="LucidDreamer, Liang et al. 2024, arXiv 2311.11284",
        objective=ISM(
            guidance_scale=7.5,
            delta_t=linear(100.0, 80.0, finish=WARM_UP),
            stride=200,
            weight="rho",
            strength=0.1,
            convention="paper",
        ),
        **lucid(5000),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(luciddreamer())
