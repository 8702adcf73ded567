"""Contracts of what is done to gradients: on the picture by regulators, on the scene by a fusion.

Regulators form a chain. Each sees the gradient on the rendered pixels, after the encoder's backward
pass and before the renderer's, at render resolution. A fusion sees what each view alone asks of the
scene's parameters, after the renderer's backward pass, and makes of it what is applied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from maquette.history import Learner
from maquette.records import Outcome, Render

__all__ = ["Fusion", "Regulator"]


class Regulator(ABC):
    """One transformation of the pixel gradient; a frozen dataclass."""

    looks_at_splats: ClassVar[bool] = False
    """Whether the render must be one of Gaussians."""

    @abstractmethod
    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        """The regulated gradient ``[B, H, W, 3]`` for ``pixel_gradient`` of the same shape."""


class Fusion(Learner, ABC):
    """Turns the gradients of a step's views into those that are applied; a frozen dataclass.

    What it remembers of single Gaussians has a row for each, and follows them through growth.
    """

    @property
    def asks(self) -> bool:
        """Whether this step needs the gradient of each view, at a backward pass per view."""
        return True

    @abstractmethod
    def fuse(self, state: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
        """What each view asks for after fusion, ``[B, ...]`` by parameter.

        ``state`` is from before the step; the step applies the sum over the views and then learns
        from the same ``outcome``, whose gradients are not fused.
        """

    def follow(self, state: Mapping[str, Tensor], parents: Tensor) -> dict[str, Tensor]:
        """The state after the scene's rows changed: row i is, or comes from, ``parents[i]``.

        Args:
            state: is not changed.
            parents: int64 ``[M]`` rows of before.
        """
        return dict(state)
