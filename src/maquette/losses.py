"""Regularisers: what a picture or a scene should be like whatever the prompt says.

Each is one formula. A recipe gives it a weight, which may be a ramp. Its gradient is added to that
of the objective, which is a sum over the views of a step, so more views need a larger weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.ramps import Number
from maquette.records import Render
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians
from maquette.scenes.particles import apart

__all__ = [
    "AlphaEntropy",
    "AlphaVariation",
    "ColourVariation",
    "Loss",
    "OpacityEntropy",
    "Outside",
    "ScalePenalty",
    "Sparsity",
    "ZVariance",
]


@dataclass(frozen=True)
class Loss(ABC):
    """One regulariser; calling it gives its value times its weight, differentiable."""

    name: ClassVar[str]
    """What reports call it."""
    looks_at_geometry: ClassVar[bool] = False
    """Whether the render must hold depth and normals."""
    weight: Number = 1.0
    """Factor on the value."""

    @abstractmethod
    def value(self, render: Render, scene: Scene) -> Tensor:
        """The unweighted scalar; raises InputError where render or scene lack what it looks at."""

    def __call__(self, render: Render, scene: Scene) -> Tensor:
        # A recipe has resolved its ramps before a step.
        parts = apart(scene, render)
        value = sum(share * self.value(own, particle) for particle, own, share in parts)
        return cast(float, self.weight) * cast(Tensor, value)


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


@dataclass(frozen=True)
class ZVariance(Loss):
    """Thin surfaces: variance of the depth along each ray, where more than half is covered.

    Zhu et al. 2024, HiFA, section 3.3, with weights that add up to 1 along a ray. Its code adds up
    all such rays of a batch at weight 3; ``"mean"`` is threestudio's reading, at weight 100.
    """

    name: ClassVar[str] = "z-variance"
    looks_at_geometry: ClassVar[bool] = True
    over_rays: Literal["sum", "mean"] = "sum"
    """What becomes of the rays."""

    def value(self, render: Render, scene: Scene) -> Tensor:
        if render.depth_variance is None:
            raise InputError(
                f"The loss {self.name!r} needs depths, and this render has none",
                "Render with geometry=True",
            )
        covered = render.alpha > 0.5
        total = (render.depth_variance * covered).sum()
        return total if self.over_rays == "sum" else total / covered.sum().clamp(min=1)


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
