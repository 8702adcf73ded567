"""The Frechet distance against scipy's root and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.metrics.frechet import frechet_distance


def rows(seed: int, count: int = 60, width: int = 5) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(seed))
    return random.normal(size=(count, width)) @ random.normal(size=(width, width))


def test_it_is_the_usual_formula() -> None:
    from scipy.linalg import sqrtm

    one, other = rows(0), rows(1, 40) + 0.7
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    mixed = np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    expected = np.square(one.mean(0) - other.mean(0)).sum() + mixed
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-9)


def test_known_answers() -> None:
    one = rows(2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(one, one + 0.5) == pytest.approx(5 * 0.25)
    # In one dimension: (difference of means)^2 + (difference of deviations)^2.
    line = rows(3, 50, 1)
    assert frechet_distance(line, 3 * line) == pytest.approx(
        4 * line.mean() ** 2 + 4 * line.var(ddof=1)
    )


@pytest.mark.parametrize("other", [np.zeros((4, 3)), np.zeros((1, 5)), np.zeros(5)])
def test_what_cannot_be_compared_is_refused(other: np.ndarray) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        frechet_distance(rows(0), other)
