"""Regional timesteps: less noise as the run goes on, and more where a view region gets worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.history import (
    Regions,
    blank,
    deviation,
    first_difference,
    noted,
    second_difference,
    seen,
)
from maquette.noise import NoiseSchedule
from maquette.ramps import Number, linear, number
from maquette.randomness import Randomness
from maquette.records import Outcome, Views
from maquette.timesteps.base import Timesteps

__all__ = ["RegionalTime", "baseline"]


@dataclass(frozen=True)
class RegionalTime(Timesteps):
    """``t ~ U(base - spread, base + spread)``, ``base = clip(t_global + coupling t_near)``.

    CoGrad3D, section 3.3 and appendix A.3. ``t_global`` has the logSNR that lies ``progress`` of
    the straight way from the noisiest level to the cleanest. ``t_near`` is the average of a local
    state over the regions near to the view's own, that one included, with weights ``2^-distance``.
    A region moves its state after each of its losses L (equation 8)::

        state <- momentum state + clip(c1 L' + c2 L'' + c3 (L - average), -largest, largest)

    What the paper leaves open is settled thus. Its states move in steps of 0.05 and its timesteps
    count to 1000: states here are fractions of the schedule, 0.05 being 50 of 1000. Its Delta t
    means both the clip (0.05, ``largest``) and the half width (100 of 1000, ``spread``). Its
    progress "increases from 0.2 to 0.8" on a line that begins at progress 0 with t = 1000 and ends
    at 1 with t = 1: before and after, progress stands at 0.2 and 0.8. Its prose lists the loss
    itself where its formula has the second difference, which is taken. Its 0.2 times
    ``2^-distance`` is written as a coefficient, and its text calls for a weighted average: the
    weights are divided by their sum, so that a region at the rim is moved no less. The loss is the
    objective's value; no unit is given for it, and a clip needs one: that is ``unit``.
    """

    regions: Regions = Regions()
    """How the views are cut."""
    progress: Number = linear(0.2, 0.8, begin=0.2, finish=0.8)
    """How far the run is, 0 at the noisiest level and 1 at the cleanest; a ramp."""
    low: Number = 0.1
    """Lowest base, as a fraction of the schedule."""
    high: Number = 0.9
    """Highest base, likewise."""
    spread: Number = 0.1
    """Half the width of the window around the base, likewise; the schedule's ends cut it off."""
    coupling: Number = 0.2
    """How much of the average local state is added; 0 leaves the global baseline alone."""
    reach: int = 2
    """Regions nearer than this, in steps from one to the next, are averaged."""
    momentum: float = 0.9
    """Share of its state that a region keeps."""
    weights: tuple[float, float, float] = (0.5, 0.3, 0.2)
    """c1 to c3: of the first difference, the second, and the deviation from the average."""
    largest: float = 0.05
    """Largest single change of a state, as a fraction of the schedule."""
    decay: float = 0.9
    """Share that the moving average of the losses keeps of itself; the paper gives none."""
    unit: float = 1.0
    """The loss that counts as 1, above 0; with small losses a small one makes states move."""

    def init(self) -> dict[str, Tensor]:
        local = torch.zeros(self.regions.count, dtype=torch.float64)
        return {**blank(self.regions.count), "local": local}

    def learn(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        after = dict(state)
        for region, loss in seen(self.regions, outcome):
            after = noted(after, region, loss / self.unit, self.decay)
            terms = (first_difference(after), second_difference(after), deviation(after))
            update = sum(
                weight * float(term[region])
                for weight, term in zip(self.weights, terms, strict=True)
            )
            kept = self.momentum * float(after["local"][region])
            after["local"][region] = kept + max(-self.largest, min(self.largest, update))
        return after

    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        return self.draw_from(self.init(), views, schedule, random)

    def draw_from(
        self, state: Mapping[str, Tensor], views: Views, schedule: NoiseSchedule, random: Randomness
    ) -> Tensor:
        """Timesteps ``[B]``; raises InputError where the bounds are not 0 <= low <= high <= 1."""
        low, high, spread = number(self.low), number(self.high), number(self.spread)
        if not 0 <= low <= high <= 1:
            raise InputError(f"Timestep bounds must satisfy 0 <= low <= high <= 1: {low}, {high}")
        end = len(schedule)
        base = baseline(schedule, number(self.progress)) / end + self.shift(state, views)
        off = spread * (2 * random.uniform("timesteps", len(views)) - 1)
        t = ((base.clamp(low, high) + off) * end).round().to(torch.int64)
        return t.clamp(0, end - 1)

    def shift(self, state: Mapping[str, Tensor], views: Views) -> Tensor:
        """``coupling t_near`` ``[B]`` of ``views``, as a fraction of the schedule."""
        apart = self.regions.apart(self.regions.of(views)).double()
        weight = torch.where(apart < self.reach, 2.0**-apart, 0.0)
        near = (weight * state["local"].cpu()).sum(1) / weight.sum(1)
        return number(self.coupling) * near


def baseline(schedule: NoiseSchedule, progress: float) -> int:
    """The level whose ``log(alpha^2 / sigma^2)`` is nearest to that at ``progress``.

    Levels with no signal or no noise have none and take no part.

    Raises:
        InputError: no level has both.
    """
    levels = torch.nonzero((schedule.alphas > 0) & (schedule.sigmas > 0))[:, 0]
    if len(levels) == 0:
        raise InputError("No timestep of the schedule has both signal and noise")
    snr = 2 * (schedule.alphas[levels].log() - schedule.sigmas[levels].log())
    target = snr[-1] + progress * (snr[0] - snr[-1])
    return int(levels[(snr - target).abs().argmin()])
