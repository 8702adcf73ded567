"""The automatic Janus rate: near 0 on true objects, near 1 on objects with two faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.metrics.janus import AZIMUTHS, false_fronts, is_janus, janus_ring
from maquette.priors.embedded import weights_folder
from maquette.records import Views
from maquette.toybox.captions import Description
from maquette.toybox.judge import Judge, true_pictures
from maquette.toybox.kinds import KINDS

FACED = sorted(name for name, kind in KINDS.items() if kind.has_front)
COLOURS = ("red", "blue")


def seen(words: str) -> Tensor:
    """Probabilities of a classifier that is sure: f, s, b and o for the four words."""
    return torch.eye(4)[["fsbo".index(letter) for letter in words]]


def ring(views: int) -> Views:
    return Views.ring(views, size=8, start_deg=180.0 / views)


def test_cameras_stand_in_every_sector_and_on_no_border() -> None:
    views = janus_ring()
    assert len(views) == AZIMUTHS
    distance = torch.stack([(views.azimuth_deg % 360 - border).abs() for border in (45, 135, 225)])
    assert float(distance.min()) > 5
    shares = false_fronts(lambda _: seen("f" * AZIMUTHS), torch.zeros(AZIMUTHS, 1, 1, 3), views)
    assert shares == {"left": 1.0, "back": 1.0, "right": 1.0}


@pytest.mark.parametrize(
    ("words", "left", "back", "right"),
    [
        ("fssbbssf", 0.0, 0.0, 0.0),
        ("fssffssf", 0.0, 1.0, 0.0),
        ("fsfbbssf", 0.0, 0.0, 0.5),
        ("fssbfffo", 1.0, 0.5, 0.0),
    ],
)
def test_shares_are_those_of_the_sectors(
    words: str, left: float, back: float, right: float
) -> None:
    # Azimuths run against the clock from the front: 22.5, 67.5, ... 337.5 degrees.
    shares = false_fronts(lambda _: seen(words), torch.zeros(8, 1, 1, 3), ring(8))
    assert shares == {"left": left, "back": back, "right": right}
    assert is_janus(shares) == (max(left, back, right) > 0.5)


def test_views_from_one_side_only_are_refused() -> None:
    with pytest.raises(InputError, match="No view shows the object's left"):
        false_fronts(lambda _: seen("f"), torch.zeros(1, 1, 1, 3), ring(1))


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(weights_folder() / "judge-64")


def rate(judge: Judge, *, two_faced: bool) -> float:
    """Share of kinds that are called Janus; with two faces the front is shown behind too."""
    views = janus_ring()
    found = []
    for number, kind in enumerate(FACED):
        description = Description(kind, COLOURS[: KINDS[kind].slots])
        pictures = true_pictures(description, views, variation=70_000 + number)
        if two_faced:
            # The front half of the circle, then the same half again: who goes round sees the face
            # twice.
            order = np.arange(AZIMUTHS)
            behind = (order >= AZIMUTHS // 4) & (order < 3 * AZIMUTHS // 4)
            pictures = pictures[np.where(behind, (order + AZIMUTHS // 2) % AZIMUTHS, order)]
        found.append(is_janus(false_fronts(judge.view_probabilities, pictures, views)))
    return float(np.mean(found))


def test_true_objects_are_not_janus(judge: Judge) -> None:
    assert rate(judge, two_faced=False) <= 0.1


def test_objects_with_two_faces_are_janus(judge: Judge) -> None:
    assert rate(judge, two_faced=True) >= 0.9
