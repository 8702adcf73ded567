"""Parts by hand: a recipe put together from its parts, and the loop that steps it.

Idea: a recipe is the sum of its parts, each a frozen dataclass; a run is a recipe at work; and
``distill`` is a generator that yields a report after every step. What is done with the reports is
your business: nothing in the loop prints, draws or saves.

The prior here is a picture, not a network: a red disc on white, whose back is green. So the example
needs no weights and takes seconds.

Usage:
    python examples/02_parts_by_hand.py          # 150 steps
    python examples/02_parts_by_hand.py 3        # a short form: 3 steps
"""

import sys
from pathlib import Path

import torch

from maquette.cameras.uniform import Uniform
from maquette.distill import distill
from maquette.export.ply import write_ply
from maquette.inits.sphere import Sphere
from maquette.losses import Sparsity
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture
from maquette.ramps import exponential, linear
from maquette.recipe import Recipe
from maquette.run import Run
from maquette.scenes.background import Plain
from maquette.timesteps.uniform import Uniform as UniformTime

SIZE = 24


def disc(red: float, green: float, blue: float) -> torch.Tensor:
    """A disc on white, ``[SIZE, SIZE, 3]``."""
    axis = torch.linspace(-1, 1, SIZE)
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 < 0.4)[..., None]
    return torch.where(inside, torch.tensor([red, green, blue]), torch.ones(3))


def recipe(steps: int) -> Recipe:
    """SDS on 300 Gaussians, seen against white."""
    return Recipe(
        name="by-hand",
        paper="none: an example",
        objective=SDS(guidance_scale=1.0),
        cameras=Uniform(elevation_deg=(-10.0, 30.0)),
        timesteps=UniformTime(low=0.02, high=linear(0.9, 0.3)),
        init=Sphere(count=300, radius=0.7),
        background=Plain((1.0, 1.0, 1.0)),
        rates={
            "means": exponential(5e-3, 5e-4),
            "log_scales": 1e-2,
            "logit_opacities": 5e-2,
            "sh": 2e-2,
        },
        losses=(Sparsity(weight=0.01),),
        steps=steps,
        views=4,
        size=SIZE,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    pictures = {"a disc": disc(0.8, 0.2, 0.1), "a disc, back view": disc(0.1, 0.7, 0.2)}
    run = Run.start("a disc", recipe(steps), GaussianMixture.from_pictures(pictures), seed=0)
    for report in distill(run):
        if report.step % 25 == 0 or report.step == steps:
            print(f"step {report.step:4d}  loss {report.loss:.5f}  {report.count} Gaussians")
    print(write_ply(Path("disc.ply"), run.scene), "Gaussians in disc.ply")
