"""CLIP scores against the formula by hand, and the preparation of pictures against Pillow."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import small_networks
from maquette.errors import InputError, PriorError
from maquette.metrics.clip import Clip, clip_score, prepare

MEANS, DEVIATIONS = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
PREPARATION = {"image_mean": MEANS, "image_std": DEVIATIONS}


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load(small_networks.trained() / "judge-tiny" / "clip")


def pictures(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(seed))


def features_by_hand(clip: Clip, given: Tensor, text: str) -> tuple[np.ndarray, np.ndarray]:
    """The projected features of pictures and of a text, from the two transformers themselves."""
    model = clip.model
    prepared = (given.permute(0, 3, 1, 2) - 0.5) / 0.5
    ids = clip.tokenizer([text], padding="max_length", max_length=20, return_tensors="pt").input_ids
    end = int((ids[0] == len(clip.tokenizer) - 1).nonzero()[0])
    with torch.no_grad():
        seen = model.vision_model(pixel_values=prepared).pooler_output.numpy()
        read = model.text_model(input_ids=ids).last_hidden_state[0, end].numpy()
    return (
        seen @ model.visual_projection.weight.numpy().T,
        read @ model.text_projection.weight.numpy().T,
    )


@pytest.mark.parametrize("text", ["a red and blue mug", "a duck, side view", ""])
def test_the_score_is_the_cosine_of_the_projections(clip: Clip, text: str) -> None:
    given = pictures(3)
    seen, read = features_by_hand(clip, given, text)
    cosine = seen @ read / np.linalg.norm(seen, axis=1) / np.linalg.norm(read)
    expected = 100 * np.maximum(cosine, 0)
    score = clip_score(clip, given, text)
    np.testing.assert_allclose(score.numpy(), expected, rtol=1e-3, atol=1e-3)
    raw = clip.picture_features(given) @ clip.text_features([text])[0]
    np.testing.assert_allclose(raw.numpy(), cosine, rtol=1e-4, atol=1e-5)


def test_no_score_is_negative(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    toward = clip.text_features(["a mug"])
    monkeypatch.setattr(clip, "picture_features", lambda _given: torch.cat([toward, -toward]))
    score = clip_score(clip, pictures(2), "a mug")
    torch.testing.assert_close(score, torch.tensor([100.0, 0.0]))


def test_features_do_not_depend_on_the_batch(clip: Clip) -> None:
    given = pictures(5)
    together = clip.picture_features(given)
    alone = torch.cat([clip.picture_features(one[None]) for one in given])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    texts = ["a mug", "a red duck", "a mug"]
    fresh = Clip(clip.model, clip.tokenizer, clip.preparation)
    alone = torch.stack([fresh.text_features([text])[0] for text in texts])
    torch.testing.assert_close(clip.text_features(texts), alone, rtol=1e-5, atol=1e-6)


def test_features_are_unit_vectors(clip: Clip) -> None:
    for features in (clip.picture_features(pictures(3)), clip.text_features(["a mug", ""])):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(features)))


def test_pictures_of_the_right_size_are_only_normalised() -> None:
    given = pictures(2)
    expected = (given.numpy() - np.array(MEANS)) / np.array(DEVIATIONS)
    prepared = prepare(given, PREPARATION, 16)
    np.testing.assert_allclose(prepared.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [48, 20, 9])
def test_other_sizes_are_resized_as_pillow_does(size: int) -> None:
    given = pictures(1, size)
    layers = [Image.fromarray(given[0, :, :, channel].numpy()) for channel in range(3)]
    channels = [np.asarray(layer.resize((16, 16), Image.Resampling.BICUBIC)) for layer in layers]
    resized = np.clip(np.stack(channels, axis=-1), 0, 1)
    expected = (resized - np.array(MEANS)) / np.array(DEVIATIONS)
    prepared = prepare(given, PREPARATION, 16)[0].permute(1, 2, 0)
    np.testing.assert_allclose(prepared.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 3, 16, 16), (1, 16, 16, 4)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="no pictures"):
        prepare(torch.zeros(shape), PREPARATION, 16)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer"]
)
def test_a_missing_file_is_a_prior_error(name: str, tmp_path: Path) -> None:
    source = small_networks.trained() / "judge-tiny" / "clip"
    folder = Path(shutil.copytree(source, tmp_path / "clip"))
    gone = [folder / name]
    if name == "tokenizer":
        gone = [folder / "tokenizer.json", folder / "vocab.json", folder / "merges.txt"]
    for path in gone:
        path.unlink()
    with pytest.raises(PriorError, match="cannot be loaded"):
        Clip.load(folder)


def test_a_preparation_without_means_is_a_prior_error(tmp_path: Path) -> None:
    source = small_networks.trained() / "judge-tiny" / "clip"
    folder = Path(shutil.copytree(source, tmp_path / "clip"))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5]}')
    with pytest.raises(PriorError, match="cannot be loaded"):
        Clip.load(folder)
