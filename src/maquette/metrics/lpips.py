"""LPIPS, and A-LPIPS: how much does the object change from one view to the next?

Zhang et al. 2018: deep features of two pictures, each made a unit vector at every place, are
compared channel by channel with learned weights (version 0.1). Hong et al. 2023 (debiased score
distillation) take its mean over neighbouring views as a sign of consistency, and Dreamer XL does.

The folder of a net holds

- ``config.json``: ``{"net": "alex"}`` or ``{"net": "vgg"}``;
- ``model.safetensors``: the backbone under torchvision's names, ``features.N.weight`` and
  ``features.N.bias``, and the heads under those of the original files,
  ``lin0.model.1.weight`` ``[1, C, 1, 1]`` to ``lin4.model.1.weight``.

No torchvision is needed: both backbones are plain chains of layers, written down here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from maquette.errors import InputError
from maquette.metrics.pictures import check_pictures
from maquette.metrics.weights import Source, fill, read_config, read_weights

__all__ = ["SOURCES", "Lpips", "adjacent_lpips"]

_HEADS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1"
_BACKBONES = "https://download.pytorch.org/models"
SOURCES = {
    "alex": Source(
        (f"{_BACKBONES}/alexnet-owt-7be5be79.pth", f"{_HEADS}/alex.pth"),
        ("features.", "lin"),
        {"net": "alex"},
    ),
    "vgg": Source(
        (f"{_BACKBONES}/vgg16-397923af.pth", f"{_HEADS}/vgg.pth"),
        ("features.", "lin"),
        {"net": "vgg"},
    ),
}
"""The two nets of the papers' tables, with the commands that make their folders."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What pictures in [-1, 1] are normalised with: the statistics of ImageNet in that range."""

TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Layers whose outputs are compared, each a ReLU: five for either net."""

LEAST_PIXELS = {"alex": 31, "vgg": 16}
"""The shortest side of a picture that leaves something at the last layer."""

_TINY = 1e-10


@dataclass(frozen=True, eq=False)
class Lpips:
    """The distance of two pictures as seen by a network."""

    net: str
    """``alex`` or ``vgg``."""

    features: nn.Sequential
    """The convolutions of the backbone, numbered as torchvision numbers them."""

    heads: tuple[Tensor, ...]
    """Weights ``[C]`` of the channels of each layer that is compared."""

    @staticmethod
    def load(folder: Path | str, device: torch.device | str = "cpu") -> Lpips:
        """Read a folder in the layout that this module describes.

        Args:
            folder: of ``config.json`` and ``model.safetensors``.
            device: where it shall measure.

        Raises:
            PriorError: it is missing, damaged or of another net; with the command that makes it.
        """
        folder = Path(folder)
        named = SOURCES["alex"]
        net = read_config(folder, named).get("net")
        if net not in SOURCES:
            raise named.refuse(folder, f"its net is {net!r}, not {' or '.join(SOURCES)}")
        source = SOURCES[net]
        weights = read_weights(folder, source)
        with torch.device("meta"):  # So no first weights are drawn, from no random state.
            whole = nn.ModuleDict({"features": _BUILD[net]()})
            channels = [_channels(whole["features"], tap) for tap in TAPS[net]]
            heads = {f"lin{i}": _Head(count) for i, count in enumerate(channels)}
            whole.update(heads)
        fill(whole, weights, folder, source)
        whole.to(device)
        features = whole["features"]
        assert isinstance(features, nn.Sequential)
        flat = tuple(whole[name].state_dict()["model.1.weight"].flatten() for name in heads)
        return Lpips(net, features, flat)

    @torch.no_grad()
    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        """LPIPS of each pair, ``[B]``; 0 for a picture and itself.

        Args:
            first: ``[B, H, W, 3]`` in [0, 1].
            second: likewise, of the same shape.

        Raises:
            InputError: these are no such pictures, or too small for the net.
        """
        if first.shape != second.shape:
            raise InputError(
                f"Pictures of shapes {list(first.shape)} and {list(second.shape)} make no pairs"
            )
        pairs = zip(self._seen(first), self._seen(second), strict=True)
        return torch.stack([self._between(*pair) for pair in pairs])

    @torch.no_grad()
    def around(self, pictures: Tensor) -> Tensor:
        """LPIPS of each picture and the next one, ``[B]``; the last one's next is the first.

        Args:
            pictures: ``[B, H, W, 3]`` in [0, 1], at least two.

        Raises:
            InputError: these are no such pictures, or too small for the net.
        """
        if len(pictures) < 2:
            raise InputError("Fewer than two pictures have no neighbours")
        seen = self._seen(pictures)
        first = before = next(seen)
        found = []
        # Features are large: never more than three pictures' are kept.
        for here in seen:
            found.append(self._between(before, here))
            before = here
        return torch.stack([*found, self._between(before, first)])

    def _seen(self, pictures: Tensor) -> Iterator[list[Tensor]]:
        """Unit features of the five layers for one picture after another.

        One at a time, so that no number depends on which others stand in the batch: equal pictures
        have equal features to the last bit.
        """
        _check(pictures, LEAST_PIXELS[self.net])
        one = self.heads[0]
        shift, scale = (one.new_tensor(each)[:, None, None] for each in (SHIFT, SCALE))
        for picture in pictures:
            channels_first = picture.permute(2, 0, 1)[None].to(one)
            yield self._features((2 * channels_first - 1 - shift) / scale)

    def _features(self, prepared: Tensor) -> list[Tensor]:
        found = []
        for number, layer in enumerate(self.features):
            prepared = layer(prepared)
            if number in TAPS[self.net]:
                length = prepared.square().sum(dim=1, keepdim=True).sqrt()
                found.append(prepared / (length + _TINY))
        return found

    def _between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """The sum over layers of the weighted squared difference, averaged over places."""
        layers = zip(self.heads, first, second, strict=True)
        parts = [
            torch.einsum("c,bchw->bhw", head, (a - b).square()).mean() for head, a, b in layers
        ]
        return torch.stack(parts).sum()


def adjacent_lpips(lpips: Lpips, pictures: Tensor) -> float:
    """A-LPIPS: the mean LPIPS of neighbouring views on a closed ring; lower is more consistent.

    Hong et al. 2023, section 5, and Dreamer XL (Miao et al. 2024), table 1. It falls with the
    angle between two views, so state their number, and rises with what there is to see: an empty
    picture all around gets 0, the best there is. Never read it without a CLIP score.

    Args:
        lpips: the net; papers give the values of both.
        pictures: ``[B, H, W, 3]`` in [0, 1] from evenly spaced azimuths, in their order, the end
            not repeated. Where the ring begins and which way it goes makes no difference.

    Raises:
        InputError: fewer than two pictures, or too small for the net.
    """
    found = lpips.around(pictures).double().tolist()
    # A sum that is rounded once is the same from wherever it begins.
    return math.fsum(found) / len(found)


class _Head(nn.Module):
    """One learned layer under its original name; number 0 was a dropout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))


def _alex() -> nn.Sequential:
    """The convolutions of AlexNet (Krizhevsky 2014, the variant on one GPU)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


def _vgg() -> nn.Sequential:
    """The convolutions of VGG-16 (Simonyan and Zisserman 2014, table 1, column D)."""
    layers: list[nn.Module] = []
    channels = 3
    for count, wide in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        if layers:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
            channels = wide
    return nn.Sequential(*layers)


_BUILD = {"alex": _alex, "vgg": _vgg}


def _channels(features: nn.Module, tap: int) -> int:
    layer = features[tap - 1]  # pyright: ignore[reportIndexIssue]
    return layer.out_channels


def _check(pictures: Tensor, least: int) -> None:
    check_pictures(pictures)
    if min(pictures.shape[1:3]) < least:
        raise InputError(
            f"Pictures of {pictures.shape[2]} x {pictures.shape[1]} pixels are too small for this "
            f"net, which needs {least}",
            "Render larger ones",
        )
