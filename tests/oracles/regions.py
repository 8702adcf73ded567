"""The default regions of views by plain counting, shared by the oracles of CoGrad3D."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from maquette.history import Regions
from maquette.records import Views

REGIONS = Regions()


def views_in(regions: Sequence[int]) -> Views:
    """One view in the middle of each of these regions."""
    half = torch.full((len(regions),), 0.5, dtype=torch.float64)
    elevation, azimuth, distance = REGIONS.at(torch.tensor(regions), half, half, half)
    fov_y = torch.full((len(regions),), 40.0)
    return Views(azimuth.float(), elevation.float(), distance.float(), fov_y, 8, 8)


def coordinates(region: int) -> tuple[int, int, int]:
    """Elevation, azimuth and distance of a region, counted from 0."""
    return region // 60, region // 2 % 30, region % 2


def distance(a: int, b: int) -> int:
    """Steps from region to region, by hand."""
    (ea, aa, da), (eb, ab, db) = coordinates(a), coordinates(b)
    return abs(ea - eb) + min((aa - ab) % 30, (ab - aa) % 30) + abs(da - db)
