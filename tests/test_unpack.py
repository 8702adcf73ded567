"""Training goes on from packed weights: same networks, no moments, the record kept."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import small_networks
from maquette.toybox import dataset
from maquette.toybox.networks import TOKENS
from maquette.toybox.pack import pack_judge, pack_points, pack_prior
from maquette.toybox.train import STAGES, train
from maquette.toybox.unpack import unpack_judge, unpack_points, unpack_prior


def test_unpacked_weights_are_the_packed_ones(tmp_path: Path) -> None:
    packed = small_networks.trained()
    unpack_prior(packed / "prior-tiny", tmp_path)
    unpack_judge(packed / "judge-tiny", tmp_path)
    before = load_file(packed / "prior-tiny" / "unet" / "diffusion_pytorch_model.safetensors")
    after = load_file(tmp_path / "unet.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[f"network.unet.{name}"], value.float(), rtol=0, atol=0)
    assert {"vae", "unet", "clip", "views"} <= {path.stem for path in tmp_path.iterdir()}


def test_training_goes_on_from_them_and_keeps_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = small_networks.trained()
    unpack_prior(packed / "prior-tiny", tmp_path)
    unpack_judge(packed / "judge-tiny", tmp_path)
    monkeypatch.setattr(dataset, "BLOCK", small_networks.BLOCK)
    unpack_points(packed / "points-tiny", tmp_path)
    steps = {f"{stage}_steps": 1 for stage in STAGES}
    with torch.random.fork_rng():
        train(tmp_path, size="tiny", pictures=small_networks.BLOCK, batch=8, **steps)  # pyright: ignore
    pack_prior(tmp_path, tmp_path / "prior", "tiny")
    pack_judge(tmp_path, tmp_path / "judge", "tiny")
    pack_points(tmp_path, tmp_path / "points", "tiny")
    made = {"prior": ("vae", "unet"), "judge": ("clip", "views"), "points": ("points",)}
    for folder, stages in made.items():
        card = json.loads((tmp_path / folder / "card.json").read_text())
        # Two steps before, one since: both are told.
        assert [(line["stage"], line["step"]) for line in card["earlier"]] == [
            (stage, 2) for stage in stages
        ]
        assert [(line["stage"], line["step"]) for line in card["training"]] == [
            (stage, 1) for stage in stages
        ]


def test_words_keep_what_is_known_of_them_when_the_language_grows(tmp_path: Path) -> None:
    packed, old = small_networks.trained() / "prior-tiny", tmp_path / "old"
    shutil.copytree(packed, old)
    # An older language: two words fewer, others numbered otherwise, and shorter texts.
    vocabulary = json.loads((old / "tokenizer" / "vocab.json").read_text())
    (file,) = (old / "text_encoder").glob("*.safetensors")
    weights = load_file(file)
    (words,) = (name for name in weights if name.endswith("token_embedding.weight"))
    (places,) = (name for name in weights if name.endswith("position_embedding.weight"))
    before, known = weights[words].float(), [t for t in vocabulary if t not in ("mug</w>", "an")]
    order = list(reversed(known))
    weights[words] = weights[words][[vocabulary[token] for token in order]]
    weights[places] = weights[places][:10]
    save_file({name: value.contiguous() for name, value in weights.items()}, file)
    numbers = {token: number for number, token in enumerate(order)}
    (old / "tokenizer" / "vocab.json").write_text(json.dumps(numbers))
    unpack_prior(old, tmp_path / "training")
    after = load_file(tmp_path / "training" / "unet.safetensors")
    now = json.loads((tmp_path / "training" / "tokenizer" / "vocab.json").read_text())
    rows = after[f"network.text.{words}"]
    assert len(rows) == len(now)
    for token in known:
        torch.testing.assert_close(rows[now[token]], before[vocabulary[token]], rtol=0, atol=0)
    assert 0.01 < rows[now["mug</w>"]].std() < 0.03
    # Later places begin like the last one that there was.
    placed = after[f"network.text.{places}"]
    assert len(placed) == TOKENS
    torch.testing.assert_close(placed[9:], placed[9].expand(TOKENS - 9, -1), rtol=0, atol=0)
