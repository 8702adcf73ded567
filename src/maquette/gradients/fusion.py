"""Fusing what neighbouring views ask for, without disturbing what the view itself asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.gradients.base import Fusion
from maquette.history import Regions
from maquette.projections import perpendicular
from maquette.ramps import Number, number, steps
from maquette.records import Outcome

__all__ = ["OrthogonalFusion"]


@dataclass(frozen=True)
class OrthogonalFusion(Fusion):
    """``g + sum_j perpendicular(2^-d_j g_j, g)``, over stored gradients of nearby regions.

    CoGrad3D, section 3.4, equation 10, and appendix A.3. A gradient is one vector over all
    parameters that the recipe moves, what one view asks of the scene, regularisers left out. The
    newest of each region is stored, unfused; one counts as neighbour where it is fewer than
    ``reach`` regions away (the view's own region included), younger than ``step_gap`` of the steps
    done, and of a similar timestep. As projections add up, the sum is projected once. Views of the
    same step do not see each other.

    The paper puts 1e-8 below the fraction of its projection, beside squares of gradients that are
    often smaller; here nothing is added, and a view that asks for nothing takes the neighbours' sum
    as it is.

    Stored gradients follow their Gaussians: clones and the children of a split inherit, pruned
    ones vanish. One that has become too old for the paper's own window never counts again and is
    dropped. So at most ``min(R, B ceil(step_gap k))`` are kept at step k with B views, each with as
    many numbers as the parameters have: 30 MB at most for 3000 Gaussians of 14 numbers and 180
    regions. Larger scenes may want fewer regions.
    """

    regions: Regions = Regions()
    """How the views are cut."""
    strength: Number = steps((0.0, 0.0), (0.2, 1.0), (0.75, 0.0))
    """Factor on what the neighbours add; the paper fuses from 20 % to 75 % of a run."""
    recorded: Number = steps((0.0, 0.0), (0.18, 1.0), (0.75, 0.0))
    """Above 0 where gradients are stored: as much before the fusion as it looks back."""
    reach: int = 2
    """Regions nearer than this, in steps from one to the next, are neighbours."""
    t_gap: Number = 50.0
    """A neighbour's timestep differs by less than this, in timesteps."""
    step_gap: Number = 0.1
    """A neighbour is younger than this share of the steps done."""

    @property
    def asks(self) -> bool:
        return number(self.recorded) > 0 or number(self.strength) != 0

    def init(self) -> dict[str, Tensor]:
        """Step (from 1, 0 for none) and timestep of each region's gradient; no gradients yet."""
        blank = torch.zeros(self.regions.count, dtype=torch.int64)
        return {"step": blank, "t": blank.clone()}

    def fuse(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        """The gradients fused; raises InputError where those stored are of another scene."""
        own, strength = outcome.gradients, number(self.strength)
        weights = strength * self._weights(state, outcome)
        if not bool(weights.any()):
            return dict(own)
        main = torch.cat([value.double().flatten(1) for value in own.values()], 1)
        weights, added = weights.to(main), torch.zeros_like(main)
        # By the number of the region, so that the order of storing does not enter the sum.
        for region in torch.nonzero(weights.any(0))[:, 0].tolist():
            added += weights[:, region, None] * _vector(state, region, own)
        fused = main + perpendicular(added, main)
        pieces = fused.split([value[0].numel() for value in own.values()], 1)
        return {
            name: piece.reshape(value.shape).to(value.dtype)
            for (name, value), piece in zip(own.items(), pieces, strict=True)
        }

    def learn(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        if not outcome.gradients:
            return self.init()  # The fusion is over, or far away: all memory is given back.
        after = dict(state)
        step, t = after["step"].cpu().clone(), after["t"].cpu().clone()
        for view, region in enumerate(self.regions.of(outcome.views).tolist()):
            step[region], t[region] = outcome.step, int(outcome.t[view])
            for name, value in outcome.gradients.items():
                after[f"{_prefix(region)}{name}"] = value[view].detach().clone()
        old = (step > 0) & ~self._young(step, outcome.step + 1)
        step[old] = t[old] = 0
        dropped = tuple(_prefix(region) for region in torch.nonzero(old)[:, 0].tolist())
        kept = {name: value for name, value in after.items() if not name.startswith(dropped)}
        return {**kept, "step": step, "t": t}

    def follow(self, state: Mapping[str, Tensor], parents: Tensor) -> dict[str, Tensor]:
        return {
            name: value if name in ("step", "t") else value.index_select(0, parents)
            for name, value in state.items()
        }

    def _weights(self, state: Mapping[str, Tensor], outcome: Outcome) -> Tensor:
        """``2^-distance`` ``[B, R]`` of neighbours whose gradient is young and similar, else 0."""
        apart = self.regions.apart(self.regions.of(outcome.views)).double()
        fit = (apart < self.reach) & self._young(state["step"].cpu(), outcome.step)
        gap = (outcome.t.cpu()[:, None] - state["t"].cpu()).abs()
        return torch.where(fit & (gap < number(self.t_gap)), 2.0**-apart, 0.0)

    def _young(self, step: Tensor, now: int) -> Tensor:
        """Which gradients ``[R]`` lie within the window of the step ``now``."""
        return (step > 0) & (now - step < number(self.step_gap) * now)


def _prefix(region: int) -> str:
    """What the names of a region's stored gradient begin with."""
    return f"{region:03d}."


def _vector(state: Mapping[str, Tensor], region: int, like: Mapping[str, Tensor]) -> Tensor:
    """The stored gradient of ``region`` as one vector, parameters in the order of ``like``."""
    parts = [state.get(f"{_prefix(region)}{name}") for name in like]
    fitting = [
        part.double().flatten()
        for part, value in zip(parts, like.values(), strict=True)
        if part is not None and part.shape == value.shape[1:]
    ]
    if len(fitting) < len(like):
        raise InputError(
            f"The gradient stored for region {region} is not of the scene's own parameters",
            "Fuse gradients of a single scene only, whose growth tells where its rows come from",
        )
    return torch.cat(fitting)
