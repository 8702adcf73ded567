"""Does an object show a second front? The Janus problem, counted by a view classifier.

Cameras go once around the object. Where the view classifier sees a front though the camera stands
at a side or behind, the object has a face too many. Single views may be misread, so an object is
called Janus where most views of one of those three sectors are seen as fronts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from maquette.camera import view_word
from maquette.errors import InputError
from maquette.records import Views
from maquette.toybox.captions import VIEWS

__all__ = ["AZIMUTHS", "false_fronts", "is_janus", "janus_ring"]

AZIMUTHS = 24


def janus_ring(size: int = 64, elevation_deg: float = 15.0) -> Views:
    """The cameras: 24 around the object, none on the border between two view words."""
    return Views.ring(AZIMUTHS, elevation_deg=elevation_deg, size=size, start_deg=180.0 / AZIMUTHS)


def false_fronts(
    probabilities: Callable[[Tensor], Tensor], pictures: Tensor, views: Views
) -> dict[str, float]:
    """Shares of the pictures in which a front is seen, in sectors where there should be none.

    Args:
        probabilities: pictures to ``[B, 4]`` of front, side, back and overhead, as
            ``Judge.view_probabilities`` gives them.
        pictures: ``[B, H, W, 3]`` in [0, 1], of an object that has a front.
        views: from where they were taken.

    Returns:
        ``left``, ``back`` and ``right``: azimuths to either side and beyond 135 degrees.

    Raises:
        InputError: a sector has no picture.
    """
    is_front = probabilities(pictures).argmax(dim=1) == VIEWS.index("front")
    sectors = _sectors(views)
    empty = [name for name, inside in sectors.items() if not bool(inside.any())]
    if empty:
        raise InputError(f"No view shows the object's {empty[0]}", "Take views all around it")
    return {
        name: is_front[inside.to(is_front.device)].double().mean().item()
        for name, inside in sectors.items()
    }


def is_janus(shares: dict[str, float]) -> bool:
    """Whether most views of one sector, as ``false_fronts`` gives them, are seen as fronts."""
    return max(shares.values()) > 0.5


def _sectors(views: Views) -> dict[str, Tensor]:
    azimuth = torch.remainder(views.azimuth_deg.cpu() + 180.0, 360.0) - 180.0
    angles = zip(azimuth.tolist(), views.elevation_deg.tolist(), strict=True)
    words = [view_word(*pair) for pair in angles]
    side, back = (torch.tensor([word == name for word in words]) for name in ("side", "back"))
    return {"left": side & (azimuth < 0), "back": back, "right": side & (azimuth > 0)}
