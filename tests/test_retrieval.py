"""CLIP R-Precision: known answers on chosen features, and a count by hand with a real encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import small_judges
from maquette.errors import InputError
from maquette.metrics.clip import Clip
from maquette.metrics.retrieval import r_precision

WORDS = ["a red mug", "a blue mug", "a red duck", "a blue duck", "a mug"]


class Known:
    """Text number n points along axis n; a picture's features are its first row."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    def picture_features(self, pictures: Tensor) -> Tensor:
        return normalize(pictures[:, 0, :, 0], dim=-1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return torch.eye(len(self.texts))[[self.texts.index(text) for text in texts]]


def seen(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)[:, None, :, None].expand(-1, -1, -1, 3)


def random_pictures(count: int) -> Tensor:
    return torch.rand(count, 16, 16, 3, generator=torch.Generator().manual_seed(3))


def test_the_true_prompt_is_ranked_among_the_others() -> None:
    pictures = seen([0.9, 0.1, 0, 0, 0], [0.5, 0.8, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5])
    found = r_precision(Known(WORDS), pictures, WORDS[0], WORDS)
    assert found.rank.tolist() == [1, 2, 5]
    assert found.right.tolist() == [True, False, False]
    assert found.mean == pytest.approx(1 / 3)
    assert found.any_view
    assert not found.all_views


@pytest.mark.parametrize(("row", "every"), [([1, 0, 0, 0, 0], True), ([0, 1, 0, 0, 0], False)])
def test_all_and_none(row: list[float], every: bool) -> None:
    found = r_precision(Known(WORDS), seen(row, row), WORDS[0], WORDS)
    assert (found.mean, found.any_view, found.all_views) == (float(every), every, every)


def test_an_encoder_that_tells_nothing_apart_retrieves_nothing() -> None:
    found = r_precision(Known(WORDS), seen([1, 1, 1, 1, 1]), WORDS[2], WORDS)
    assert found.rank.tolist() == [5]


def test_the_true_prompt_counts_once_however_it_is_written() -> None:
    texts = [*WORDS, "A red mug.", "a red mug ,", "A BLUE MUG"]
    pictures = seen([0.9, 0.5, 0, 0, 0, 0.95, 0.99, 0.1])
    found = r_precision(Known(texts), pictures, WORDS[0], texts)
    assert found.rank.tolist() == [1]
    alone = r_precision(Known(texts), pictures, WORDS[0], WORDS[1:])
    assert alone.rank.tolist() == [1]


def test_it_agrees_with_a_count_by_hand_whatever_the_order_and_the_batch() -> None:
    clip = Clip.load(small_judges.clip())
    pictures = random_pictures(6)
    for prompt in WORDS:
        expected = []
        for picture in pictures:
            cosine = {
                text: float(clip.picture_features(picture[None])[0] @ clip.text_features([text])[0])
                for text in WORDS
            }
            better = [text for text in WORDS if cosine[text] > cosine[prompt]]
            expected.append(1 + len(better))
        found = r_precision(clip, pictures, prompt, WORDS)
        assert found.rank.tolist() == expected
        assert found.mean == pytest.approx(np.mean(np.array(expected) == 1))
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        turned = r_precision(clip, pictures[order], prompt, WORDS[::-1])
        assert turned.rank.tolist() == found.rank[order].tolist()
        assert turned.mean == found.mean


def test_a_list_without_another_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="none but the true one"):
        r_precision(Known(WORDS), seen([1, 0, 0, 0, 0]), "a red mug", ["A red mug."])
    with pytest.raises(InputError, match="no pictures"):
        r_precision(Known(WORDS), torch.zeros(0, 1, 5, 3), "a red mug", WORDS)
