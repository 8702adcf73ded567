"""Chamfer distance and F-score: known answers, and all distances in one table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maquette.errors import InputError
from maquette.metrics.shape import chamfer, f_score


def cloud(count: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, 3))


def table(made: NDArray, true: NDArray) -> NDArray:
    return np.sqrt(((made[:, None] - true[None]) ** 2).sum(axis=-1))


def test_equal_sets_have_nothing_between_them() -> None:
    points = cloud(50, 0)
    assert chamfer(points, points) == 0
    found = f_score(points, points[::-1], 1e-6)
    assert (found.value, found.precision, found.recall) == (1, 1, 1)


def test_a_shift_of_a_sparse_set_is_its_length() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3)
    moved = lattice + np.array([0, 0.25, 0])
    assert chamfer(moved, lattice) == pytest.approx(0.25)
    assert f_score(moved, lattice, 0.2).value == 0
    assert f_score(moved, lattice, 0.3).value == 1


def test_what_is_missing_costs_recall_and_what_is_too_much_precision() -> None:
    true = np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0], [30, 0, 0]])
    half = f_score(true[:2], true, 1)
    assert (half.precision, half.recall) == (1, 0.5)
    assert half.value == pytest.approx(2 / 3)
    more = f_score(true, true[:1], 1)
    assert (more.precision, more.recall) == (0.25, 1)
    # One way every point is met, the other way the last two are 10 and 20 away.
    assert chamfer(true[:2], true) == pytest.approx((0 + 30 / 4) / 2)


@pytest.mark.parametrize("counts", [(40, 60), (1, 30), (25, 25)])
def test_both_agree_with_all_distances_in_one_table(counts: tuple[int, int]) -> None:
    made, true = cloud(counts[0], 1), cloud(counts[1], 2) + 0.1
    distances = table(made, true)
    there, back = distances.min(axis=1), distances.min(axis=0)
    assert chamfer(made, true) == pytest.approx((there.mean() + back.mean()) / 2, rel=1e-5)
    found = f_score(made, true, 0.7)
    precision, recall = (there < 0.7).mean(), (back < 0.7).mean()
    assert found.precision == pytest.approx(precision, rel=1e-5)
    assert found.recall == pytest.approx(recall, rel=1e-5)
    assert found.value == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-5)


def test_neither_order_nor_side_nor_kind_of_array_matters() -> None:
    made, true = cloud(40, 1), cloud(60, 2)
    shuffled = made[np.random.default_rng(5).permutation(40)]
    assert chamfer(shuffled, true) == pytest.approx(chamfer(made, true), rel=1e-12)
    assert chamfer(true, made) == pytest.approx(chamfer(made, true), rel=1e-12)
    assert chamfer(torch.from_numpy(made), true) == chamfer(made, true)
    there, back = f_score(made, true, 0.5), f_score(true, made, 0.5)
    assert (there.precision, there.recall) == (back.recall, back.precision)


def test_the_frame_does_not_matter_and_the_scale_does() -> None:
    made, true = cloud(40, 1), cloud(60, 2)
    turn, _ = np.linalg.qr(cloud(3, 7))
    moved = chamfer(made @ turn + 5, true @ turn + 5)
    assert moved == pytest.approx(chamfer(made, true), rel=1e-9)
    assert chamfer(3 * made, 3 * true) == pytest.approx(3 * chamfer(made, true), rel=1e-9)


@pytest.mark.parametrize(
    "bad", [np.zeros((0, 3)), np.zeros((4, 2)), np.zeros(3), np.full((2, 3), np.nan)]
)
def test_what_are_no_points_is_refused(bad: NDArray) -> None:
    for pair in ((bad, cloud(3, 0)), (cloud(3, 0), bad)):
        with pytest.raises(InputError, match="point"):
            chamfer(*pair)
        with pytest.raises(InputError, match="point"):
            f_score(*pair, 0.1)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_must_be_positive(threshold: float) -> None:
    with pytest.raises(InputError, match="not positive"):
        f_score(cloud(3, 0), cloud(3, 0), threshold)
