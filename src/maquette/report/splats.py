"""Gaussians as a page carries them: every column in whole numbers of 16 bits, as text.

A column's numbers lie evenly between its least and its greatest, 65,536 of them: over two world
units that is 0.00003 units, far below what a pixel shows. Gaussians of harmonic degree 0 take 28
bytes each, a third more as base64.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maquette.export.backdrop import backdrop
from maquette.scenes.gaussians import Gaussians

__all__ = ["MOST", "packed", "unpacked"]

MOST = 60_000
"""Gaussians that a page draws of one asset; of more, those that cover most."""
LEVELS = 65_535


def packed(scene: Gaussians, most: int = MOST) -> dict[str, Any]:
    """The plain data of a scene, for the page's own viewer.

    Args:
        scene: at least one Gaussian, in the frame of the world.
        most: more are left out, the least visible first.

    Returns:
        ``kind``, ``count``, ``degree``, ``behind`` (sRGB on which all of it shows) and ``columns``,
        by name ``low``, ``high`` and ``data``: the rows of ``means``, ``log_scales``, ``quats``
        (unit length, w x y z), ``opacities`` and
        ``sh``, as little-endian uint16 in base64, with 0 for ``low`` and 65,535 for ``high``.
    """
    tensors = {
        "means": scene.means,
        # Logarithms, so that thin Gaussians keep their shape beside thick ones.
        "log_scales": scene.scales.log(),
        "quats": torch.nn.functional.normalize(scene.quats, dim=-1),
        "opacities": scene.opacities,
        "sh": scene.sh.flatten(1),
    }
    rows = _largest(scene, most)
    columns = {name: _column(values.detach()[rows]) for name, values in tensors.items()}
    return {
        "kind": "gaussians",
        "count": len(rows),
        "degree": scene.sh_degree,
        "behind": backdrop(scene),
        "columns": columns,
    }


def unpacked(column: dict[str, Any]) -> np.ndarray:
    """The numbers of a column as float64 in one row: what the page computes too."""
    whole = np.frombuffer(base64.b64decode(column["data"]), "<u2")
    return column["low"] + (column["high"] - column["low"]) / LEVELS * whole


def _largest(scene: Gaussians, most: int) -> Tensor:
    """The rows to show ``[M]``, in their order: the most opaque times the widest."""
    if scene.count <= most:
        return torch.arange(scene.count)
    cover = scene.opacities * scene.scales.sort(dim=-1).values[:, 1:].prod(-1)
    return cover.detach().topk(most).indices.sort().values


def _column(values: Tensor) -> dict[str, Any]:
    numbers = values.cpu().double().numpy()
    low, high = float(numbers.min()), float(numbers.max())
    whole = np.rint((numbers - low) / ((high - low) or 1.0) * LEVELS).astype("<u2")
    return {"low": low, "high": high, "data": base64.b64encode(whole.tobytes()).decode("ascii")}
