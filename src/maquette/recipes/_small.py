"""What all recipes share on the embedded prior: cameras, start, rates and regularisers.

Only the formula differs from recipe to recipe, so that they can be compared.
"""

from __future__ import annotations

from typing import Any

from maquette.cameras.uniform import Uniform
from maquette.inits.sphere import Sphere
from maquette.ramps import exponential, linear
from maquette.scenes.background import Mixed
from maquette.timesteps.uniform import Uniform as UniformTime

__all__ = ["small"]


def small() -> dict[str, Any]:
    """The shared settings, as keyword arguments of ``Recipe``."""
    return {
        "cameras": Uniform(elevation_deg=(-10.0, 60.0)),
        "timesteps": UniformTime(low=0.02, high=linear(0.98, 0.4)),
        "init": Sphere(count=3000, radius=0.7),
        "background": Mixed(),
        "rates": {
            "means": exponential(5e-3, 5e-4),
            "log_scales": exponential(2e-2, 2e-3),
            "quats": exponential(1e-2, 1e-3),
            "logit_opacities": exponential(5e-2, 1e-2),
            "sh": exponential(3e-2, 3e-3),
        },
        "steps": 400,
        "views": 4,
        "size": 64,
    }
