"""ImageReward in numpy under the published names of its weights; PickScore; the aesthetic head."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.special import erf, softmax
from torch import Tensor

import small_judges
from maquette.errors import InputError, PriorError
from maquette.metrics.clip import Clip
from maquette.metrics.preference import (
    AESTHETIC,
    IMAGE_REWARD,
    Aesthetic,
    ImageReward,
    aesthetic_score,
    image_reward,
    load_pick_score,
    pick_score,
)

FILE = "model.safetensors"
PROMPTS = ["a red mug", "a blue mug , side view", "a"]
MEANS, DEVIATIONS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module")
def reward() -> ImageReward:
    return ImageReward.load(small_judges.image_reward())


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load(small_judges.clip())


@pytest.fixture(scope="module")
def aesthetic(clip: Clip) -> Aesthetic:
    return Aesthetic.load(small_judges.aesthetic(), clip)


class ByHand:
    """BLIP and the head in numpy and float64, on weights under their published names."""

    def __init__(self, folder: Path) -> None:
        self.read = {k: v.double().numpy() for k, v in load_file(folder / FILE).items()}
        self.words = (folder / "vocab.txt").read_text().split("\n")

    def linear(self, name: str, x: NDArray) -> NDArray:
        return x @ self.read[f"{name}.weight"].T + self.read[f"{name}.bias"]

    def norm(self, name: str, x: NDArray, eps: float) -> NDArray:
        centred = x - x.mean(axis=-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        return unit * self.read[f"{name}.weight"] + self.read[f"{name}.bias"]

    def seen(self, picture: Tensor) -> NDArray:
        """The states ``[5, 12]`` of the vision transformer for a picture of 16 x 16."""
        at = "blip.visual_encoder"
        x = (picture.double().numpy() - np.array(MEANS)) / np.array(DEVIATIONS)
        patches = x.reshape(2, 8, 2, 8, 3).transpose(0, 2, 4, 1, 3).reshape(4, -1)
        kernel = self.read[f"{at}.patch_embed.proj.weight"].reshape(12, -1)
        placed = patches @ kernel.T + self.read[f"{at}.patch_embed.proj.bias"]
        x = np.concatenate([self.read[f"{at}.cls_token"][0], placed])
        x = x + self.read[f"{at}.pos_embed"][0]
        for number in range(2):
            block = f"{at}.blocks.{number}"
            mixed = self.linear(f"{block}.attn.qkv", self.norm(f"{block}.norm1", x, 1e-6))
            x = x + self.linear(f"{block}.attn.proj", attend(*np.split(mixed, 3, axis=1), heads=3))
            inner = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x, 1e-6))
            x = x + self.linear(f"{block}.mlp.fc2", gelu(inner))
        return self.norm(f"{at}.norm", x, 1e-6)

    def attention(self, name: str, x: NDArray, source: NDArray) -> NDArray:
        parts = [self.linear(f"{name}.self.query", x)]
        parts += [self.linear(f"{name}.self.{part}", source) for part in ("key", "value")]
        out = self.linear(f"{name}.output.dense", attend(*parts, heads=2))
        return self.norm(f"{name}.output.LayerNorm", x + out, 1e-12)

    def reward(self, picture: Tensor, prompt: str) -> float:
        at, seen = "blip.text_encoder", self.seen(picture)
        ids = [self.words.index(word) for word in ("[CLS]", *prompt.split(), "[SEP]")]
        x = self.read[f"{at}.embeddings.word_embeddings.weight"][ids]
        x = x + self.read[f"{at}.embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm(f"{at}.embeddings.LayerNorm", x, 1e-12)
        for number in range(2):
            layer = f"{at}.encoder.layer.{number}"
            x = self.attention(f"{layer}.attention", x, x)
            x = self.attention(f"{layer}.crossattention", x, seen)
            inner = gelu(self.linear(f"{layer}.intermediate.dense", x))
            x = self.norm(
                f"{layer}.output.LayerNorm", x + self.linear(f"{layer}.output.dense", inner), 1e-12
            )
        found = x[0]
        for number in (0, 2, 4, 6, 7):
            found = self.linear(f"mlp.layers.{number}", found)
        return (found[0] - 0.16717362830052426) / 1.0333394966054072


def attend(query: NDArray, key: NDArray, value: NDArray, heads: int) -> NDArray:
    parts = []
    split = (np.split(x, heads, axis=1) for x in (query, key, value))
    for q, k, v in zip(*split, strict=True):
        parts.append(softmax(q @ k.T / math.sqrt(q.shape[1]), axis=1) @ v)
    return np.concatenate(parts, axis=1)


def gelu(x: NDArray) -> NDArray:
    return x * (1 + erf(x / math.sqrt(2))) / 2


@pytest.mark.parametrize("prompt", PROMPTS)
def test_image_reward_agrees_with_its_definition(reward: ImageReward, prompt: str) -> None:
    pictures, hand = small_judges.pictures(3), ByHand(small_judges.image_reward())
    expected = [hand.reward(picture, prompt) for picture in pictures]
    found = image_reward(reward, pictures, prompt)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_image_reward_reads_the_prompt_and_no_more_than_35_tokens(reward: ImageReward) -> None:
    pictures = small_judges.pictures(1)
    found = {image_reward(reward, pictures, prompt).item() for prompt in PROMPTS}
    assert len(found) == len(PROMPTS)
    long = " ".join(["red"] * 33)
    cut = image_reward(reward, pictures, f"{long} blue mug")
    assert cut.item() == image_reward(reward, pictures, long).item()


def test_larger_pictures_are_resized_first(reward: ImageReward) -> None:
    large = small_judges.pictures(1, 4).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    assert image_reward(reward, large, "a mug").shape == (1,)


def scores(model: Any, name: str, pictures: Tensor) -> Tensor:
    if name == "image_reward":
        return image_reward(model, pictures, "a red mug")
    if name == "pick_score":
        return pick_score(model, pictures, "a red mug")
    return aesthetic_score(model, pictures)


@pytest.mark.parametrize("name", ["image_reward", "pick_score", "aesthetic"])
def test_neither_the_order_nor_the_batch_matters(
    name: str, reward: ImageReward, clip: Clip, aesthetic: Aesthetic
) -> None:
    model = {"image_reward": reward, "pick_score": clip, "aesthetic": aesthetic}[name]
    pictures = small_judges.pictures(5)
    together = scores(model, name, pictures)
    alone = torch.cat([scores(model, name, picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    order = torch.tensor([4, 2, 0, 1, 3])
    turned = scores(model, name, pictures[order])
    torch.testing.assert_close(turned, together[order], rtol=1e-5, atol=1e-5)
    assert len(set(together.tolist())) == 5
    with pytest.raises(InputError, match="no pictures"):
        scores(model, name, torch.zeros(1, 3, 16, 16))


def test_pick_score_is_the_scaled_cosine() -> None:
    clip, pictures = load_pick_score(small_judges.clip()), small_judges.pictures(3)
    seen = clip.picture_features(pictures).double().numpy()
    read = clip.text_features(["a red mug"])[0].double().numpy()
    scale = math.exp(load_file(small_judges.clip() / FILE)["logit_scale"].item())
    found = pick_score(clip, pictures, "a red mug")
    np.testing.assert_allclose(found.numpy(), scale * seen @ read, rtol=1e-5, atol=1e-5)


def test_the_aesthetic_score_is_a_linear_function_of_the_unit_features(
    clip: Clip, aesthetic: Aesthetic
) -> None:
    pictures = small_judges.pictures(3)
    read = {k: v.double().numpy() for k, v in load_file(small_judges.aesthetic() / FILE).items()}
    expected = clip.picture_features(pictures).double().numpy()
    for number in (0, 2, 4, 6, 7):
        expected = expected @ read[f"layers.{number}.weight"].T + read[f"layers.{number}.bias"]
    found = aesthetic_score(aesthetic, pictures)
    np.testing.assert_allclose(found.numpy(), expected[:, 0], rtol=1e-5, atol=1e-5)


def test_a_head_for_another_clip_is_refused(clip: Clip, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    save_file(small_judges.chain("layers", (7, 6, 5, 4, 3, 1), random), tmp_path / FILE)
    with pytest.raises(PriorError, match="judges 7 features, and this CLIP has 12"):
        Aesthetic.load(tmp_path, clip)


def test_layers_that_do_not_end_in_one_number_are_refused(clip: Clip, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    good = small_judges.chain("layers", (12, 6, 5, 4, 3, 1), random)
    for wrong in ({}, {k: v for k, v in good.items() if k[7] != "4"}, {"x": torch.ones(1)}):
        save_file(wrong, tmp_path / FILE)
        with pytest.raises(PriorError, match="do not lead to one number"):
            Aesthetic.load(tmp_path, clip)


@pytest.mark.parametrize("name", ["config.json", FILE, "vocab.txt"])
def test_a_missing_file_of_image_reward_is_told_with_the_command(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_judges.image_reward(), tmp_path / "reward"))
    (folder / name).unlink()
    with pytest.raises(PriorError, match=f"has no {name}") as caught:
        ImageReward.load(folder)
    assert f"`{IMAGE_REWARD.command(folder)}`" in caught.value.next_step


def test_other_missing_folders_are_told_with_the_command(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(PriorError, match="hf download yuvalkirstain/PickScore_v1"):
        load_pick_score(tmp_path / "none")
    with pytest.raises(PriorError, match="improved-aesthetic-predictor") as caught:
        Aesthetic.load(tmp_path, clip)
    assert f"`{AESTHETIC.command(tmp_path)}`" in caught.value.next_step


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"vision": small_judges.VISION}, "text"),
        (
            {"vision": {**small_judges.VISION, "hidden_size": 24}, "text": small_judges.TEXT},
            "shape",
        ),
        ({"vision": small_judges.VISION | {"num_hidden_layers": 3}, "text": {}}, "lacks|shape"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: Any, said: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_judges.image_reward(), tmp_path / "reward"))
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PriorError, match=f"cannot be loaded.*({said})"):
        ImageReward.load(folder)


def test_loading_draws_no_random_number() -> None:
    before = torch.random.get_rng_state()
    ImageReward.load(small_judges.image_reward())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["ImageReward.pt", "sac+logos+ava1-l14-linearMSE.pth"])
def test_the_commands_turn_published_files_over(name: str, clip: Clip, tmp_path: Path) -> None:
    reward = name == "ImageReward.pt"
    source = IMAGE_REWARD if reward else AESTHETIC
    folder = small_judges.image_reward() if reward else small_judges.aesthetic()
    weights = load_file(folder / FILE)
    torch.save(weights, tmp_path / name)
    assert not set(source.conversion()) & set('"$`\\!')
    subprocess.run([sys.executable, "-c", source.conversion()], cwd=tmp_path, check=True)
    made = load_file(tmp_path / FILE)
    assert set(weights) - set(made) == ({"blip.vision_proj.weight"} if reward else set())
    assert all(torch.equal(made[key], weights[key]) for key in made)
    if reward:
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["vision"]["num_hidden_layers"] == 24
        assert config["text"]["vocab_size"] == 30524
    else:
        assert Aesthetic.load(tmp_path, clip)
