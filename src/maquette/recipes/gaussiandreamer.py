"""GaussianDreamer: score distillation on Gaussians that start as a 3D model's answer.

Yi et al. 2024, GaussianDreamer: Fast Generation from Text to 3D Gaussians by Bridging 2D and 3D
Diffusion Models.

Convention: code, for its numbers; the formula is SDS in both. Guidance 100 is of form B, so omega =
101. The paper has no negative prompt, and none is taken; the code has a long one. Density control
reads the mean over the views, where the code reads the length of their mean, with the same
threshold.

The paper starts from Shap-E, which is not here: it is a ball of radius 0.8. Its "sparsity" acts on
depth over the largest depth, not on opacity, and its gradients of latents are clamped at 1.5 to 2:
neither is taken.
"""

from maquette.cameras.uniform import Uniform
from maquette.inits.sphere import Sphere
from maquette.objectives.sds import SDS
from maquette.priors.text import Sectors
from maquette.ramps import exponential, steps
from maquette.recipe import Recipe
from maquette.recipes._small import GUIDANCE_SCALE, shrunk
from maquette.scenes.background import Plain
from maquette.scenes.growth import Growth
from maquette.timesteps.uniform import Uniform as UniformTime

CITE = """@inproceedings{yi2024gaussiandreamer,
  title = {GaussianDreamer: Fast Generation from Text to 3D Gaussians by Bridging 2D and 3D
    Diffusion Models},
  author = {Yi, Taoran and Fang, Jiemin and Wang, Junjie and Wu, Guanjun and Xie, Lingxi and
    Zhang, Xiaopeng and Liu, Wenyu and Tian, Qi and Wang, Xinggang},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {6796--6807},
  year = {2024},
}"""

EXTENT = 4.0
"""The scene's size in the code, which multiplies the rate of positions and the border of splits."""
RUN_STEPS = 1200


def gaussiandreamer() -> Recipe:
    """SDS with omega 101 in 1200 steps of four views of 1024 pixels."""
    large = 500 / RUN_STEPS
    return Recipe(
        name="gaussiandreamer",
        paper="GaussianDreamer, Yi et al. 2024, arXiv 2310.08529",
        objective=SDS(guidance_scale=101.0, weight="sigma_squared"),
        cameras=Uniform(elevation_deg=(-10.0, 60.0), distance=(1.5, 4.0), fov_y_deg=(40.0, 70.0)),
        timesteps=UniformTime(low=0.02, high=steps((0.0, 0.98), (large, 0.55))),
        init=Sphere(count=50_000, radius=0.8),
        background=Plain((0.0, 0.0, 0.0)),
        rates={
            "means": exponential(5e-5 * EXTENT, 2.5e-5 * EXTENT),
            "log_scales": 5e-3,
            "quats": 1e-3,
            "logit_opacities": 0.01,
            "sh": 0.0125,
        },
        growth=Growth(
            gradient_threshold=2e-4,
            split_scale=0.01 * EXTENT,
            every=100,
            begin=300,
            end=900,
            prune_opacity=0.05,
            prune_scale=steps((0.0, 100.0), (large, 0.1 * EXTENT)),
            prune_extent=steps((0.0, 100.0), (large, 20 / 1024)),
            cap=1_000_000,
        ),
        steps=RUN_STEPS,
        views=4,
        size=1024,
        prompting=Sectors(overhead_above_deg=60.0),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(gaussiandreamer(), guidance_scale=GUIDANCE_SCALE)
