"""The tiny run: a whole generation on the analytic prior in a fraction of a second.

128 Gaussians, pictures of 24 x 24, 40 steps, a checkpoint every 5. Tests use it in their own
process or, to be killed, in another one: ``python tests/tiny.py OUT``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path

import torch

from maquette.generation import Result, Watch, generate, resume
from maquette.inits.sphere import Sphere
from maquette.losses import Sparsity
from maquette.objectives.ism import ISM
from maquette.priors.analytic import GaussianMixture
from maquette.ramps import linear
from maquette.recipe import Recipe
from maquette.recipes._small import small
from maquette.scenes.growth import Growth
from maquette.timesteps.uniform import Uniform

PROMPT = "a disc"
SIZE = 24
STEPS = 40
EVERY = 5


def recipe() -> Recipe:
    """The recipe of the tiny run, with growth, a regulariser and a ramp in it."""
    parts = small() | {
        "timesteps": Uniform(low=0.02, high=linear(0.9, 0.4)),
        "init": Sphere(count=128, radius=0.6),
        "losses": (Sparsity(weight=0.1),),
        "steps": STEPS,
        "views": 2,
        "size": SIZE,
    }
    return Recipe(
        name="tiny",
        paper="none",
        objective=ISM(guidance_scale=linear(2.0, 4.0)),
        growth=Growth(gradient_threshold=1e-6, every=10, cap=140, floor=50),
        **parts,
    )


def prior() -> GaussianMixture:
    """A prior that knows two things on grey: a red disc, whose back is green, and a blue square."""
    axis = torch.linspace(-1, 1, SIZE)
    disc = (axis[:, None] ** 2 + axis[None, :] ** 2 < 0.4)[..., None]
    square = torch.maximum(axis[:, None].abs(), axis[None, :].abs())[..., None] < 0.6
    red, green, blue = torch.tensor([[0.8, 0.2, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.8]])
    grey = torch.full((3,), 0.5)
    pictures = {
        PROMPT: torch.where(disc, red, grey),
        f"{PROMPT}, back view": torch.where(disc, green, grey),
        "a square": torch.where(square, blue, grey),
    }
    return GaussianMixture.from_pictures(pictures, name="shapes")


def watch(**changes: object) -> Watch:
    """Checkpoints every 5 steps, no previews, no film."""
    return dataclasses.replace(
        Watch(checkpoint_every=EVERY, preview_every=0, turntable=False), **changes
    )  # pyright: ignore


def make(out: Path, **changes: object) -> Result:
    """The tiny run in ``out``; ``changes`` go to its watch."""
    return generate(PROMPT, recipe=recipe(), prior=prior(), out=out, watch=watch(**changes))


def go_on(folder: Path, **changes: object) -> Result:
    """The tiny run in ``folder``, resumed."""
    return resume(folder, prior=prior(), watch=watch(**changes))


def digest(folder: Path) -> dict[str, str]:
    """sha256 of everything that a run promises to reproduce: all but times and the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "timings.jsonl")
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    make(Path(sys.argv[1]))
