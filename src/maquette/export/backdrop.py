"""The colour behind a picture: white, unless part of the thing would vanish on it.

A white dog on a white page is a film of its spots. People judge an asset by its previews, so what
they see must be all of it.
"""

from __future__ import annotations

import torch

from maquette.records import Rgb, Views
from maquette.scenes.base import Scene

__all__ = ["BACKDROPS", "backdrop"]

BACKDROPS: dict[str, Rgb] = {
    "white": (1.0, 1.0, 1.0),
    "grey": (0.5, 0.5, 0.5),
    "black": (0.0, 0.0, 0.0),
    "blue": (0.70, 0.80, 1.0),
}
"""sRGB by name, in the order in which they are preferred."""
APART = 0.2
"""Euclidean distance in sRGB from which two colours are told apart at a glance."""
VANISHING = 0.06
"""Share of the thing that may be nearer to what is behind it: highlights and edges are."""
SIDES, SIZE = 6, 48


@torch.no_grad()
def backdrop(scene: Scene) -> Rgb:
    """The first of ``BACKDROPS`` on which nearly all of ``scene`` shows, or else the best one.

    Args:
        scene: looked at from six sides in small pictures. One of which nothing is seen gets white.
    """
    ring = Views.ring(SIDES, size=SIZE).to(next(iter(scene.parameters().values())).device)
    seen = scene.render(ring, torch.zeros(SIDES, 3, device=ring.azimuth_deg.device))
    solid = seen.alpha[..., 0] > 0.5
    own = seen.colour[solid] / seen.alpha[solid]
    lost = {
        colour: int(((own - own.new_tensor(colour)).norm(dim=-1) < APART).sum()) / max(len(own), 1)
        for colour in BACKDROPS.values()
    }
    clear = [colour for colour, share in lost.items() if share <= VANISHING]
    return clear[0] if clear else min(lost, key=lambda colour: lost[colour])
