"""The contract of an objective: which way should the latents move?

An objective is one formula in one file. It never sees a renderer, an optimiser or a progress bar:
it gets latents, asks the prior, and answers with a gradient (to descend on) and a real scalar per
view.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from maquette.priors.base import Prior
from maquette.randomness import Randomness
from maquette.records import Guidance, Words

__all__ = ["Objective"]


class Objective(ABC):
    """One score-distillation objective; a frozen dataclass that is its own configuration."""

    def init(self, prior: Prior) -> dict[str, Tensor]:
        """The running state before the first step; empty for most."""
        return {}

    @abstractmethod
    def gradient(
        self,
        prior: Prior,
        latent: Tensor,
        t: Tensor,
        words: Words,
        state: Mapping[str, Tensor],
        random: Randomness,
    ) -> Guidance:
        """The latent gradient for ``latent`` ``[B, C, h, w]`` at timesteps ``t`` ``[B]``.

        Rows never mix: a batch of four views equals four batches of one.
        """
