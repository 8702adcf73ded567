"""Saturation, sharpness and PSNR: known answers, and the definitions in plain loops."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import laplace
from torch import Tensor

from maquette.errors import InputError
from maquette.metrics.pictures import psnr, saturation, sharpness

MEASURES = [saturation, sharpness]


def random_pictures(count: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(count, 9, 11, 3, generator=torch.Generator().manual_seed(seed))


def random_alpha(count: int = 3) -> Tensor:
    """An object in the middle with a ragged edge."""
    alpha = torch.zeros(count, 9, 11, 1)
    alpha[:, 2:8, 2:9] = 1.0
    alpha[0, 2, 2:5] = 0.5
    alpha[1, 4, 4] = 0.49
    return alpha


def plain(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour).expand(1, 6, 6, 3)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1.0, 0.0, 0.0), 1.0),
        ((0.2, 0.0, 0.2), 1.0),
        ((0.5, 0.5, 0.5), 0.0),
        ((0.0, 0.0, 0.0), 0.0),
        ((0.8, 0.6, 0.4), 0.5),
    ],
)
def test_saturation_of_plain_colours(colour: tuple[float, float, float], expected: float) -> None:
    assert saturation(plain(colour)).item() == pytest.approx(expected, abs=1e-6)
    assert sharpness(plain(colour)).item() == pytest.approx(0, abs=1e-12)


def test_saturation_agrees_with_the_standard_library() -> None:
    pictures, alpha = random_pictures(), random_alpha()
    for given in (None, alpha):
        expected = []
        for number, picture in enumerate(pictures):
            rows = [
                colorsys.rgb_to_hsv(*picture[y, x].tolist())[1]
                for y in range(9)
                for x in range(11)
                if given is None or given[number, y, x, 0] >= 0.5
            ]
            expected.append(np.mean(rows))
        np.testing.assert_allclose(saturation(pictures, given).numpy(), expected, rtol=1e-5)


def test_sharpness_agrees_with_the_definition() -> None:
    pictures, alpha = random_pictures(), random_alpha()
    for given in (None, alpha):
        expected = []
        for number, picture in enumerate(pictures.double().numpy()):
            luma = 0.299 * picture[..., 0] + 0.587 * picture[..., 1] + 0.114 * picture[..., 2]
            found = laplace(luma)
            values = []
            for y in range(1, 8):
                for x in range(1, 10):
                    cross = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                    if given is None or all(given[number, b, a, 0] >= 0.5 for b, a in cross):
                        values.append(found[y, x])
            expected.append(np.var(values))
        np.testing.assert_allclose(sharpness(pictures, given).numpy(), expected, rtol=1e-5)


def test_a_chessboard_is_as_sharp_as_can_be() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).double()
    pictures = board[None, :, :, None].expand(-1, -1, -1, 3)
    # White sees four black neighbours and black four white ones: -4 and 4, as many of each.
    assert sharpness(pictures).item() == pytest.approx(16)


def test_blur_lowers_sharpness_and_grey_lowers_saturation() -> None:
    pictures = random_pictures()
    blurred = (pictures + pictures.roll(1, dims=1) + pictures.roll(1, dims=2)) / 3
    assert (sharpness(blurred) < sharpness(pictures)).all()
    assert (saturation((pictures + 0.5) / 2) < saturation(pictures)).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_background_and_place_make_no_difference_where_coverage_is_known(
    measure: Callable[..., Tensor],
) -> None:
    pictures, alpha = random_pictures(), random_alpha()
    other = torch.where(alpha >= 0.5, pictures, torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(measure(other, alpha), measure(pictures, alpha))
    assert not torch.allclose(measure(other), measure(pictures))
    moved = measure(other.roll((1, 1), dims=(1, 2)), alpha.roll((1, 1), dims=(1, 2)))
    torch.testing.assert_close(moved, measure(pictures, alpha))


@pytest.mark.parametrize("measure", MEASURES)
def test_rows_do_not_mix(measure: Callable[..., Tensor]) -> None:
    pictures, alpha = random_pictures(), random_alpha()
    alone = torch.cat([measure(p[None], a[None]) for p, a in zip(pictures, alpha, strict=True)])
    torch.testing.assert_close(measure(pictures, alpha), alone)
    torch.testing.assert_close(measure(pictures.flip(0), alpha.flip(0)), alone.flip(0))


@pytest.mark.parametrize("measure", MEASURES)
def test_without_an_object_there_is_no_number(measure: Callable[..., Tensor]) -> None:
    alpha = random_alpha()
    alpha[1] = 0
    assert torch.isnan(measure(random_pictures(), alpha)).tolist() == [False, True, False]


def test_psnr_of_a_known_difference() -> None:
    pictures = random_pictures() * 0.5
    found = psnr(pictures, pictures + 0.1)
    np.testing.assert_allclose(found.numpy(), 20, rtol=1e-5)
    error = ((pictures - random_pictures(seed=1)).numpy() ** 2).reshape(3, -1).mean(axis=1)
    expected = 10 * np.log10(1 / error)
    np.testing.assert_allclose(psnr(pictures, random_pictures(seed=1)).numpy(), expected, rtol=1e-5)


def test_equal_pictures_have_no_noise() -> None:
    assert psnr(random_pictures(), random_pictures()).tolist() == [math.inf] * 3


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(9, 11, 3), (1, 3, 9, 11), (1, 9, 11, 4)])
def test_what_is_no_picture_is_refused(
    measure: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match="no pictures"):
        measure(torch.zeros(shape))


def test_tensors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="does not fit"):
        saturation(random_pictures(), torch.ones(3, 9, 11))
    with pytest.raises(InputError, match="no pairs"):
        psnr(random_pictures(3), random_pictures(2))
