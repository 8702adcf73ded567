"""What ``maquette evaluate`` measures and writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import small_networks
import tiny
from maquette import store
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.export.ply import read_ply, write_ply
from maquette.inits.sphere import Sphere
from maquette.metrics import evaluate as measured
from maquette.metrics.clip import clip_score
from maquette.metrics.cost import run_cost
from maquette.metrics.evaluate import LOOKS, MEASURES, TRUTH, evaluate_run
from maquette.metrics.members import members
from maquette.metrics.pictures import saturation, sharpness
from maquette.metrics.truth import FIRST
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.toybox.captions import parse
from maquette.toybox.judge import Judge
from test_truth import scan


def judge_folder() -> Path:
    return small_networks.trained() / "judge-tiny"


def run_folder(folder: Path, prompt: str = "a red and blue mug") -> Path:
    folder.mkdir()
    store.write_json(folder / "run.json", {"prompt": prompt, "seed": 0, "prior": "any"})
    write_ply(folder / "asset.ply", Sphere(count=200, opacity=0.6).make("", Randomness(0)))
    return folder


def evaluate(folder: Path, **changes: Any) -> dict[str, Any]:
    return evaluate_run(folder, **{"judge": judge_folder(), "size": 16, **changes})


def test_it_judges_the_asset_and_writes_what_it_returns(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    result = evaluate(folder, views=4)
    written = json.loads((folder / "metrics.json").read_text())
    assert written == {"schema": store.SCHEMA, **result}
    assert result["asset_sha256"] == hashlib.sha256((folder / "asset.ply").read_bytes()).hexdigest()
    ring = Views.ring(4, elevation_deg=15, size=16, start_deg=45)
    with torch.no_grad():
        pictures = read_ply(folder / "asset.ply").render(ring, torch.ones(4, 3)).colour.clamp(0, 1)
    verdict = Judge.load(judge_folder()).verdict(pictures, parse("a red and blue mug"), ring)
    for name in MEASURES:
        expected = getattr(verdict, name).double()
        assert result["by_view"][name] == pytest.approx(expected.tolist())
        assert result[name] == pytest.approx(float(expected.mean()))
    assert result["note"] == ""
    assert result["judge"] == "judge-tiny"


def test_the_same_asset_gets_the_same_measures(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    assert evaluate(folder) == evaluate(folder)
    assert len(evaluate(folder)["by_view"]["clip_score"]) == 8


def test_what_has_no_meaning_is_null_and_said(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", "a ball")
    result = evaluate(folder, views=2)
    assert result["colour_right"] is None
    assert result["view_right"] is None
    assert result["by_view"]["view_right"] == [None, None]
    assert result["prompt_right"] is not None
    assert "names no colour" in result["note"]
    assert "no front" in result["note"]
    assert "NaN" not in (folder / "metrics.json").read_text()


def test_known_words_that_are_no_object_get_a_clip_score_only(tmp_path: Path) -> None:
    prompt = "a mug and a duck"
    folder = run_folder(tmp_path / "run", prompt)
    result = evaluate(folder, views=2)
    assert [name for name in MEASURES if result[name] is not None] == ["clip_score"]
    assert "CLIP score only" in result["note"]
    ring = Views.ring(2, elevation_deg=15, size=16, start_deg=90)
    with torch.no_grad():
        pictures = read_ply(folder / "asset.ply").render(ring, torch.ones(2, 3)).colour.clamp(0, 1)
    expected = clip_score(Judge.load(judge_folder()).clip, pictures, prompt).tolist()
    assert result["by_view"]["clip_score"] == pytest.approx(expected)


def test_words_that_the_judge_never_read_are_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", "a red dragon in Paris")
    with pytest.raises(InputError, match=r"does not know 'dragon', 'paris'.* mug,"):
        evaluate(folder)
    assert not (folder / "metrics.json").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run"):
        evaluate(tmp_path)
    with pytest.raises(CheckpointError, match="no run"):
        evaluate(tmp_path / "nowhere")


def test_a_run_without_an_asset_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    (folder / "asset.ply").unlink()
    with pytest.raises(InputError, match="maquette resume"):
        evaluate(folder)


@pytest.mark.parametrize("data", [b"", b"ply\nformat ascii 1.0\n", b"\0" * 100])
def test_a_broken_asset_is_refused(tmp_path: Path, data: bytes) -> None:
    folder = run_folder(tmp_path / "run")
    (folder / "asset.ply").write_bytes(data)
    with pytest.raises(InputError, match=r"asset\.ply"):
        evaluate(folder)


@pytest.mark.parametrize("text", ["{", "{}", '{"schema": 1}', '{"schema": 1, "prompt": 3}'])
def test_a_broken_run_file_is_refused(tmp_path: Path, text: str) -> None:
    folder = run_folder(tmp_path / "run")
    (folder / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        evaluate(folder)


def test_a_missing_or_damaged_judge_is_a_prior_error(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    with pytest.raises(PriorError):
        evaluate(folder, judge=tmp_path / "nowhere")
    damaged = Path(shutil.copytree(judge_folder(), tmp_path / "judge"))
    (damaged / "clip" / "config.json").write_text("{}")
    with pytest.raises(PriorError, match="damaged"):
        evaluate(folder, judge=damaged)


@pytest.mark.parametrize("changes", [{"views": 0}, {"size": 1}, {"elevation_deg": 90.0}])
def test_settings_without_pictures_are_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(InputError):
        evaluate(run_folder(tmp_path / "run"), **changes)


def test_a_true_object_is_found_near_to_the_truth(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    write_ply(folder / "asset.ply", scan("a red and blue mug", FIRST + 3))
    result = evaluate(folder, views=2)
    assert result["chamfer"] < 0.04
    assert result["f_score"] > 0.85
    assert result["psnr"] > 15
    write_ply(folder / "asset.ply", scan("a red and blue duck"))
    assert evaluate(folder, views=2)["chamfer"] > 2 * result["chamfer"]


@pytest.mark.parametrize(
    ("prompt", "reason"), [("a mug", "leaves colours open"), ("a mug and a duck", "CLIP score")]
)
def test_without_a_known_truth_there_is_none_and_it_is_said(
    tmp_path: Path, prompt: str, reason: str
) -> None:
    result = evaluate(run_folder(tmp_path / "run", prompt), views=2)
    assert {name: result[name] for name in TRUTH} == dict.fromkeys(TRUTH)
    assert reason in result["note"]


def test_an_asset_without_a_surface_has_no_truth(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    write_ply(folder / "asset.ply", Sphere(count=20, opacity=0.01).make("", Randomness(0)))
    result = evaluate(folder, views=2)
    assert result["chamfer"] is None
    assert result["saturation"] is None
    assert "no surface" in result["note"]


def test_looks_are_those_of_what_is_covered(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    write_ply(folder / "asset.ply", scan("a red and blue mug"))
    result = evaluate(folder, views=2, size=48)
    ring = Views.ring(2, elevation_deg=15, size=48, start_deg=90)
    with torch.no_grad():
        render = read_ply(folder / "asset.ply").render(ring, torch.ones(2, 3))
    for name, function in zip(LOOKS, (saturation, sharpness), strict=True):
        expected = function(render.colour.clamp(0, 1), render.alpha).mean()
        assert result[name] == pytest.approx(float(expected))


def test_costs_are_told_where_they_are_known(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    result = evaluate(folder, views=2)
    assert [result[name] for name in ("seconds", "evaluations", "peak_memory_mib")] == [None] * 3
    assert result["gaussians"] == 200
    lines = [
        {"step": 1, "seconds": 1.5, "peak_memory_mib": 300.0},
        {"step": 2, "seconds": 0.25, "peak_memory_mib": 410.5, "peak_gpu_memory_mib": 7.0},
    ]
    (folder / "timings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{")
    (folder / "metrics.jsonl").write_text('{"step": 1, "evaluations": 8}\n{"step": 2, "eval')
    assert run_cost(folder) == {
        **{"seconds": 1.8, "evaluations": 8},
        **{"peak_memory_mib": 410.5, "peak_gpu_memory_mib": 7.0},
    }
    store.write_json(folder / "result.json", {"evaluations": 16})
    result = evaluate(folder, views=2)
    assert (result["seconds"], result["evaluations"], result["peak_memory_mib"]) == (1.8, 16, 410.5)


def test_a_run_keeps_the_most_memory_it_held(tmp_path: Path) -> None:
    told = run_cost(tiny.make(tmp_path).folder)
    assert (told["peak_memory_mib"] or 0) > 50  # PyTorch alone is larger.
    assert told["peak_gpu_memory_mib"] is None
    assert (told["seconds"] or 0) > 0
    assert (told["evaluations"] or 0) > 0


def test_what_is_known_is_not_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(tmp_path / "run")
    result = evaluate(folder, views=2)
    before = (folder / "metrics.json").read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(measured, "_judge", fail)
    monkeypatch.setattr(measured, "read_ply", fail)
    assert evaluate(folder, views=2) == result
    assert (folder / "metrics.json").read_bytes() == before
    with pytest.raises(AssertionError, match="was asked for"):
        evaluate(folder, views=3)
    (folder / "asset.ply").write_bytes((folder / "asset.ply").read_bytes() + b"x")
    with pytest.raises(AssertionError, match="was asked for"):
        evaluate(folder, views=2)


def test_a_folder_of_runs_is_its_runs(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    assert members(run) == [run]
    assert members(tmp_path / "nowhere") == [tmp_path / "nowhere"]
    comparison, bench = tmp_path / "compare", tmp_path / "bench"
    (bench / "runs").mkdir(parents=True)
    comparison.mkdir()
    store.write_json(comparison / "comparison.json", {"runs": [{"folder": "b"}, {"folder": "a"}]})
    assert members(comparison) == [comparison / "b", comparison / "a"]
    for name in ("b", "a", "going-on"):
        run_folder(bench / "runs" / name)
    for name in ("b", "a"):
        store.write_json(bench / "runs" / name / "result.json", {})
    assert members(bench) == [bench / "runs" / "a", bench / "runs" / "b"]
    store.write_json(bench / "bench.json", {"results": [{"folder": "b"}]})
    assert members(bench) == [bench / "runs" / "b"]


@pytest.mark.parametrize("results", [[], 3, [{"folder": "../x"}], [{"folder": ""}]])
def test_a_damaged_list_of_runs_is_refused(tmp_path: Path, results: object) -> None:
    store.write_json(tmp_path / "bench.json", {"results": results})
    with pytest.raises(CheckpointError, match=r"bench\.json names no"):
        members(tmp_path)
