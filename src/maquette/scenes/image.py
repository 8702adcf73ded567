"""A scene that is one picture: what an objective does with no 3D in between.

PGC shows its gradients on such a scene (Pan et al. 2024, figure 2, columns a and b). Every view
sees the same pixels, so what is left of a step is the objective, the encoder and the regulators.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from maquette.errors import CheckpointError, InputError
from maquette.records import Render, Views
from maquette.scenes.base import Scene

__all__ = ["Picture"]


class Picture(Scene):
    """Pixels with a leaf tensor that is a copy of the argument.

    They are free numbers: nothing cuts them to [0, 1], since a cut would leave a pixel beyond it
    without a gradient that could bring it back. Whoever writes the picture cuts it.

    Args:
        pixels: ``[H, W, 3]``, sRGB as stored.

    Raises:
        InputError: for a wrong shape, no floats or a value that is not finite.
    """

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = _leaf(pixels)

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Picture:
        """The scene whose ``tensors()`` these are.

        Raises:
            CheckpointError: if the tensor is missing, of a wrong shape or non-finite, or not alone.
        """
        if set(tensors) != {"pixels"}:
            raise CheckpointError(f"A picture has one tensor, pixels, not {sorted(tensors)}")
        try:
            return Picture(tensors["pixels"])
        except InputError as fault:
            raise CheckpointError(fault.what, fault.next_step) from fault

    def tensors(self) -> dict[str, Tensor]:
        """A detached, contiguous copy of the pixels by name, as a checkpoint stores it."""
        return {"pixels": self._pixels.detach().clone()}

    def parameters(self) -> dict[str, Tensor]:
        return {"pixels": self._pixels}

    def replace(self, parameters: dict[str, Tensor]) -> None:
        """Put a copy of the pixels in place as a new leaf tensor; their number stays.

        Raises:
            InputError: as the constructor, or if name or size change.
        """
        if set(parameters) != {"pixels"}:
            raise InputError(
                f"The parameters {sorted(parameters)} are not those of a picture", "Give pixels"
            )
        pixels = _leaf(parameters["pixels"])
        if pixels.shape != self._pixels.shape:
            raise InputError(
                f"The picture changed its size from {list(self._pixels.shape)} "
                f"to {list(pixels.shape)}",
                "Make a new scene",
            )
        self._pixels = pixels

    @property
    def pixels(self) -> Tensor:
        """``[H, W, 3]``, the leaf tensor."""
        return self._pixels

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        """The pixels for every view, opaque; views of another size see them resized bilinearly.

        A smaller view averages over all pixels, so that each one has a gradient. There is no
        geometry, whoever asks for it.
        """
        pixels, size = self._pixels, (views.height, views.width)
        if tuple(pixels.shape[:2]) != size:
            first = pixels.permute(2, 0, 1)[None]
            pixels = interpolate(first, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        # A copy, because an optimiser moves the leaf in place, and a render shall stay as it was.
        colour = pixels.repeat(len(views), 1, 1, 1)
        return Render(colour=colour, alpha=torch.ones_like(colour[..., :1]))


def _leaf(pixels: Tensor) -> Tensor:
    """A checked copy as a leaf tensor."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.numel():
        raise InputError(f"pixels has the shape {list(pixels.shape)}", "It must be [H, W, 3]")
    if not pixels.is_floating_point():
        raise InputError(f"pixels is {pixels.dtype}", "Give a float dtype")
    if not bool(torch.isfinite(pixels.detach()).all()):
        raise InputError("pixels holds a value that is not finite", "Look where it came from")
    return pixels.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
