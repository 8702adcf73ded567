"""The minimum-norm point of two gradients: a step that hurts neither of two aims."""

from __future__ import annotations

from torch import Tensor

__all__ = ["minimum_norm"]


def minimum_norm(k: Tensor, d: Tensor) -> Tensor:
    """The shortest ``g = a k + (1 - a) d`` with ``0 <= a <= 1``, for each row of ``[B, ...]``.

    ``a = clip(<d - k, d> / |d - k|^2, 0, 1)``: Desideri 2012, multiple-gradient descent, for two
    aims. To descend on ``g`` increases neither to first order, as ``<g, k> >= |g|^2`` and
    ``<g, d> >= |g|^2``. Rows in which ``k`` and ``d`` are equal give just that, zeros included.
    """
    rows_k, rows_d = k.flatten(1), d.flatten(1)
    # ``a`` does not depend on the scale, so rows are brought to 1, or tiny squares would vanish.
    size = rows_k.abs().amax(1).maximum(rows_d.abs().amax(1))[:, None]
    size = size.masked_fill(size == 0, 1)
    gap, end = (rows_d - rows_k) / size, rows_d / size
    length = gap.square().sum(1)
    share = (gap * end).sum(1) / length.masked_fill(length == 0, 1)
    share = share.clamp(0, 1).reshape(-1, *[1] * (k.dim() - 1))
    return share * k + (1 - share) * d
