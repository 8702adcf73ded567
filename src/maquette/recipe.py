"""A recipe is the sum of its parts: everything that distinguishes one method from another.

It is frozen and complete. Numbers in it may be ramps; ``at`` resolves them for one step, so that
parts only ever see numbers. A paper is a function in ``recipes/`` that returns one of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from maquette.cameras.base import Cameras
from maquette.gradients.base import Regulator
from maquette.inits.base import Init
from maquette.losses import Loss
from maquette.objectives.base import Objective
from maquette.priors.text import Prompting, Sectors
from maquette.ramps import Number, resolve
from maquette.scenes.background import Background
from maquette.scenes.growth import Growth
from maquette.timesteps.base import Timesteps

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """One complete description of a distillation run."""

    name: str
    """What the command line calls it."""
    paper: str
    """Where the method comes from."""
    objective: Objective
    """Which way should the latents move?"""
    cameras: Cameras
    """Where do we look from?"""
    timesteps: Timesteps
    """How much noise?"""
    init: Init
    """What do we start from?"""
    background: Background
    """What is behind the object?"""
    rates: dict[str, Number] = field(default_factory=dict)
    """Adam's learning rate for each parameter of the scene."""
    losses: tuple[Loss, ...] = ()
    """Regularisers on the render and the scene."""
    gradients: tuple[Regulator, ...] = ()
    """What is done to the gradient on the pixels, in order."""
    growth: Growth | None = None
    """How Gaussians are cloned, split and pruned; None keeps their number."""
    steps: int = 400
    """Optimisation steps."""
    views: int = 4
    """Views of a step."""
    size: Number = 64
    """Side of the rendered pictures in pixels."""
    negative_prompt: str = ""
    """What the picture should not be; empty means the null prompt."""
    prompting: Prompting = Sectors()
    """How the prompt becomes the words of each view, and what guidance keeps away from."""

    def at(self, step: int) -> Recipe:
        """The recipe of one step (counted from 0): every ramp replaced by its number."""
        resolved = resolve(self, step / max(self.steps - 1, 1))
        return replace(resolved, size=round(resolved.size))

    def tiny(self) -> Recipe:
        """The same parts at a size for tests: two steps of two small views, a few Gaussians."""
        init = self.init
        if "count" in getattr(init, "__dataclass_fields__", ()):
            init = replace(init, count=64)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return replace(self, init=init, steps=2, views=2, size=16)
