"""What recipes share whose paper has a radiance field, in their form on Gaussians.

A field's learning rates, shading and sampling mean nothing here. Start, rates and density control
are those of threestudio's extension for Gaussians, threestudio-3dgs, and what is the method's own
(guidance, weights, timesteps, cameras, resolution, steps) is the paper's.
"""

from __future__ import annotations

from typing import Any

from maquette.inits.sphere import Sphere
from maquette.priors.text import Sectors
from maquette.ramps import exponential
from maquette.scenes.background import Mixed
from maquette.scenes.growth import Growth

__all__ = ["field_as_gaussians"]

GROWTH_THRESHOLD = 0.01 / (0.1 / 4)
"""threestudio-3dgs: 0.01 for a gradient of SDS that its code has multiplied by 0.1 and divided by
its 4 views. Gradients here are neither."""


def field_as_gaussians(*, radius: float = 0.5, pull: float = 1.0) -> dict[str, Any]:
    """Start, background, rates, growth and prompting, as keyword arguments of ``Recipe``.

    Args:
        radius: of the ball at the start. 0.5 is where the density of the usual blob begins
            (Magic3D's, which threestudio takes everywhere).
        pull: about how large the method's gradient is beside that of SDS with guidance 101; the
            threshold of density control is meaningless without it. An estimate.
    """
    return {
        "init": Sphere(count=4096, radius=radius),
        # In the place of the learnt environment map and its random colours.
        "background": Mixed(white=0.0, grey=0.0, black=0.0, random=1.0),
        "rates": {
            "means": exponential(1e-3, 2e-5),
            "log_scales": 5e-3,
            "quats": 5e-3,
            "logit_opacities": 5e-2,
            "sh": 1e-2,
        },
        "growth": Growth(gradient_threshold=GROWTH_THRESHOLD * pull, every=300, begin=500),
        "prompting": Sectors(overhead_above_deg=60.0),
    }
