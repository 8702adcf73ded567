"""What LucidDreamer shares with the methods that are built on it (its code at commit 2ecf093)."""

from __future__ import annotations

import math
from typing import Any

from maquette.cameras.uniform import Uniform
from maquette.inits.sphere import Sphere
from maquette.losses import ColourVariation, ScalePenalty
from maquette.priors.text import Interpolated
from maquette.ramps import Ramp, exponential, linear, steps
from maquette.scenes.background import Mixed
from maquette.scenes.growth import Growth
from maquette.timesteps.shared import Shared
from maquette.timesteps.uniform import Uniform as UniformTime

__all__ = ["EXTENT", "WARM_UP", "lucid"]

EXTENT = 3.5
"""The scene's size in the code, which multiplies the rate of positions and the border of splits."""
WARM_UP = 0.3
"""Share of a run in which intervals and timesteps fall to where they stay: 1500 of 5000 steps."""
NO_LIMIT = 100.0


def lucid(run_steps: int, *, growth_end: int = 3000, size: int = 512) -> dict[str, Any]:
    """Everything but the objective, as keyword arguments of ``Recipe``.

    Args:
        run_steps: length of the run.
        growth_end: last step of density control.
        size: side of the rendered pictures in pixels.
    """
    return {
        "cameras": _cameras(run_steps),
        # Index i of its scheduler is t = i + 1; the upper end of its draw is not reached.
        "timesteps": Shared(UniformTime(low=0.021, high=linear(0.98, 0.5, finish=WARM_UP))),
        "init": Sphere(count=100_000, radius=0.5),
        # White; two times of three replaced, half by a random colour and half by black.
        "background": Mixed(white=0.34, grey=0.0, black=0.33, random=0.33),
        "rates": {
            "means": exponential(1.6e-4 * EXTENT, 1.6e-6 * EXTENT),
            "log_scales": exponential(5e-3, 1e-3),
            "quats": exponential(1e-3, 2e-4),
            "logit_opacities": 0.05,
            "sh": exponential(5e-3, 3e-3),
        },
        "losses": (ColourVariation(weight=1.0), ScalePenalty(weight=1.0)),
        "growth": _growth(run_steps, growth_end, size),
        "steps": run_steps,
        "views": 4,
        "size": size,
        "prompting": Interpolated(),
    }


def _cameras(run_steps: int) -> Uniform:
    """Far away with a moderate lens at first, and nearer and longer every 500 steps."""
    return Uniform(
        elevation_deg=(-15.0, 45.0),
        distance=(
            _every_500(5.2, 0.95, 3.5, run_steps),
            _every_500(5.5, 0.95, 5.0, run_steps),
        ),
        fov_y_deg=(
            _every_500(math.degrees(0.32), 0.75, math.degrees(0.16), run_steps),
            math.degrees(0.60),
        ),
    )


def _every_500(start: float, factor: float, lowest: float, run_steps: int) -> Ramp:
    """``start``, multiplied by ``factor`` every 500 steps until it is ``lowest``."""
    knots = [
        (step / run_steps, max(start * factor**turn, lowest))
        for turn, step in enumerate(range(0, run_steps, 500))
    ]
    return steps(*knots)


def _growth(run_steps: int, end: int, size: int) -> Growth:
    """From step 300 on, what is larger than 20 pixels or a tenth of the scene goes too."""
    large = 300 / run_steps
    return Growth(
        gradient_threshold=7.5e-4,
        split_scale=0.003 * EXTENT,
        every=100,
        begin=100,
        end=end,
        prune_opacity=0.005,
        prune_scale=steps((0.0, NO_LIMIT), (large, 0.1 * EXTENT)),
        prune_extent=steps((0.0, NO_LIMIT), (large, 20 / size)),
        reset_every=300,
        reset_opacity=0.01,
        # The code has no cap. This one guards memory.
        cap=1_000_000,
    )
