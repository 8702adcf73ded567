"""The contract of a scene: something that can be rendered from views and has parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from maquette.ramps import Number
from maquette.randomness import Randomness
from maquette.records import Render, Views

__all__ = ["Scene"]


class Scene(ABC):
    """A differentiable 3D (or 2D) thing. It owns its parameter tensors and nothing else."""

    @abstractmethod
    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        """Pictures from ``views`` over ``background`` ``[B, 3]``; depth and normals on request."""

    @abstractmethod
    def parameters(self) -> dict[str, Tensor]:
        """The leaf tensors by name; the same at every call, so that they can be optimised."""

    @abstractmethod
    def replace(self, parameters: dict[str, Tensor]) -> None:
        """Put new leaf tensors in place, as growth and loading do; names and widths stay."""

    def shown(self, views: int, random: Randomness) -> Scene:
        """What a step of ``views`` views looks at and moves; all of it, unless it is particles."""
        return self

    def rates(self, rates: Mapping[str, Number]) -> Mapping[str, Number]:
        """Learning rates by the names of ``parameters``, from those of a single scene."""
        return rates

    @property
    def count(self) -> int:
        """Number of primitives, 0 where that has no meaning."""
        return 0
