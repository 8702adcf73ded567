"""Randomness as an argument: every draw is keyed by (seed, step, purpose, view).

No draw depends on which draws came before it. So a resumed run, a run that is watched and one that
is not, and a batch of four views and four batches of one view all see the same numbers. Generators
live on the CPU whatever the device, so that a seed means the same thing everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Randomness"]


@dataclass(frozen=True)
class Randomness:
    """The random stream of one run at one step.

    Attributes:
        seed: the run's seed, any integer.
        step: the step that draws belong to; ``at`` moves to another one.
        first_view: number of the batch's first view, so that parts of a batch draw as the whole.
    """

    seed: int
    step: int = 0
    first_view: int = 0

    def at(self, step: int) -> Randomness:
        """The stream of another step of the same run."""
        return replace(self, step=step)

    def from_view(self, first_view: int) -> Randomness:
        """The stream as seen by a part of the batch that begins with view ``first_view``."""
        return replace(self, first_view=first_view)

    def generator(self, purpose: str, view: int = 0) -> torch.Generator:
        """A fresh CPU generator for one purpose and one view of this step."""
        key = f"{self.seed}/{self.step}/{purpose}/{view}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        # A signed 63-bit seed, as ``manual_seed`` refuses larger ones. The CPU's generator uses
        # 32 bits of it: among 100 000 draws one pair may be equal, which harms nothing.
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        """Standard normal numbers shaped ``[B, ...]`` as ``like``, each row keyed by its view."""
        rows = [
            torch.randn(like.shape[1:], generator=g, dtype=torch.float64)
            for g in self._rows(purpose, like.shape[0])
        ]
        return torch.stack(rows).to(like)

    def uniform(self, purpose: str, count: int) -> Tensor:
        """``[count]`` float64 numbers in [0, 1), number ``i`` keyed by view ``i``."""
        rows = [
            torch.rand((), generator=g, dtype=torch.float64) for g in self._rows(purpose, count)
        ]
        return torch.stack(rows)

    def _rows(self, purpose: str, count: int) -> list[torch.Generator]:
        return [self.generator(purpose, self.first_view + view) for view in range(count)]
