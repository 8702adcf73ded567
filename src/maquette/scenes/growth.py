"""How Gaussians are cloned, split and pruned (adaptive density control, 3DGS section 5.2).

Where the pictures pull hard on the projected centres, there are too few Gaussians: small ones are
doubled, large ones split. Faint and oversized ones go. In score distillation the pull never dies
down as it does with photographs, so the population is bounded here: it never exceeds ``cap`` nor
the memory it is allowed, and pruning never takes it below ``floor``.

Threshold and statistics are those of INRIA's code: the gradient on a centre in pixels times half
the picture's size, that is, on normalised device coordinates, for a loss that is summed over the
views, not averaged. Unlike the codes that only look at the last view of a batch, every view counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.optimiser import Adam
from maquette.ramps import Number, Ramp, steps
from maquette.randomness import Randomness
from maquette.records import Render
from maquette.render.splat_torch import rotation_from_quaternion
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import MAX_SCALE, MIN_SCALE, Gaussians

__all__ = ["Follow", "Growth", "bytes_per_gaussian", "during", "nobody"]

SPLIT_FACTOR = 1.6
"""Children of a split are this much smaller; two of them then cover their parent (3DGS, 5.2)."""

_LOG_BOUNDS = (math.log(MIN_SCALE), math.log(MAX_SCALE))


def during(begin: float, end: float) -> Ramp:
    """A window for ``Growth.active``: 1 from progress ``begin`` until ``end`` of a run, else 0."""
    return steps((0.0, 0.0), (begin, 1.0), (end, 0.0)) if begin > 0 else steps((0, 1), (end, 0))


def bytes_per_gaussian(sh_coefficients: int, itemsize: int = 4) -> int:
    """Memory that one Gaussian holds throughout a run: parameter, gradient and two moments of each
    number, and the statistics of growth. Renderers need more during a step.
    """
    numbers = 3 + 3 + 4 + 1 + 3 * sh_coefficients
    return 4 * numbers * itemsize + sum(dtype.itemsize for dtype in _STATISTICS.values())


Follow = Callable[[Tensor], object]
"""Is told, where rows change, which row ``[M]`` each of the new ones is or comes from."""


def nobody(parents: Tensor) -> None:
    """Follows nothing."""


_STATISTICS = {"gradient": torch.float64, "seen": torch.int64, "extent": torch.float32}
"""Per Gaussian: sum of gradient norms, number of views that saw it, largest share of a picture."""


@dataclass(frozen=True)
class Growth:
    """Density control with bounds. Thresholds may be ramps over the run.

    Steps are counted from 1 here: an interval of 100 acts after the 100th, 200th ... step.

    Raises:
        InputError: for a cap below the floor, an interval below 1, or an opacity reset that the
            next pruning would answer by removing everything.
    """

    gradient_threshold: Number = 7.5e-4
    """Mean norm of the screen gradient from which a Gaussian multiplies (LucidDreamer's value)."""
    split_scale: Number = 0.01
    """Above this largest scale, in world units, a Gaussian is split, below it is cloned."""
    every: int = 100
    """Steps between two acts of cloning, splitting and pruning."""
    begin: int = 0
    """No act before this step."""
    end: int | None = None
    """No act after this step; None goes on to the end of the run."""
    active: Number = 1.0
    """Acts happen only where this is above 0; ``during(0.1, 0.6)`` gives a window of the run."""
    prune_opacity: Number = 0.005
    """Fainter Gaussians are removed."""
    prune_scale: Number = math.inf
    """Gaussians with a larger scale, in world units, are removed."""
    prune_extent: Number = math.inf
    """Gaussians whose half extent exceeded this share of the picture's side are removed."""
    prune_unseen_views: int = 100
    """Gaussians outside of every picture are removed, if so many were taken; 0 keeps them."""
    reset_every: int = 0
    """Steps between two opacity resets; 0 never resets."""
    reset_opacity: Number = 0.01
    """A reset lowers all opacities to at most this."""
    cap: int = 100_000
    """There are never more Gaussians than this."""
    floor: int = 100
    """Pruning never leaves fewer than this."""
    memory_bytes: int | None = None
    """Lowers the cap to what fits, counted by ``bytes_per_gaussian``; None sets no limit."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.reset_every < 0:
            raise InputError(
                f"Growth cannot act every {self.every} and reset every {self.reset_every} steps",
                "Give at least 1 for the former, and 0 or more for the latter",
            )
        if not 1 <= self.floor <= self.cap:
            raise InputError(
                f"A population between {self.floor} and {self.cap} is impossible",
                "Give a floor of at least 1 and a cap that is not below it",
            )
        reset, prune = self.reset_opacity, self.prune_opacity
        # Ramps are numbers, and checked, once a recipe has resolved them.
        if not self.reset_every or isinstance(reset, Ramp) or isinstance(prune, Ramp):
            return
        if not prune < reset < 1:
            raise InputError(
                f"A reset to opacity {reset} would be pruned at {prune}",
                "Give a reset_opacity above prune_opacity and below 1",
            )

    def init(self, scene: Scene) -> dict[str, Tensor]:
        """Empty statistics for ``scene``: per Gaussian, and the number of views taken.

        Raises:
            InputError: if the scene is not made of Gaussians.
        """
        device = _gaussians(scene).means.device
        state = {
            name: torch.zeros(scene.count, dtype=dtype, device=device)
            for name, dtype in _STATISTICS.items()
        }
        return {**state, "views": torch.zeros((), dtype=torch.int64)}

    @torch.no_grad()
    def after_step(
        self,
        scene: Scene,
        optimiser: Adam,
        render: Render,
        state: Mapping[str, Tensor],
        random: Randomness,
        follow: Follow = nobody,
    ) -> dict[str, Tensor]:
        """Take note of the step's render and, when it is time, change the population.

        The rows of a changed scene are: survivors in their order, clones in the order of their
        originals, first children of the split, second children. New rows have moments 0.

        Args:
            scene: changed in place, by ``replace`` where the number of Gaussians changes.
            optimiser: follows.
            render: of this step, after its backward pass.
            state: what ``init`` or the last step returned; it is not changed.
            random: at the step just done, counted from 0.
            follow: is told where the rows of a changed scene come from.

        Raises:
            InputError: if the scene, the render or the state are not of the same Gaussians.
        """
        gaussians = _gaussians(scene)
        state = self._note(gaussians, render, state)
        gaussians.parameters()["log_scales"].clamp_(*_LOG_BOUNDS)
        done = random.step + 1
        last = math.inf if self.end is None else self.end
        if self.begin <= done <= last and cast(float, self.active) > 0.0:
            if done % self.every == 0:
                self._act(gaussians, optimiser, state, random, follow)
                state = self.init(gaussians)
            if self.reset_every and done % self.reset_every == 0:
                self._reset(gaussians, optimiser)
        return state

    def limit(self, scene: Gaussians) -> int:
        """The largest population allowed: the cap, or fewer where memory forbids it."""
        if self.memory_bytes is None:
            return self.cap
        each = bytes_per_gaussian(scene.sh.shape[1], scene.sh.element_size())
        return max(self.floor, min(self.cap, self.memory_bytes // each))

    def _note(
        self, scene: Gaussians, render: Render, state: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The statistics with this step's views added."""
        if render.screen_offsets is None or render.radii is None:
            raise InputError(
                "Growth needs gradients on the screen, which this render does not carry",
                "Render Gaussians with gradients enabled",
            )
        gradient = render.screen_offsets.grad
        if gradient is None:
            gradient = torch.zeros_like(render.screen_offsets)
        if not scene.count == gradient.shape[1] == len(state["seen"]):
            raise InputError(
                f"Growth has statistics of {len(state['seen'])} Gaussians and a render of "
                f"{gradient.shape[1]} for a scene of {scene.count}",
                "Make new ones with init after changing a scene",
            )
        height, width = render.colour.shape[1:3]
        half = torch.tensor([width / 2, height / 2], dtype=torch.float64, device=gradient.device)
        # In double precision no square of a single-precision gradient overflows.
        norm = (gradient.double() * half).norm(dim=-1)  # [B, N]
        on_screen = (render.radii > 0).all(-1)
        # The corridor refuses a step with a gradient that is not finite; here it counts as no vote.
        votes = on_screen & torch.isfinite(norm)
        extent = (render.radii.amax(-1) / max(width, height)).amax(0)
        return {
            "gradient": state["gradient"] + torch.where(votes, norm, 0.0).sum(0),
            "seen": state["seen"] + on_screen.sum(0),
            "extent": torch.maximum(state["extent"], extent.to(state["extent"])),
            "views": state["views"] + len(gradient),
        }

    def _act(
        self,
        scene: Gaussians,
        optimiser: Adam,
        state: Mapping[str, Tensor],
        random: Randomness,
        follow: Follow,
    ) -> None:
        """Prune, then clone and split as far as there is room."""
        alive = self._survivors(scene, state)
        largest = scene.scales.amax(-1)
        mean_gradient = state["gradient"] / state["seen"].clamp(min=1)
        wanted = alive & (mean_gradient >= cast(float, self.gradient_threshold))
        wanted &= state["seen"] > 0
        # A clone and a split both add one, so the hardest pulled ones share what room there is.
        room = max(0, self.limit(scene) - int(alive.sum()))
        grown = _top(mean_gradient, wanted, room)
        split = grown & (largest > cast(float, self.split_scale))
        clone = grown & ~split
        kept = torch.nonzero(alive & ~split)[:, 0]
        cloned, parents = torch.nonzero(clone)[:, 0], torch.nonzero(split)[:, 0]
        if len(kept) == scene.count and not len(cloned):
            return
        children = _split(scene, parents, random)
        scene.replace(
            {
                name: torch.cat([value[kept], value[cloned], children[name]])
                for name, value in scene.parameters().items()
            }
        )
        optimiser.select(kept, len(cloned) + 2 * len(parents))
        follow(torch.cat([kept, cloned, parents, parents]))

    def _survivors(self, scene: Gaussians, state: Mapping[str, Tensor]) -> Tensor:
        """bool ``[N]``: who stays, between the floor and the limit; the most opaque go last."""
        opacity = scene.opacities
        alive = (
            (opacity >= cast(float, self.prune_opacity))
            & (scene.scales.amax(-1) <= cast(float, self.prune_scale))
            & (state["extent"] <= cast(float, self.prune_extent))
        )
        if 0 < self.prune_unseen_views <= int(state["views"]):
            alive &= state["seen"] > 0
        missing = min(self.floor, scene.count) - int(alive.sum())
        alive = alive | _top(opacity, ~alive, max(0, missing))
        return _top(opacity, alive, self.limit(scene))

    def _reset(self, scene: Gaussians, optimiser: Adam) -> None:
        opacity = cast(float, self.reset_opacity)
        scene.parameters()["logit_opacities"].clamp_(max=math.log(opacity / (1.0 - opacity)))
        optimiser.reset(["logit_opacities"])


def _gaussians(scene: Scene) -> Gaussians:
    if not isinstance(scene, Gaussians):
        raise InputError(
            f"Growth cannot change a scene of the type {type(scene).__name__}",
            "Use a recipe without growth, or a scene of Gaussians; particles need GrowthOfEach",
        )
    return scene


def _top(score: Tensor, among: Tensor, count: int) -> Tensor:
    """bool ``[N]``: the ``count`` rows of highest score among those marked, earlier rows first."""
    rows = torch.nonzero(among)[:, 0]
    if len(rows) <= count:
        return among
    order = torch.sort(score[rows], descending=True, stable=True).indices
    chosen = torch.zeros_like(among)
    chosen[rows[order[:count]]] = True
    return chosen


def _split(scene: Gaussians, parents: Tensor, random: Randomness) -> dict[str, Tensor]:
    """Two children of each parent: drawn from its density, and smaller by ``SPLIT_FACTOR``."""
    children = {
        name: value[parents].repeat(2, *[1] * (value.ndim - 1))
        for name, value in scene.parameters().items()
    }
    spread = torch.randn(2 * len(parents), 3, generator=random.generator("split"))
    local = spread.to(scene.means) * children["log_scales"].exp()
    rotation = rotation_from_quaternion(children["quats"])
    children["means"] = children["means"] + (rotation @ local[:, :, None])[:, :, 0]
    smaller = children["log_scales"] - math.log(SPLIT_FACTOR)
    children["log_scales"] = smaller.clamp(*_LOG_BOUNDS)
    return children
