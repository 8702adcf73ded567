"""The contract of a gradient regulator: the gradient on the picture, made better before it is used.

Regulators form a chain. Each sees the gradient on the rendered pixels, after the encoder's backward
pass and before the renderer's, at render resolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from maquette.records import Render

__all__ = ["Regulator"]


class Regulator(ABC):
    """One transformation of the pixel gradient; a frozen dataclass."""

    @abstractmethod
    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        """The regulated gradient ``[B, H, W, 3]`` for ``pixel_gradient`` of the same shape."""
