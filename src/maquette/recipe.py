"""A recipe is the sum of its parts: everything that distinguishes one method from another.

It is frozen and complete. Numbers in it may be ramps; ``at`` resolves them for one step, so that
parts only ever see numbers. A paper is a function in ``recipes/`` that returns one of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from maquette.camera import FOV_Y_DEG
from maquette.cameras.base import Cameras
from maquette.cameras.uniform import Uniform
from maquette.gradients.base import Fusion, Regulator
from maquette.inits.base import Init
from maquette.inits.canvas import Canvas
from maquette.losses import Loss
from maquette.objectives.base import Objective
from maquette.priors.path import Tracing
from maquette.priors.text import Prompting, Sectors, without_sides
from maquette.ramps import Number, exponential, resolve
from maquette.scenes.background import Background, Plain
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
    fusion: Fusion | None = None
    """How the gradients of single views become the one that is applied; None adds them up."""
    path: Tracing | None = None
    """Where the prior is bent to at first, and how it comes back (PTD); None leaves it straight."""
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

    @property
    def looks_at_geometry(self) -> bool:
        """Whether a regulariser needs depths and normals beside the pictures."""
        return any(loss.looks_at_geometry for loss in self.losses)

    def at(self, step: int) -> Recipe:
        """The recipe of one step (counted from 0): every ramp replaced by its number."""
        resolved = resolve(self, step / max(self.steps - 1, 1))
        return replace(resolved, size=round(resolved.size))

    def tiny(self) -> Recipe:
        """The same parts at a size for tests: two steps of two small views, a few Gaussians.

        Of particles two are left, and of the formation of a path two steps.
        """
        path = self.path
        if path is not None:
            # Where checkpoints are kept, both steps are, so that there is a path between them.
            forming = replace(path.forming, steps=2, keep_every=min(path.forming.keep_every, 1))
            path = replace(path, forming=forming)
        return replace(self, init=self.init.tiny(), path=path, steps=2, views=2, size=16)

    def image(self, size: int = 64) -> Recipe:
        """The same method on one picture of ``size`` pixels instead of a scene (PGC, figure 2).

        Objective, timesteps, negative prompt and regulators stay. What is about 3D goes: cameras,
        view words, growth, regularisers, fusion, and regulators that look at splats.
        """
        front: dict[str, tuple[Number, Number]] = {
            **{"azimuth_deg": (0.0, 0.0), "elevation_deg": (0.0, 0.0)},
            **{"distance": (3.3, 3.3), "fov_y_deg": (FOV_Y_DEG, FOV_Y_DEG)},
        }
        return replace(
            self,
            cameras=Uniform(**front),
            init=Canvas(size=size),
            background=Plain(),
            rates={"pixels": exponential(1e-2, 1e-3)},
            losses=(),
            gradients=tuple(part for part in self.gradients if not part.looks_at_splats),
            fusion=None,
            growth=None,
            views=1,
            size=size,
            prompting=without_sides(self.prompting),
        )
