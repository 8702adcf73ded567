"""The figure of gradients: one factor for all, signs on grey, captions, whole or absent."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.errors import InputError, NumericalError
from maquette.export.figure import Moment, display_factor, gradient_figure, write_gradients


def moment(step: int = 1, scale: float = 1.0, size: int = 8) -> Moment:
    picture, raw = torch.rand(2, size, size, 3, generator=torch.Generator().manual_seed(step))
    raw = scale * (raw - 0.5)
    return Moment(step, picture, raw, raw.clamp(-0.1 * scale, 0.1 * scale))


def test_the_figure_has_a_column_per_moment_and_three_rows() -> None:
    figure = gradient_figure([moment(1), moment(5), moment(9)])
    # Pictures of 8 are enlarged 20 times to 160; a gap is 2, a line of text 16.
    assert figure.shape == (16 + 3 * (160 + 2 + 16) - 2, 3 * 162 - 2, 3)
    assert figure.dtype == np.uint8
    # The text of the captions is there, and dark.
    assert all(figure[top : top + 16].min() < 64 for top in (0, 16, 16 + 178, 16 + 356))


def test_gradients_are_shown_by_one_factor_around_grey() -> None:
    moments = [moment(1), moment(2, scale=0.2)]
    factor, figure = display_factor(moments), gradient_figure(moments)
    for column, shown in enumerate(moments):
        for row, values in enumerate(
            (shown.picture, 0.5 + factor * shown.raw, 0.5 + factor * shown.regulated)
        ):
            top, left = 32 + row * 178, column * 162
            cell = figure[top : top + 160 : 20, left : left + 160 : 20]
            expected = (values.double().clamp(0, 1) * 255).round().numpy()
            np.testing.assert_allclose(cell, expected, atol=1)


def test_the_factor_takes_all_but_outliers_to_the_end_of_the_scale() -> None:
    raw = torch.linspace(-0.2, 0.2, 32 * 32 * 3).reshape(32, 32, 3)
    spiked = raw.clone()
    spiked[0, 0] = 1e6
    for gradient in (raw, spiked):
        factor = display_factor([Moment(1, raw, gradient, gradient)])
        assert factor == pytest.approx(0.5 / (0.99 * 0.2), rel=0.03)
        assert factor == float(f"{factor:.2g}")
    # In the middle between the two: 100 times smaller after regulation, 10 times the factor.
    assert display_factor([Moment(1, raw, raw, raw / 100)]) == pytest.approx(10 * factor, rel=0.05)


def test_the_factor_of_hardly_any_gradient_is_finite() -> None:
    nothing, lone = torch.zeros(2, 32, 32, 3)
    lone[3, 4] = 0.25
    assert display_factor([Moment(1, nothing, lone, nothing)]) == 2.0
    assert display_factor([Moment(1, nothing, nothing, nothing)]) == 1.0


def test_no_gradient_is_plain_grey() -> None:
    nothing = torch.zeros(8, 8, 3)
    figure = gradient_figure([Moment(1, nothing, nothing, nothing)])
    assert set(figure[16 + 178 + 16 : 16 + 178 + 16 + 160].flatten()) == {128}


def test_what_makes_no_figure_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "gradients.png"
    odd = dataclasses.replace(moment(), raw=torch.zeros(4, 4, 3))
    with pytest.raises(InputError):
        write_gradients(path, [])
    with pytest.raises(InputError):
        write_gradients(path, [odd])
    with pytest.raises(NumericalError):
        write_gradients(path, [dataclasses.replace(moment(), raw=torch.full((8, 8, 3), torch.nan))])
    assert list(tmp_path.iterdir()) == []
