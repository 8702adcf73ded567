"""What all recipes share on the embedded prior: cameras, start, rates and numbers of things.

Only the formula differs from recipe to recipe, so that they can be compared. ``shrunk`` makes the
small size of a recipe from its paper's size; ramps depend on progress, so they carry over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maquette.cameras.uniform import Uniform
from maquette.inits.sphere import Sphere
from maquette.losses import AlphaEntropy, Sparsity
from maquette.priors.text import Prompting, Sectors
from maquette.ramps import Number, exponential, linear
from maquette.recipe import Recipe
from maquette.scenes.background import Mixed
from maquette.timesteps.uniform import Uniform as UniformTime

__all__ = ["GUIDANCE_SCALE", "shrunk", "small"]

GUIDANCE_SCALE = 7.5
"""In the place of 100 and 101: a small prior needs far less, and burns out at more."""


def small() -> dict[str, Any]:
    """The shared settings, as keyword arguments of ``Recipe``."""
    return {
        "cameras": Uniform(elevation_deg=(-10.0, 60.0)),
        "timesteps": UniformTime(low=0.02, high=linear(0.98, 0.2)),
        "init": Sphere(count=3000, radius=0.7),
        # White, which the toy world has often, is never behind its white things: asked for one on
        # white, the prior paints a halo around it. A colour drawn anew seldom meets that of a part.
        "background": Mixed(white=0.0, grey=0.0, black=0.0, random=1.0),
        "rates": {
            "means": exponential(5e-3, 5e-4),
            "log_scales": exponential(2e-2, 2e-3),
            "quats": exponential(1e-2, 1e-3),
            "logit_opacities": exponential(5e-2, 1e-2),
            "sh": exponential(3e-2, 3e-3),
        },
        "losses": (AlphaEntropy(weight=20.0), Sparsity(weight=10.0)),
        "steps": 300,
        "views": 4,
        "size": 64,
    }


def shrunk(recipe: Recipe, *, guidance_scale: Number | None = None, **changes: Any) -> Recipe:
    """``recipe`` for the embedded prior: 64-pixel pictures of objects of radius 1.

    Cameras, start, learning rates, steps, views and size become the shared ones. The number of
    Gaussians stays what it is at the start, as so small a picture has no room for more. Overhead
    begins where the captions of the toy world have it. All else stays.

    Args:
        recipe: in its paper's size.
        guidance_scale: the objective's; None keeps it.
        changes: further fields of the recipe, for parts that hold cameras of their own.
    """
    shared = small()
    names = ("cameras", "init", "rates", "steps", "views", "size")
    fields: dict[str, Any] = {name: shared[name] for name in names}
    objective: Any = recipe.objective
    if guidance_scale is not None:
        objective = replace(objective, guidance_scale=guidance_scale)
    prompting = _as_captioned(recipe.prompting)
    fields |= {"objective": objective, "prompting": prompting, "growth": None, **changes}
    return replace(recipe, **fields)


def _as_captioned(prompting: Any) -> Prompting:
    """``prompting`` with the toy world's border between the words of the side and overhead."""
    fields = {}
    if hasattr(prompting, "overhead_above_deg"):
        fields["overhead_above_deg"] = Sectors().overhead_above_deg
    if hasattr(prompting, "prompting"):
        fields["prompting"] = _as_captioned(prompting.prompting)
    return replace(prompting, **fields)
