"""The data of a benchmark's page: true to its folder, bounded, and refused where it is damaged."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import report_folders as made
from maquette import cli
from maquette.bench.statistics import interval
from maquette.bench.toy import sheet_path
from maquette.errors import InputError
from maquette.export.sheet import contact_sheet, cut_sheet
from maquette.report import showcase
from maquette.report.benchmark import gather_benchmark
from maquette.report.page import page, write_report
from maquette.store import read_json, write_json

NAMES = ("own", "other", "third one")
ENDS = ("mean", "low", "high", "count")
PROMPTS = ("a red mug", "a yellow and orange duck", "a green cactus", "a blue ball", "a red cube")


def _quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.bench(tmp_path_factory.mktemp("bench") / "bench", NAMES, PROMPTS, 2)


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, Any]:
    return gather_benchmark(folder, _quiet)


def shown_of(folder: Path, **allowances: int) -> dict[str, Any]:
    facts = read_json(folder / "bench.json")
    with pytest.MonkeyPatch.context() as patch:
        for name, allowance in allowances.items():
            patch.setattr(showcase, name.upper(), allowance)
        parts = (facts["results"], facts["prompts"], facts["seeds"])
        return showcase.showcase(folder, *parts, _quiet)


def with_part(runs: list[dict[str, Any]], part: str) -> set[tuple[str, int]]:
    return {(run["prompt"], run["seed"]) for run in runs if run[part] is not None}


def test_tables_are_those_of_the_file(folder: Path, data: dict[str, Any]) -> None:
    table = read_json(folder / "bench.json")["table"]
    for part in ("rows", "unseen", "leads"):
        told = {
            name: {k: [v[end] for end in ENDS] for k, v in row.items() if v is not None}
            for name, row in table[part].items()
        }
        assert data[part] == told
    keys = [column["key"] for column in data["columns"]]
    assert keys[:2] == ["prompt_right", "kind_right"]
    assert "pattern_right" not in keys  # Known of nobody.
    assert {c["key"]: c["better"] for c in data["columns"]}["janus"] == -1
    assert [prompt["unseen"] for prompt in data["prompts"]] == [False, True, False, False, False]


def test_curves_are_means_over_prompts_with_the_tables_intervals(data: dict[str, Any]) -> None:
    curve = data["curves"]["own"]
    # Ten runs of which number n needed n evaluations more, and scored n more.
    assert curve["evaluations"] == [48 + 4.5, 96 + 4.5]
    values = {(p, s): 20.0 + 2 * n + s for n, p in enumerate(PROMPTS) for s in range(2)}
    found = interval(values)
    ends = [found.mean, found.low, found.high, len(PROMPTS)]
    assert curve["series"]["clip_score"][1] == pytest.approx(ends)
    assert found.low < found.mean < found.high
    assert "pattern_right" not in curve["series"]


def test_each_run_has_its_own_row_of_the_sheet(data: dict[str, Any]) -> None:
    for number, run in enumerate(data["runs"]):
        sides = np.asarray(Image.open(io.BytesIO(base64.b64decode(run["sides"]["data"]))))
        assert sides.shape == (2 * 18 - 2, 4 * 18 - 2, 3)
        place, row = divmod(number, len(PROMPTS) * 2)
        for side in range(8):
            y, x = 18 * (side // 4) + 8, 18 * (side % 4) + 8
            wanted = [20 * (8 * row + side) % 256, 100 * place, 0]
            assert np.abs(sides[y, x].astype(int) - wanted).max() <= 6


def test_a_small_benchmark_is_shown_whole(data: dict[str, Any]) -> None:
    assert all(run["model"]["count"] == 60 and run["sides"] for run in data["runs"])
    assert data["notes"] == []


def test_what_exceeds_the_allowance_is_left_out_evenly_and_said(folder: Path) -> None:
    one = sum(len(c["data"]) for c in shown_of(folder)["runs"][0]["model"]["columns"].values())
    shown = shown_of(folder, model_bytes=7 * one, side_bytes=1)
    # Sets of three assets: two fit. The first half is not preferred to the second.
    assert with_part(shown["runs"], "model") == {(PROMPTS[0], 0), (PROMPTS[4], 0)}
    assert with_part(shown["runs"], "sides") == {(PROMPTS[0], 0)}
    assert len(shown["runs"]) == 30
    assert len(shown["notes"]) == 2
    assert shown["notes"][0].startswith("6 of 30 assets can be turned here")
    assert shown["notes"][1].startswith("Of 27 assets no picture is here")
    # All of the first seed come before the second.
    shown = shown_of(folder, model_bytes=6 * 3 * one)
    assert with_part(shown["runs"], "model") == {(p, 0) for p in PROMPTS} | {(PROMPTS[0], 1)}


def test_assets_too_large_for_the_page_lose_what_covers_least(folder: Path) -> None:
    shown = shown_of(folder, model_bytes=3 * 1000)
    models = [run["model"] for run in shown["runs"] if run["model"]]
    assert len(models) == 3
    assert all(10 < model["count"] < 60 for model in models)
    assert sum(len(c["data"]) for m in models for c in m["columns"].values()) <= 3000
    assert shown["notes"][-1] == "Of 3 assets the view shows only the Gaussians that cover most."


def test_seventeen_recipes_on_twelve_prompts_stay_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, asset = [f"recipe {i}" for i in range(17)], made.scene(3000)
    kinds = ("mug", "ball", "cube", "can", "hat", "dog", "cat", "pig", "cow", "owl", "bus", "car")
    prompts = [f"a red {kind}" for kind in kinds]
    monkeypatch.setattr(made, "write_ply", _once(made.write_ply))
    folder = made.bench(tmp_path / "b", names, prompts, 2, assets=[asset] * 17)
    size = write_report([folder], tmp_path / "page.html")
    assert 10e6 < size < 25e6
    runs = gather_benchmark(folder, _quiet)["runs"]
    assert len(runs) == 408
    assert all(run["sides"] for run in runs)
    assert sum(run["model"] is not None for run in runs) >= 5 * 17


def _once(write: Any) -> Any:
    """Writes the first asset and links the others to it."""
    first: list[Path] = []

    def linked(path: Path, asset: Any) -> None:
        if not first:
            write(path, asset)
            first.append(path)
        else:
            path.hardlink_to(first[0])

    return linked


def test_the_same_folder_gives_the_same_bytes_and_stays_as_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in ("a", "b"):
        words = ["report", str(folder), "--out", str(tmp_path / name), "--quiet"]
        assert cli.main(words) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_name_is_text_whatever_it_says(tmp_path: Path) -> None:
    folder = made.bench(tmp_path / "bench", ("own",), (made.EVIL,))
    text = page({"bench": gather_benchmark(folder, _quiet)})
    assert "<b>bold" not in text
    assert text.count("example.com") == 2  # Of the list of prompts, and of the run.


def test_a_sheet_comes_apart_into_its_pictures() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (6, 9, 7, 3), np.uint8)
    sheet = contact_sheet(pictures, 3, row_captions=["one", "two"])
    assert np.array_equal(cut_sheet(sheet, 2, 3), pictures.reshape(2, 3, 9, 7, 3))
    for rows, columns in ((5, 3), (2, 2), (50, 3)):
        with pytest.raises(InputError, match="has no"):
            cut_sheet(sheet, rows, columns)


def _change(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        facts = read_json(folder / "bench.json")
        del facts["schema"]
        write_json(folder / "bench.json", {**facts, **changes})

    return change


def _row(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        first, *others = read_json(folder / "bench.json")["results"]
        _change(results=[{**first, **changes}, *others])(folder)

    return change


def _unlink(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _write(name: str, data: bytes) -> Any:
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_write("bench.json", b"{"), "bench.json is no JSON file"),
        (_change(results=3), "is no intact benchmark. Run maquette bench again"),
        (_change(table={}), "is no intact benchmark"),
        (_change(entrants=["own"]), "is no intact benchmark"),
        (_row(entrant="nobody"), "is no intact benchmark"),
        (_row(folder="../../x"), "is no intact benchmark"),
        (_row(folder=".."), "is no intact benchmark"),
        (_row(prompt_right="much"), "is no intact benchmark"),
        (_row(curve=[{"step": 1}]), "is no intact benchmark"),
        (_row(curve=[{"step": 1, "evaluations": 4, "halo": "x"}]), "is no intact benchmark"),
        (_unlink("runs/0-0-0/asset.ply"), "has no asset"),
        (_write("runs/0-0-0/asset.ply", b"x"), "This is no PLY file"),
        (_unlink("sheet-own.png"), "sheet-own.png is no intact sheet of 2 assets"),
        (_write("sheet-own.png", b"\x89PNG\r\n\x1a\nx"), "is no intact sheet of 2 assets"),
    ],
)
def test_a_damaged_benchmark_is_one_sentence_and_no_page(
    change: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = made.bench(tmp_path / "bench"), tmp_path / "report.html"
    change(folder)
    assert cli.main(["report", str(folder), "--out", str(out), "--quiet"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert not out.exists()


def test_a_benchmark_has_a_page_of_its_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made.run(tmp_path / "run")
    words = ["report", str(run), str(folder), "--out", str(tmp_path / "page.html")]
    assert cli.main(words) == 2
    assert "a page shows one of them and nothing else. Give it alone" in capsys.readouterr().err


def test_the_benchmark_names_its_sheets_as_the_page_looks_for_them(folder: Path) -> None:
    assert sheet_path(folder, "third one").name == "sheet-third-one.png"
    assert json.loads((folder / "bench.json").read_text())["entrants"][2]["name"] == "third one"
