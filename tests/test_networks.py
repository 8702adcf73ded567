"""The networks of protocols: found on disk or missed with the command that works, never fetched."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import small_judges
import small_networks
from maquette.errors import InputError, PriorError
from maquette.metrics import networks as module
from maquette.metrics.clip import Clip
from maquette.metrics.networks import MODELS, VIEW_CLASSIFIER, Embedded, Stored
from maquette.metrics.protocols import protocol, protocol_names
from maquette.metrics.weights import Source

NAMED = {m.model for name in protocol_names() for m in protocol(name).measures if m.model}
L14 = "OpenAI ViT-L/14"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, a tiny judge, and no way to any network."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    judge = small_networks.trained() / "judge-tiny"
    monkeypatch.setattr(module, "packaged_judge", lambda: judge)


def cached(cache: Path, repository: str, files: Path) -> Path:
    """A repository as Hugging Face's cache keeps it."""
    own = cache / f"models--{repository.replace('/', '--')}"
    (own / "refs").mkdir(parents=True)
    (own / "refs" / "main").write_text("0" * 40)
    return Path(shutil.copytree(files, own / "snapshots" / ("0" * 40)))


def test_every_network_that_a_protocol_names_is_known() -> None:
    assert {*MODELS, VIEW_CLASSIFIER} == NAMED
    slugs = [model.slug for model in MODELS.values()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)


@pytest.mark.parametrize("name", MODELS)
def test_commands_name_their_folder_and_unpickle_weights_alone(name: str, tmp_path: Path) -> None:
    command = MODELS[name].command(tmp_path / "my models")
    assert f"'{tmp_path / 'my models'}/{MODELS[name].slug}'" in command
    if isinstance(MODELS[name].source, Source):
        assert "weights_only=True" in command
        assert "curl -fLO 'https://" in command
    else:
        assert command.startswith(f"hf download {MODELS[name].repository} ")
        assert "safetensors" in command or "--exclude '*.bin'" in command
        assert not re.search(r"--include '\S*(bin|pt|pth|\*)'", command)


@pytest.mark.parametrize("name", ["OpenAI ViT-B/32", "OpenAI ViT-B/16", "OpenCLIP ViT-bigG-14"])
def test_a_published_clip_is_turned_over(name: str, tmp_path: Path) -> None:
    source = MODELS[name].source
    assert isinstance(source, Source)
    wanted = {url.rpartition("/")[2] for url in source.urls}
    original = small_judges.clip()
    weights = load_file(original / "model.safetensors")
    parts = sorted(file for file in wanted if "pytorch_model" in file)
    names = sorted(weights)
    for place, file in enumerate(parts):
        part = {key: weights[key] for key in names[place :: len(parts)]}
        part["text_model.embeddings.position_ids"] = torch.arange(20)[None]
        part["logit_bias"] = torch.zeros(1)
        if file.endswith(".bin"):
            torch.save(part, tmp_path / file)
        else:
            save_file(part, tmp_path / file)
    for file in original.iterdir():
        if file.name in wanted:
            shutil.copy(file, tmp_path)
    assert not set(source.conversion()) & set('"$`\\!')
    subprocess.run([sys.executable, "-c", source.conversion()], cwd=tmp_path, check=True)
    pictures = small_judges.pictures(2)
    found, expected = (Clip.load(folder) for folder in (tmp_path, original))
    for one, other in (
        (found.picture_features(pictures), expected.picture_features(pictures)),
        (found.text_features(["a mug"]), expected.text_features(["a mug"])),
    ):
        assert torch.allclose(one, other, atol=1e-6)


def test_what_is_missing_is_told_at_once_with_the_commands(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(PriorError) as caught:
            Stored(folder).digests([L14, "VGG", L14])
        told = str(caught.value)
        assert told.startswith(f"{L14}, VGG are not on this disk. ")
        for name in (L14, "VGG"):
            assert told.count(f"`{MODELS[name].command(folder or Path('models'))}`") == 1
        assert ("--models models" in told) == (folder is None)
    with pytest.raises(InputError, match="There is no folder"):
        Stored(tmp_path / "nowhere")


def test_a_folder_by_its_slug_comes_before_the_cache(tmp_path: Path) -> None:
    repository = MODELS[L14].repository
    snapshot = cached(tmp_path / "cache", repository, small_judges.clip())
    from_cache = Stored()
    assert isinstance(from_cache.get(L14), Clip)
    assert from_cache.get(L14) is from_cache.get(L14)
    own = shutil.copytree(small_judges.clip(), tmp_path / "mine" / MODELS[L14].slug)
    (own / "config.json").write_text((own / "config.json").read_text() + "\n")
    before = from_cache.digests([L14])
    assert Stored(tmp_path / "mine").digests([L14]) != before
    (own.parent / "empty").mkdir()
    assert Stored(own.parent / "empty").digests([L14]) == before
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(PriorError, match="hf download openai/clip-vit-large-patch14"):
        Stored().digests([L14])


def test_a_digest_is_of_all_that_a_loader_reads(tmp_path: Path) -> None:
    own = Path(shutil.copytree(small_judges.clip(), tmp_path / MODELS[L14].slug))
    before = Stored(tmp_path).digests([L14])
    (own / "README.md").write_text("Changed")
    (own / "pytorch_model.bin").write_bytes(b"never read")
    assert Stored(tmp_path).digests([L14]) == before
    with (own / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert Stored(tmp_path).digests([L14]) != before


def test_a_damaged_network_is_told_with_the_command(tmp_path: Path) -> None:
    own = Path(shutil.copytree(small_judges.clip(), tmp_path / MODELS[L14].slug))
    (own / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(PriorError) as caught:
        Stored(tmp_path).get(L14)
    assert f"`{MODELS[L14].command(tmp_path)}`" in str(caught.value)


def test_who_measures_is_said() -> None:
    stored, embedded = Stored(), Embedded()
    assert stored.by(L14) == L14
    assert stored.by("clip-flant5-xl") == "BLIP-2 FlanT5-XL instead of clip-flant5-xl"
    assert embedded.by(L14) == f"embedded judge instead of {L14}"
    assert stored.by(VIEW_CLASSIFIER) == embedded.by(VIEW_CLASSIFIER) == "embedded view classifier"
    served = {name for name in NAMED if embedded.by(name) is not None}
    assert served == {name for name in NAMED if "ViT" in name} | {VIEW_CLASSIFIER}


def test_the_embedded_judge_reads_its_own_wording_and_list() -> None:
    embedded = Embedded()
    assert embedded.get(L14) is embedded.judge().clip
    assert embedded.wording("A blue mug!") == "a blue mug"
    listed = embedded.captions("a red and blue mug") or []
    assert len({"a red and blue mug", *listed}) == 100
    assert embedded.captions("a mug and a duck") is None
    with pytest.raises(InputError, match="does not know 'dragon'"):
        embedded.wording("a dragon")
    assert Stored().captions("a red mug") is None
