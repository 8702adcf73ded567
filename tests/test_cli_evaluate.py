"""``maquette evaluate`` on many runs: tables, JSON, what is kept when something stops it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import small_networks
from maquette import cli, store
from maquette.metrics import evaluate as evaluate_module
from maquette.metrics import networks, protocols
from test_protocol_run import run_folder, small


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A tiny judge, small protocols, an empty cache."""
    judge = small_networks.trained() / "judge-tiny"
    for module in (evaluate_module, networks):
        monkeypatch.setattr(module, "packaged_judge", lambda: judge)
    monkeypatch.setattr(protocols, "protocol", small)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def runs(folder: Path, *names: str) -> list[Path]:
    return [run_folder(folder / name) for name in names]


def written(folder: Path, name: str = "metrics.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def cells(out: str, first: str) -> list[str]:
    """The cells of the row of a drawn table that begins so."""
    (line,) = [line for line in out.splitlines() if line.startswith(("│ ", "┃ ")) and first in line]
    return [cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")]


def test_a_table_has_a_row_for_each_run_and_their_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = runs(tmp_path, "one", "two")
    store.write_json(one / "recipe.json", {"recipe": {"name": "csd"}})
    (two / "timings.jsonl").write_text('{"step": 1, "seconds": 42.0}\n')
    assert cli.main(["evaluate", str(one), str(two), str(one)]) == 0
    told = capsys.readouterr()
    heads, first, second, mean = (cells(told.out, name) for name in ("run", "one", "two", "mean"))
    assert heads[:2] == ["run", "recipe"]
    assert first[:2] == ["one", "csd"]
    assert second[:2] == ["two", "-"]
    chamfer = heads.index("Chamfer")
    assert first[chamfer] == mean[chamfer] == f"{written(one)['chamfer']:.3f}"
    seconds = heads.index("seconds")
    assert (first[seconds], second[seconds], mean[seconds]) == ("-", "42", "42")
    assert "GPU MiB" not in heads
    assert told.err.count("Judging") == 2


def test_a_single_run_has_no_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = runs(tmp_path, "one")
    assert cli.main(["evaluate", str(one), "--quiet"]) == 0
    told = capsys.readouterr()
    assert "mean" not in told.out
    assert told.err == ""


def test_json_is_one_object_or_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = runs(tmp_path, "one", "two")
    assert cli.main(["evaluate", str(one), "--json"]) == 0
    told = capsys.readouterr()
    assert {"schema": store.SCHEMA, **json.loads(told.out)} == written(one)
    assert told.err == ""
    assert cli.main(["evaluate", str(two), str(one), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [{"schema": store.SCHEMA, **found} for found in listed] == [written(two), written(one)]


def test_the_runs_of_a_comparison_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(tmp_path, "b", "a")
    store.write_json(tmp_path / "comparison.json", {"runs": [{"folder": "b"}, {"folder": "a"}]})
    assert cli.main(["evaluate", str(tmp_path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert out.index("│ b ") < out.index("│ a ") < out.index("│ mean ")


@pytest.mark.parametrize("protocol", [[], ["--protocol", "ptd", "--models", "embedded"]])
def test_a_bad_folder_is_one_sentence_and_what_was_done_is_kept(
    protocol: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = runs(tmp_path, "good", "bad")
    name = "metrics-ptd.json" if protocol else "metrics.json"
    words = ["evaluate", str(good), str(bad)]
    flags = [*protocol, "--quiet"]
    assert cli.main([*words, str(tmp_path / "nowhere"), *flags]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1), told.err
    assert "nowhere is no run" in told.err
    assert not (good / name).exists()
    (bad / "asset.ply").write_bytes(b"ply\nbroken")
    assert cli.main([*words, *flags]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1), told.err
    assert "asset.ply" in told.err
    assert written(good, name)["prompt"]
    assert not (bad / name).exists()


def test_killed_after_the_first_run_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = runs(tmp_path, "one", "two")
    whole = evaluate_module.evaluate_run

    def stop(folder: Path) -> dict[str, Any]:
        if folder == two:
            raise KeyboardInterrupt
        return whole(folder)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_module, "evaluate_run", stop)
        assert cli.main(["evaluate", str(one), str(two)]) == 130
    assert (one / "metrics.json").is_file()
    assert not (two / "metrics.json").exists()
    os.utime(one / "metrics.json", ns=(7, 7))
    capsys.readouterr()
    assert cli.main(["evaluate", str(one), str(two)]) == 0
    assert (one / "metrics.json").stat().st_mtime_ns == 7
    assert (two / "metrics.json").is_file()


def test_a_protocol_is_a_table_with_what_was_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = runs(tmp_path, "one", "two")
    words = ["evaluate", str(one), str(two), "--protocol", "dreamer-xl", "--models", "embedded"]
    assert cli.main([*words, "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Dreamer XL (Miao et al. 2024), section 4.2 and table 1" in out
    assert "CLIP cosine, embedded judge instead of OpenAI ViT-L/14 and OpenCLIP ViT-L/14" in out
    value = written(one, "metrics-dreamer-xl.json")["columns"][0]["value"]
    assert cells(out, "one")[1] == cells(out, "over all")[1] == f"{value:.4g}"
    assert f"does not tell: {protocols.dreamer_xl().chosen}." in out
    assert "Left out, as nobody here can measure it: A-LPIPS by VGG, A-LPIPS by AlexNet." in out
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"] == "dreamer-xl"
    assert [run["folder"] for run in found["runs"]] == ["one", "two"]
    assert list(found["over_runs"].values()) == pytest.approx([value])


def test_captions_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = runs(tmp_path, "one")
    (tmp_path / "list.txt").write_text("a red mug\na blue mug\n")
    words = ["evaluate", str(one), "--protocol", "dreamfusion", "--models", "embedded", "--quiet"]
    assert cli.main(words) == 0
    assert written(one, "metrics-dreamfusion.json")["captions_sha256"] is None
    assert cli.main([*words, "--captions", str(tmp_path / "list.txt")]) == 0
    assert written(one, "metrics-dreamfusion.json")["captions_sha256"]
    capsys.readouterr()
    assert cli.main([*words, "--captions", str(tmp_path / "nowhere.txt")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--protocol", "ptd"], "hf download openai/clip-vit-large-patch14 --include"),
        (["--protocol", "ptd", "--models", "."], "OpenCLIP ViT-bigG-14 are not on this disk"),
        (["--protocol", "ptd", "--models", "no/such"], "There is no folder no/such"),
        (["--models", "embedded"], "Name one with --protocol"),
        (["--captions", "list.txt"], "Name one with --protocol"),
    ],
)
def test_what_is_missing_or_asked_wrongly_is_exit_2_and_writes_nothing(
    flags: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = runs(tmp_path, "one")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", str(one), *flags, "--quiet"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1), told.err
    assert sentence in told.err
    assert not list(one.glob("metrics*"))


def test_no_run_or_an_unknown_protocol_is_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate"]) == 2
    assert "No run is given" in capsys.readouterr().err
    monkeypatch.undo()
    (one,) = runs(tmp_path, "one")
    assert cli.main(["evaluate", str(one), "--protocol", "dreamfuson"]) == 2
    assert "The nearest is dreamfusion" in capsys.readouterr().err
