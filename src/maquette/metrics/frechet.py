"""The Frechet distance between two sets of features: how alike two sources of pictures are."""

from __future__ import annotations

import numpy as np

from maquette.errors import InputError

__all__ = ["frechet_distance"]


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of the Gaussians that fit two sets (Heusel et al. 2017, FID).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The trace of the root is the sum of the roots
    of the eigenvalues of ``C1^(1/2) C2 C1^(1/2)``, which is symmetric.

    Args:
        one, other: ``[N, D]`` and ``[M, D]`` features, one row for each picture.

    Raises:
        InputError: different widths, or fewer than two rows.
    """
    if one.ndim != 2 or one.shape[1:] != other.shape[1:] or min(len(one), len(other)) < 2:
        raise InputError(
            f"Features {one.shape} and {other.shape} cannot be compared",
            "Give both as [N, D] with at least two rows",
        )
    first, second = (np.cov(rows.astype(np.float64), rowvar=False) for rows in (one, other))
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0)).sum()
    apart = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * shared)
