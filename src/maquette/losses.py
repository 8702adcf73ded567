"""Regularisers: what a picture or a scene should be like whatever the prompt says.

Each is one formula. A recipe gives it a weight, which may be a ramp. Its gradient is added to that
of the objective, which is a sum over the views of a step, so more views need a larger weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.ramps import Number
from maquette.records import Render
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians

__all__ = [
    "AlphaEntropy",
    "AlphaVariation",
    "ColourVariation",
    "Loss",
    "OpacityEntropy",
    "Outside",
    "ScalePenalty",
    "Sparsity",
]


@dataclass(frozen=True)
class Loss(ABC):
    """One regulariser; calling it gives its value times its weight, differentiable."""

    name: ClassVar[str]
    """What reports call it."""
    weight: Number = 1.0
    """Factor on the value."""

    @abstractmethod
    def value(self, render: Render, scene: Scene) -> Tensor:
        """The unweighted scalar; raises InputError where render or scene lack what it looks at."""

    def __call__(self, render: Render, scene: Scene) -> Tensor:
        # A recipe has resolved its ramps before a step.
        return cast(float, self.weight) * self.value(render, scene)


@dataclass(frozen=True)
class AlphaEntropy(Loss):
    """Binarise coverage: the mean binary entropy of alpha in nats ("opaque" of threestudio)."""

    name: ClassVar[str] = "alpha entropy"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return _entropy(render.alpha)


@dataclass(frozen=True)
class OpacityEntropy(Loss):
    """Binarise the Gaussians: the mean binary entropy of their opacities (SuGaR)."""

    name: ClassVar[str] = "opacity entropy"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return _entropy(_gaussians(self.name, scene).opacities)


@dataclass(frozen=True)
class Sparsity(Loss):
    """Keep space empty: mean of sqrt(alpha^2 + 0.01) (threestudio's opacity penalty)."""

    name: ClassVar[str] = "sparsity"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return (render.alpha.square() + 0.01).sqrt().mean()


@dataclass(frozen=True)
class ScalePenalty(Loss):
    """Keep Gaussians small: mean of their scales in world units (LucidDreamer's training)."""

    name: ClassVar[str] = "scale"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return _gaussians(self.name, scene).scales.mean()


@dataclass(frozen=True)
class Outside(Loss):
    """Pull in floaters: mean over Gaussians of opacity times squared distance beyond ``radius``.

    Made for this library; threestudio-3dgs has a "position" loss on all distances, which also
    shrinks what belongs to the object.
    """

    name: ClassVar[str] = "outside"
    radius: float = 1.0
    """World units; inside of it the loss is 0."""

    def value(self, render: Render, scene: Scene) -> Tensor:
        gaussians = _gaussians(self.name, scene)
        beyond = (gaussians.means.norm(dim=-1) - self.radius).clamp(min=0.0)
        return (gaussians.opacities * beyond.square()).mean()


@dataclass(frozen=True)
class AlphaVariation(Loss):
    """Smooth outlines: total variation of alpha (the form of LucidDreamer's training)."""

    name: ClassVar[str] = "alpha variation"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return _total_variation(render.alpha)


@dataclass(frozen=True)
class ColourVariation(Loss):
    """Smooth colours: total variation of the picture (LucidDreamer's training)."""

    name: ClassVar[str] = "colour variation"

    def value(self, render: Render, scene: Scene) -> Tensor:
        return _total_variation(render.colour)


def _entropy(probability: Tensor) -> Tensor:
    """Mean of -p ln p - (1 - p) ln(1 - p), p kept 0.001 from the ends, where slopes blow up."""
    p = probability.clamp(1e-3, 1.0 - 1e-3)
    return -(p * p.log() + (1.0 - p) * torch.log1p(-p)).mean()


def _total_variation(pictures: Tensor) -> Tensor:
    """Twice the mean square step down plus the mean square step across, of ``[B, H, W, C]``."""
    down, across = pictures.diff(dim=1).square(), pictures.diff(dim=2).square()
    return 2.0 * (down.mean() + across.mean())


def _gaussians(name: str, scene: Scene) -> Gaussians:
    if not isinstance(scene, Gaussians):
        raise InputError(
            f"The loss {name!r} is about Gaussians, and the scene is a {type(scene).__name__}",
            "Leave it out of the recipe",
        )
    return scene
