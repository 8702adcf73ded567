"""Students in closed form: laws that need no network, to test against and for worlds without one.

Both answer through the analytic prior, where the score of a mixture is written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.priors.base import Prior, Student
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Words

__all__ = ["GaussianFit", "Points"]


@dataclass(frozen=True)
class Points(Student):
    """The law of the newest latents themselves, each a point of equal weight.

    ``eps = sum_i r_i (x_t - alpha x_i) / sigma``: the exact score of particles (Wang et al. 2023,
    ProlificDreamer, before it is learnt). With one point that is the latent itself, eps is the
    noise that was added, and variational score distillation is SDS. All latents count alike,
    whichever side they show, so beyond one view it describes a scene badly. Before anything was
    seen, the law is the latent that is zero.
    """

    count: int = 64
    """Latents that are remembered."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"A law of {self.count} points is none", "Remember at least 1")

    def init(self, prior: Prior) -> dict[str, Tensor]:
        """``points`` ``[count, C, h, w]``, the newest first, and how many were ``seen``."""
        return {"points": torch.zeros(self.count, *prior.latent_shape), "seen": torch.tensor(0)}

    def predict(
        self, prior: Prior, state: Mapping[str, Tensor], noised: Tensor, t: Tensor, words: Words
    ) -> Tensor:
        known = min(max(int(state["seen"]), 1), self.count)
        points = state["points"][:known].flatten(1).double()
        ones = points.new_ones(known)
        return _answer(prior, Mixture(ones, points, 0 * ones), noised, t)

    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        words: Words,
        random: Randomness,
    ) -> dict[str, Tensor]:
        points = torch.cat([latent.detach(), state["points"].to(latent)])
        return {"points": points[: self.count], "seen": state["seen"] + len(latent)}


@dataclass(frozen=True)
class GaussianFit(Student):
    """The Gaussian with the mean and the variances of what was seen, each number on its own.

    Both are moving averages over batches. Before anything was seen, the law is the standard normal.
    """

    memory: Number = 0.9
    """Weight of the past in the averages; at 0 the latest batch is all."""

    def init(self, prior: Prior) -> dict[str, Tensor]:
        """The averages of latents and of their squares, float64 ``[C, h, w]``."""
        zeros = torch.zeros(prior.latent_shape, dtype=torch.float64)
        return {"mean": zeros, "square": zeros + 1}

    def predict(
        self, prior: Prior, state: Mapping[str, Tensor], noised: Tensor, t: Tensor, words: Words
    ) -> Tensor:
        mean, square = state["mean"].flatten(), state["square"].flatten()
        # Rounding may leave a variance of zero a little below it.
        variance = (square - mean.square()).clamp(min=0)
        return _answer(prior, Mixture.gaussian(mean, variance), noised, t)

    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        words: Words,
        random: Randomness,
    ) -> dict[str, Tensor]:
        share, batch = 1 - number(self.memory), latent.detach().double()
        return {
            "mean": torch.lerp(state["mean"].to(batch), batch.mean(0), share),
            "square": torch.lerp(state["square"].to(batch), batch.square().mean(0), share),
        }


def _answer(prior: Prior, law: Mixture, noised: Tensor, t: Tensor) -> Tensor:
    """The noise prediction ``[B, C, h, w]`` of a law on the prior's schedule."""
    own = GaussianMixture({"": law}, prior.latent_shape, schedule=prior.schedule)
    return own.predict(noised, t, [own.condition([""] * len(noised))])[0]
