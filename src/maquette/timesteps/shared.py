"""One timestep for a whole batch, whatever the sampler within."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from maquette.noise import NoiseSchedule
from maquette.randomness import Randomness
from maquette.records import Outcome, Views
from maquette.timesteps.base import Timesteps

__all__ = ["Shared"]


@dataclass(frozen=True)
class Shared(Timesteps):
    """What ``inner`` draws for the first view, given to all (as LucidDreamer does)."""

    inner: Timesteps
    """Draws the one timestep."""

    def init(self) -> dict[str, Tensor]:
        return self.inner.init()

    def learn(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        return self.inner.learn(state, outcome)

    def draw(self, views: Views, schedule: NoiseSchedule, random: Randomness) -> Tensor:
        # Keyed by view 0 wherever the batch begins, so that its parts share the timestep too.
        return self.inner.draw(views[:1], schedule, random.from_view(0)).expand(len(views)).clone()

    def draw_from(
        self, state: Mapping[str, Tensor], views: Views, schedule: NoiseSchedule, random: Randomness
    ) -> Tensor:
        t = self.inner.draw_from(state, views[:1], schedule, random.from_view(0))
        return t.expand(len(views)).clone()
