"""Consistent3D: consistency distillation sampling, in its form on Gaussians.

Wu et al. 2024, Consistent3D: Towards Consistent High-Fidelity Text-to-3D Generation with
Deterministic Sampling Prior.

Convention: code, because its annealing is of the cleaner of the two levels, from 700 to 100 by the
root of progress, with the other one 100 to 300 above it; the paper's form in the library counts
from the noisier one. It also has one fixed noise for all views and all steps. The two forms differ
by the factor sigma / alpha at the cleaner level. Guidance falls from 100 to 50 in form B at both
levels, so omega = 101 to 51.

This is the first stage, which makes the shape; the field and the two stages on a mesh come later.
The code clamps the gradient of latents at 2 to 8 and moves with Adan: neither is taken. Its eight
views lie in the four quadrants twice; here they are spread evenly over the circle.
"""

from maquette.cameras.uniform import Uniform
from maquette.objectives.cds import CDS
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._field import field_as_gaussians
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.timesteps.annealed import Annealed

CITE = """@inproceedings{wu2024consistent3d,
  title = {Consistent3D: Towards Consistent High-Fidelity Text-to-3D Generation with Deterministic
    Sampling Prior},
  author = {Wu, Zike and Zhou, Pan and Yi, Xuanyu and Yuan, Xiaoding and Zhang, Hanwang},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {9892--9902},
  year = {2024},
}"""


def consistent3d() -> Recipe:
    """CDS with omega 101 to 51 in 3000 steps of eight views."""
    return Recipe(
        name="consistent3d",
        paper="Consistent3D, Wu et al. 2024, arXiv 2401.09050",
        objective=CDS(
            guidance_scale=linear(101.0, 51.0),
            delta_t=(100.0, 300.0),
            weight="uniform",
            convention="code",
        ),
        cameras=Uniform(elevation_deg=(-10.0, 45.0), distance=(1.5, 2.0), fov_y_deg=(40.0, 70.0)),
        timesteps=Annealed(high=0.7, low=0.1, power=0.5, jitter=0.0),
        steps=3000,
        views=8,
        size=64,
        **field_as_gaussians(),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(consistent3d(), guidance_scale=linear(GUIDANCE_SCALE, GUIDANCE_SCALE / 2))
