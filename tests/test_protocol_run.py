"""Protocols run on assets: small cameras and small networks of the same classes, end to end."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import small_askers
import small_judges
import small_networks
from maquette import store
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.export.ply import read_ply, write_ply
from maquette.metrics import networks as networks_module
from maquette.metrics import protocol_run
from maquette.metrics.clip import Clip, clip_cosine, deviation_over_prompts
from maquette.metrics.lpips import Lpips, adjacent_lpips
from maquette.metrics.networks import MODELS, Embedded, Networks, Stored
from maquette.metrics.protocol_run import Measured, columns_of, run_protocol
from maquette.metrics.protocols import Cameras, Orbit, Protocol, protocol, protocol_names
from test_truth import scan

PROMPT = "a red and blue mug"
SIZE = 32


@pytest.fixture(autouse=True)
def _tiny_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge = small_networks.trained() / "judge-tiny"
    monkeypatch.setattr(networks_module, "packaged_judge", lambda: judge)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def small(name: str) -> Protocol:
    """A protocol with few and small pictures; Janus keeps its ring."""
    whole = protocol(name)

    def few(cameras: Cameras) -> Cameras:
        orbits = [
            dataclasses.replace(orbit, count=orbit.count if orbit.count == 24 else 3)
            for orbit in cameras.orbits
        ]
        return dataclasses.replace(cameras, orbits=tuple(orbits), size=SIZE)

    measures = [dataclasses.replace(m, cameras=few(m.cameras)) for m in whole.measures]
    return dataclasses.replace(whole, measures=tuple(measures))


@functools.cache
def models() -> Path:
    """A folder with a small network of the same class under every slug."""
    folder = small_networks.fresh_folder()
    made = {
        **{"lpips-vgg": small_judges.lpips("vgg"), "lpips-alexnet": small_judges.lpips("alex")},
        **{
            "blip2-flan-t5-xl": small_askers.blip2(),
            "imagereward-v1-0": small_judges.image_reward(),
        },
    }
    for model in MODELS.values():
        shutil.copytree(made.get(model.slug, small_judges.clip()), folder / model.slug)
    return folder


@functools.cache
def asset(kind: str) -> Path:
    path = small_networks.fresh_folder() / "asset.ply"
    write_ply(path, scan(f"a red and blue {kind}"))
    return path


def run_folder(folder: Path, prompt: str = PROMPT, kind: str = "mug") -> Path:
    folder.mkdir()
    store.write_json(folder / "run.json", {"prompt": prompt, "seed": 0, "prior": "any"})
    shutil.copy(asset(kind), folder / "asset.ply")
    return folder


def values(measured: Measured) -> dict[str, Any]:
    return {row["head"]: row["value"] for row in measured.runs[0]["columns"]}


def captions(name: str) -> list[str] | None:
    return ["a blue mug", "a side view", "a red mug"] if name == "dreamfusion" else None


@pytest.mark.parametrize("name", protocol_names())
def test_a_protocol_runs_from_stored_networks(name: str, tmp_path: Path) -> None:
    folder, chosen = run_folder(tmp_path / "run"), small(name)
    done = run_protocol([folder], chosen, Stored(models()), captions(name))
    assert len(done.columns) == len(chosen.measures)
    assert done.left_out == ""
    (run,) = done.runs
    written = json.loads((folder / f"metrics-{name}.json").read_text())
    assert {**written, "folder": "run"} == {"schema": store.SCHEMA, **run}
    assert (run["chosen"], run["paper"], run["protocol"]) == (chosen.chosen, chosen.paper, name)
    for row, measure in zip(run["columns"], chosen.measures, strict=True):
        assert (row["metric"], row["model"]) == (measure.metric, measure.model)
        if measure.metric == "deviation_over_prompts":
            assert (row["value"], bool(row["note"])) == (None, True)
            assert len(row["by_view"]) == len(measure.cameras)
        else:
            assert isinstance(row["value"], float)
            assert len(row["by_view"]) in (0, len(measure.cameras))
    assert all(run["models"][m.model] for m in chosen.measures if m.model)


@pytest.mark.parametrize("name", protocol_names())
def test_the_embedded_judge_stands_in_and_every_column_says_so(name: str, tmp_path: Path) -> None:
    chosen = small(name)
    done = run_protocol([run_folder(tmp_path / "run")], chosen, Embedded())
    for column in done.columns:
        assert not column.measure.model or "embedded" in column.head
    heads = " ".join(column.head for column in done.columns)
    for measure in chosen.measures:
        assert not measure.model or measure.model in heads + done.left_out or "Janus" in heads
    missing = {"VGG", "AlexNet", "clip-flant5-xl", "ImageReward-v1.0", "PickScore v1"}
    named = {measure.model for measure in chosen.measures}
    assert [model in done.left_out for model in sorted(named & missing)] == [True] * len(
        named & missing
    )
    assert bool(done.left_out) == bool(named & missing)
    assert done.runs[0]["left_out"] == done.left_out


def test_one_network_in_the_place_of_three_has_one_column() -> None:
    columns, _ = columns_of(protocol("dreamfusion"), Embedded())
    told = "embedded judge instead of OpenAI ViT-B/32 and OpenAI ViT-B/16 and OpenAI ViT-L/14"
    assert [column.head for column in columns] == [
        f"R-Precision, {told}",
        f"R-Precision, of textureless renders, {told}",
    ]


def test_the_numbers_are_those_of_the_metrics_on_the_protocols_pictures(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    chosen = small("dreamer-xl")
    done = run_protocol([folder], chosen, Stored(models()))
    cameras = chosen.measures[0].cameras
    with torch.no_grad():
        behind = torch.tensor(cameras.background).expand(len(cameras), 3)
        pictures = read_ply(folder / "asset.ply").render(cameras.views(), behind).colour.clamp(0, 1)
    clip = Clip.load(models() / "openai-vit-l-14")
    found = values(done)
    cosine = clip_cosine(clip, pictures, PROMPT).double().mean()
    assert found["CLIP cosine, OpenAI ViT-L/14"] == pytest.approx(float(cosine), abs=1e-6)
    for name in ("VGG", "AlexNet"):
        lpips = Lpips.load(models() / MODELS[name].slug)
        expected = adjacent_lpips(lpips, pictures)
        assert found[f"A-LPIPS, {name}"] == pytest.approx(expected, rel=1e-6)


def test_the_deviation_is_over_prompts_and_seeds_of_one_are_one(tmp_path: Path) -> None:
    prompts = {"a": "a red mug", "b": "a red mug", "c": "a blue mug"}
    folders = [
        run_folder(tmp_path / name, prompt, kind)
        for (name, prompt), kind in zip(prompts.items(), ("mug", "duck", "duck"), strict=True)
    ]
    chosen = small("cograd3d")
    done = run_protocol(folders, chosen, Embedded())
    places = [i for i, c in enumerate(done.columns) if c.measure.metric == "deviation_over_prompts"]
    (place,) = places
    scores = torch.tensor([run["columns"][place]["by_view"] for run in done.runs])
    expected = deviation_over_prompts(torch.stack([scores[:2].mean(0), scores[2]]))
    assert done.over_runs[done.columns[place].head] == pytest.approx(expected)
    mean = done.over_runs[done.columns[0].head]
    assert mean == pytest.approx(float(scores.mean()))
    alone = run_protocol(folders[:2], chosen, Embedded())
    assert alone.over_runs[alone.columns[place].head] is None


def test_janus_is_asked_of_single_objects_with_a_front(tmp_path: Path) -> None:
    told = {
        "a red and blue duck": (0.0, 1.0),
        "a red ball": (None,),
        "a mug and a duck": (None,),
        "a red duck on a blue table": (None,),
    }
    for number, (prompt, allowed) in enumerate(told.items()):
        folder = run_folder(tmp_path / str(number), prompt)
        row = run_protocol([folder], small("cograd3d"), Embedded()).runs[0]["columns"][-1]
        assert row["head"] == "Janus, embedded view classifier"
        assert row["value"] in allowed
        assert bool(row["note"]) == (row["value"] is None)


class Recorder(Networks):
    """Measures nothing, and keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.read: list[list[str]] = []

    def by(self, name: str) -> str | None:
        return name

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, "")

    def get(self, name: str) -> Recorder:
        return self

    def picture_features(self, pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        return torch.ones(len(pictures), 1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        self.read.append(list(texts))
        return torch.linspace(1, 0, len(texts))[:, None]


def test_textureless_renders_are_grey_and_the_prompt_is_among_the_captions(tmp_path: Path) -> None:
    recorder, chosen = Recorder(), small("dreamfusion")
    listed = ["a cat", "A red and blue mug."]
    done = run_protocol([run_folder(tmp_path / "run")], chosen, recorder, listed)
    assert [row["value"] for row in done.runs[0]["columns"]] == [1.0] * 6
    assert recorder.read == [[PROMPT, "a cat"]] * 6
    spread = [float((seen.amax(-1) - seen.amin(-1)).max()) for seen in recorder.seen]
    assert min(spread[:3]) > 0.5
    assert max(spread[3:]) < 1e-6
    assert all(float(seen[:, 0].min()) == 1.0 for seen in recorder.seen), "the background is white"


def test_many_views_are_shown_in_parts_and_none_is_lost(tmp_path: Path) -> None:
    recorder = Recorder()
    chosen = protocol("ptd")
    cameras = Cameras((Orbit(protocol_run.PART + 3, 10.0),), size=16)
    measure = dataclasses.replace(chosen.measures[0], cameras=cameras)
    run_protocol(
        [run_folder(tmp_path / "run")], dataclasses.replace(chosen, measures=(measure,)), recorder
    )
    with torch.no_grad():
        behind = torch.ones(len(cameras), 3)
        whole = read_ply(asset("mug")).render(cameras.views(), behind).colour.clamp(0, 1)
    assert torch.allclose(torch.cat(recorder.seen), whole, atol=1e-6)


def test_what_is_there_is_not_measured_again_and_no_network_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path / "run")
    own = Path(shutil.copytree(models(), tmp_path / "models"))
    listed = ["a blue mug"]

    def again(name: str = "dreamfusion", captions: Sequence[str] | None = listed) -> Measured:
        return run_protocol([folder], small(name), Stored(own), captions)

    first = again()
    before = (folder / "metrics-dreamfusion.json").read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("a network was loaded")

    with monkeypatch.context() as patch:
        patch.setattr(Stored, "get", fail)
        patch.setattr(Stored, "judge", fail)
        patch.setattr(protocol_run, "read_ply", fail)
        assert again() == first
        assert (folder / "metrics-dreamfusion.json").read_bytes() == before
        with pytest.raises(AssertionError):
            again(captions=["a red mug"])
        with (own / "openai-vit-b-32" / "config.json").open("a") as file:
            file.write(" ")
        with pytest.raises(AssertionError):
            again()
    assert again() != first  # The hash is another one.
    shutil.copy(asset("duck"), folder / "asset.ply")
    assert values(again("ptd", None)) != {}
    assert again().runs[0]["asset_sha256"] != first.runs[0]["asset_sha256"]


def test_what_is_missing_is_told_before_anything_is_written(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    own = Path(shutil.copytree(models(), tmp_path / "models"))
    shutil.rmtree(own / "lpips-vgg")
    there = sorted(folder.iterdir())
    with pytest.raises(PriorError, match=r"VGG is not on this disk.*curl -fLO .*vgg16"):
        run_protocol([folder], small("dreamer-xl"), Stored(own))
    assert sorted(folder.iterdir()) == there


def test_a_network_that_is_damaged_writes_nothing(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    own = Path(shutil.copytree(models(), tmp_path / "models"))
    (own / "lpips-vgg" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(PriorError, match="Make the folder anew with `mkdir"):
        run_protocol([folder], small("dreamer-xl"), Stored(own))
    assert not list(folder.glob("metrics-*"))


def test_stopped_after_the_first_run_it_goes_on(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / name) for name in ("a", "b")]

    def stop(sentence: str) -> None:
        if sentence.startswith(f"Measuring {folders[1]}"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_protocol(folders, small("ptd"), Embedded(), say=stop)
    first = folders[0] / "metrics-ptd.json"
    assert [(folder / "metrics-ptd.json").is_file() for folder in folders] == [True, False]
    os.utime(first, ns=(7, 7))
    done = run_protocol(folders, small("ptd"), Embedded())
    assert first.stat().st_mtime_ns == 7
    assert len(done.runs) == 2
    assert (folders[1] / "metrics-ptd.json").is_file()


def test_retrieval_needs_a_list(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    with pytest.raises(InputError, match="Give --captions FILE"):
        run_protocol([folder], small("dreamfusion"), Stored(models()))
    with pytest.raises(InputError, match="Leave --captions away"):
        run_protocol([folder], small("ptd"), Stored(models()), ["a mug"])
    with pytest.raises(InputError, match="does not know 'dragon'"):
        run_protocol([folder], small("dreamfusion"), Embedded(), ["a dragon"])
    assert not list(folder.glob("metrics-*"))


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", "a dragon")
    with pytest.raises(InputError, match="does not know 'dragon'"):
        run_protocol([folder], small("ptd"), Embedded())
    with pytest.raises(CheckpointError, match="no run"):
        run_protocol([folder, tmp_path], small("ptd"), Embedded())
    (folder / "asset.ply").unlink()
    with pytest.raises(InputError, match="maquette resume"):
        run_protocol([folder], small("ptd"), Embedded())
    with pytest.raises(InputError, match="No run is given"):
        run_protocol([], small("ptd"), Embedded())
