"""Scores of several views and prompts, from the cosine to CoGrad3D's deviations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import small_judges
from maquette.errors import InputError
from maquette.metrics.clip import (
    Clip,
    clip_cosine,
    clip_score,
    deviation_over_prompts,
    deviation_over_views,
    mean_clip_score,
)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load(small_judges.clip())


def table() -> torch.Tensor:
    return 25 + torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


def test_the_score_is_a_hundred_cosines_and_never_below_nothing(clip: Clip) -> None:
    pictures = small_judges.pictures(4)
    seen = clip.picture_features(pictures).numpy()
    signs = set()
    for prompt in ("a red mug", "a blue mug", "front view", "side , a", "back", "overhead"):
        read = clip.text_features([prompt])[0].numpy()
        cosine = seen @ read / np.linalg.norm(seen, axis=1) / np.linalg.norm(read)
        signs |= set(np.sign(cosine))
        np.testing.assert_allclose(
            clip_cosine(clip, pictures, prompt), cosine, rtol=1e-5, atol=1e-6
        )
        expected = np.maximum(100 * cosine, 0)
        np.testing.assert_allclose(
            clip_score(clip, pictures, prompt), expected, rtol=1e-5, atol=1e-4
        )
        mean = mean_clip_score(clip, pictures, prompt)
        assert mean == pytest.approx(expected.mean(), rel=1e-5, abs=1e-4)
        turned = mean_clip_score(clip, pictures.flip(0), prompt)
        assert turned == pytest.approx(mean, rel=1e-5, abs=1e-4)
    assert signs == {-1, 1}, "both signs were tried"


def test_no_pictures_have_no_score(clip: Clip) -> None:
    with pytest.raises(InputError, match="no pictures"):
        mean_clip_score(clip, torch.zeros(0, 16, 16, 3), "a mug")


def test_deviations_agree_with_the_standard_formula() -> None:
    scores = table().double().numpy()
    over_prompts = np.mean([np.std(scores[:, view], ddof=1) for view in range(5)])
    over_views = np.mean([np.std(row, ddof=1) for row in scores])
    assert deviation_over_prompts(table()) == pytest.approx(over_prompts, rel=1e-6)
    assert deviation_over_views(table()) == pytest.approx(over_views, rel=1e-6)


def test_each_deviation_looks_one_way_only() -> None:
    prompts = torch.arange(4.0)[:, None].expand(4, 6)
    assert deviation_over_views(prompts) == 0
    assert deviation_over_prompts(prompts) == pytest.approx((5 / 3) ** 0.5)
    assert deviation_over_prompts(prompts.T) == 0
    assert deviation_over_views(prompts.T) == pytest.approx((5 / 3) ** 0.5)


def test_neither_the_order_of_prompts_nor_that_of_angles_matters() -> None:
    turned = table().flip(0).roll(2, dims=1)
    for deviation in (deviation_over_prompts, deviation_over_views):
        assert deviation(turned) == pytest.approx(deviation(table()), rel=1e-12)
        assert deviation(table() + 3) == pytest.approx(deviation(table()), rel=1e-5)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (5, 0), (1, 1)])
def test_what_has_no_spread_is_refused(shape: tuple[int, ...]) -> None:
    for deviation in (deviation_over_prompts, deviation_over_views):
        with pytest.raises(InputError, match="no spread"):
            deviation(torch.zeros(shape))
    with pytest.raises(InputError, match="over prompts"):
        deviation_over_prompts(torch.zeros(1, 5))
    with pytest.raises(InputError, match="over angles"):
        deviation_over_views(torch.zeros(5, 1))
