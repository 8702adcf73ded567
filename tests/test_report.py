"""The page about runs: one file, harmless, light, and true to the folders it tells of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import report_folders as made
import tiny
from maquette import cli
from maquette.errors import MaquetteError
from maquette.export.backdrop import BACKDROPS
from maquette.metrics.cost import total_seconds
from maquette.report import media, page
from maquette.report.curves import POINTS, read_curves
from maquette.report.gather import gather
from maquette.report.splats import LEVELS, packed, unpacked

ROOT = Path(__file__).parent.parent


class Reader(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _quiet(_: str) -> None:
    pass


def collect(*folders: Path) -> dict[str, Any]:
    return gather(folders, _quiet)


def data_of(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


@pytest.fixture(autouse=True)
def _short_films(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "FRAMES", 4)
    monkeypatch.setattr(media, "FRAME_SIZE", 32)
    monkeypatch.setattr(media, "SIDE_SIZE", 24)


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with scores."""
    scores = {"kind_right": 0.75, "clip_score": 21.5, "janus": 1.0, "false_fronts": {"back": 0.5}}
    return made.run(tmp_path_factory.mktemp("runs") / "duck", scores=scores)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_real_run_becomes_one_file_and_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tiny.make(tmp_path / "runs")
    before, out = contents(result.folder), tmp_path / "pages" / "report.html"
    out.parent.mkdir()
    assert cli.main(["report", str(result.folder), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert "Reading" in told.err
    assert list(out.parent.iterdir()) == [out]
    assert contents(result.folder) == before
    (run,) = data_of(out.read_text())["runs"]
    facts = run["facts"]
    assert (facts["prompt"], facts["recipe"], facts["seed"]) == (tiny.PROMPT, "tiny", 0)
    assert facts["evaluations"] == result.evaluations
    assert run["curves"]["step"] == list(range(1, tiny.STEPS + 1))
    assert facts["gaussians"] == run["model"]["count"] <= result.scene.count
    assert facts["seconds"] > 0.0
    # The same folder gives the same bytes.
    assert cli.main(["report", str(result.folder), "--out", str(tmp_path / "b"), "--quiet"]) == 0
    assert (tmp_path / "b").read_bytes() == out.read_bytes()


def test_page_refers_to_nothing_outside_and_runs_only_its_own_scripts(duck: Path) -> None:
    text = page.page(collect(duck))
    reader = Reader(text)
    addresses = ("src", "href", "srcset", "action", "poster", "data", "style")
    assert not [tag for tag in reader.tags if any(name in tag[1] for name in addresses)]
    assert not [name for _, attributes in reader.tags for name in attributes if name[:2] == "on"]
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert len(styles) == 1
    assert not re.search(r"url\(|@import", "".join(styles))
    policy = next(a["content"] for _, a in reader.tags if "http-equiv" in a) or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == len(page.SCRIPTS)
    for part in [*scripts, *styles]:
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_a_prompt_is_text_whatever_it_says(tmp_path: Path) -> None:
    folder = made.run(tmp_path / "run", made.EVIL)
    text = page.page(collect(folder))
    assert data_of(text)["runs"][0]["facts"]["prompt"] == made.EVIL
    tags = [tag for tag, _ in Reader(text).tags]
    assert not {"b", "img"} & set(tags)
    assert tags.count("script") == len(page.SCRIPTS) + 2
    assert text.count("example.com") == 1
    assert "\u2028" not in text


def test_own_scripts_never_make_markup_of_text() -> None:
    own = [name for name in page.SCRIPTS if "/" not in name]
    for name in own:
        source = files("maquette.report").joinpath(name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", source)
        assert not re.search(r"fetch\(|XMLHttpRequest|import\(|new Worker|WebSocket", source), name
        assert len(source.splitlines()) <= 350


def test_table_holds_every_number_of_the_judge(duck: Path) -> None:
    data = collect(duck)
    (run,) = data["runs"]
    assert run["facts"] == {
        **{"prompt": "a duck", "recipe": "csd", "seed": 0, "seconds": 3.0, "evaluations": 48},
        **{"gaussians": 400, "kind_right": 0.75, "clip_score": 21.5, "janus": 1.0},
        "false_fronts: back": 0.5,
    }
    told = ["prompt", "recipe", "seed", "seconds", "evaluations", "gaussians"]
    told += ["kind_right", "clip_score", "janus"]
    assert [column["key"] for column in data["columns"]] == [*told, "false_fronts: back"]
    assert run["sides"] == {"right kind": [1.0, 0.0, None, 1.0]}
    where = "4 sides of 64 pixels, 15.0 degrees above the horizon, on the background"
    assert run["notes"] == [
        f"Judged from {where} [1.0, 1.0, 1.0], by judge-64.",
        "A ball has no front.",
    ]


def test_scores_of_another_asset_are_left_out(tmp_path: Path) -> None:
    folder = made.run(tmp_path / "run", scores={"clip_score": 30.0})
    made.write_ply(folder / "asset.ply", made.scene(seed=1))
    (run,) = collect(folder)["runs"]
    assert "clip_score" not in run["facts"]
    assert run["notes"] == ["No scores: those that are there are of another asset."]


def test_an_asset_without_a_result_tells_the_costs_of_its_journal(tmp_path: Path) -> None:
    folder = made.run(tmp_path / "run", steps=5)
    (folder / "result.json").unlink()
    (folder / "timings.jsonl").unlink()
    (run,) = collect(folder)["runs"]
    assert (run["facts"]["evaluations"], run["facts"]["seconds"]) == (20, None)


def test_curves_are_means_over_stretches_and_bear_half_a_line(tmp_path: Path) -> None:
    count = 2 * POINTS + 1
    lines = [
        {"step": i, "evaluations": 2 * i, "loss": float(i), "losses": {"a": None}, "t": [i, i + 2]}
        for i in range(1, count + 1)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(f'{text}[]\nNaN\n{{"step": {count + 1}, "eval')
    curves = read_curves(tmp_path)
    assert curves["step"] == [*range(3, count + 1, 3), count][: len(curves["step"])]
    assert len(curves["step"]) <= POINTS
    assert curves["evaluations"] == [2 * step for step in curves["step"]]
    assert curves["series"]["loss"][:2] == [2.0, 5.0]
    assert curves["series"]["t"][0] == 3.0
    assert set(curves["series"]["losses: a"]) == {None}
    assert read_curves(tmp_path / "nowhere") == {"step": [], "evaluations": [], "series": {}}
    assert total_seconds(tmp_path) is None


@pytest.mark.parametrize("degree", [0, 3])
def test_gaussians_are_packed_to_half_a_level(degree: int) -> None:
    scene = made.scene(50, degree)
    model = packed(scene)
    assert (model["count"], model["degree"]) == (50, degree)
    assert model["behind"] in BACKDROPS.values()
    quats = torch.nn.functional.normalize(scene.quats, dim=-1)
    wanted = {
        **{"means": scene.means, "log_scales": scene.scales.log(), "quats": quats},
        **{"opacities": scene.opacities, "sh": scene.sh},
    }
    assert set(model["columns"]) == set(wanted)
    for name, column in model["columns"].items():
        values = wanted[name].detach().double().flatten().numpy()
        level = (column["high"] - column["low"]) / LEVELS
        assert np.abs(unpacked(column) - values).max() <= 0.5001 * level, name


def test_of_too_many_gaussians_the_page_keeps_those_that_cover_most() -> None:
    scene = made.scene(60)
    parts = {name: value.clone() for name, value in scene.tensors().items()}
    parts["log_scales"][:] = -3.0
    parts["log_scales"][[7, 30]] = torch.tensor([[-1.0, -1.0, -9.0], [-1.0, -1.0, -9.0]])
    parts["logit_opacities"][:] = 2.0
    parts["logit_opacities"][30] = -20.0
    parts["log_scales"][41] = torch.tensor([2.0, -9.0, -9.0])  # Long, and thin as a hair.
    parts["log_scales"][50] = -2.5
    scene.replace(parts)
    model = packed(scene, most=2)
    assert model["count"] == 2
    kept = unpacked(model["columns"]["means"]).reshape(2, 3)
    assert np.allclose(kept, scene.means.detach()[[7, 50]], atol=1e-4)


def test_ten_assets_of_three_thousand_gaussians_stay_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # Films and sheets as large as they are.
    folder = made.run(tmp_path / "run", steps=1500, asset=made.scene(3000))
    data = collect(folder)
    size = len(page.page({**data, "runs": data["runs"] * 10}))
    assert size < 10e6
    assert len(page.page(data)) < 1.6e6


def test_a_drawing_brings_its_gradients(tmp_path: Path) -> None:
    data = collect(made.drawing(tmp_path / "a"), made.drawing(tmp_path / "b", figure=False))
    first, second = data["runs"]
    assert first["kind"] == second["kind"] == "drawing"
    assert (
        base64.b64decode(first["gradients"]["data"]) == (tmp_path / "a/gradients.png").read_bytes()
    )
    assert "gradients" not in second
    assert first["facts"]["recipe"] == "pgc"
    assert "gaussians" not in [column["key"] for column in data["columns"]]


def test_a_large_picture_becomes_a_smaller_one(tmp_path: Path) -> None:
    folder = made.drawing(tmp_path / "a")
    noise = np.random.default_rng(0).integers(0, 255, (600, 2000, 3), np.uint8)
    made.write_png(folder / "gradients.png", noise)
    (run,) = collect(folder)["runs"]
    assert run["gradients"]["type"] == "image/jpeg"
    assert len(run["gradients"]["data"]) < 1.4e6


def test_a_comparison_is_its_runs_and_its_sheet(tmp_path: Path) -> None:
    folder = made.comparison(tmp_path / "both", 4, 1)
    data = collect(folder, folder / "run-1", folder)
    assert [run["facts"]["seed"] for run in data["runs"]] == [4, 1]
    (sheet,) = data["sheets"]
    assert sheet["prompt"] == "a duck"
    assert base64.b64decode(sheet["picture"]["data"]) == (folder / "comparison.png").read_bytes()


def test_a_film_that_is_there_is_taken_and_a_broken_one_made_anew(tmp_path: Path) -> None:
    folder = made.run(tmp_path / "run")
    drawn = collect(folder)["runs"][0]["film"]
    assert drawn["type"] == "video/mp4"
    (folder / "turntable.gif").write_bytes(b"GIF89a and so on")
    taken = collect(folder)["runs"][0]["film"]
    assert taken["type"] == "image/gif"
    assert base64.b64decode(taken["data"]) == b"GIF89a and so on"
    (folder / "turntable.gif").write_bytes(b"nothing of the kind")
    assert collect(folder)["runs"][0]["film"] == drawn


def _no_run(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _without(name: str) -> Any:
    def make(folder: Path) -> Path:
        (made.run(folder) / name).unlink()
        return folder

    return make


def _broken(name: str, data: bytes = b"broken") -> Any:
    def make(folder: Path) -> Path:
        (made.run(folder) / name).write_bytes(data)
        return folder

    return make


def _bad_picture(folder: Path) -> Path:
    (made.drawing(folder) / "gradients.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def _climbing(folder: Path) -> Path:
    made.comparison(folder, 0)
    made.write_json(folder / "comparison.json", {"runs": [{"folder": "../x"}]})
    return folder


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder, "is no run: it has no run.json"),
        (_no_run, "is no run: it has no run.json"),
        (_without("asset.ply"), "has no asset.ply. Finish the run with maquette resume"),
        (_without("recipe.json"), "recipe.json cannot be read"),
        (_broken("asset.ply"), "This is no PLY file"),
        (_broken("run.json"), "is no JSON file"),
        (_broken("metrics.json"), "is no JSON file"),
        (_broken("run.json", b'{"schema": 1, "prompt": 3, "seed": 0}'), "no proper 'prompt'"),
        (_broken("recipe.json", b'{"schema": 1, "recipe": 3}'), "no proper 'recipe'"),
        (_bad_picture, "is no intact PNG file"),
        (_climbing, "names no proper folder: '../x'"),
    ],
)
def test_what_is_no_run_is_one_sentence_and_no_page(
    make: Any, sentence: str, duck: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = make(tmp_path / "folder"), tmp_path / "report.html"
    words = ["report", str(duck), str(folder), "--out", str(out), "--quiet"]
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert not out.exists()


def test_no_run_or_no_place_for_the_page_is_refused(
    duck: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in (
        (["report"], "No run is given"),
        (["report", str(duck), "--out", str(tmp_path)], "is a folder, not a page"),
        (["report", str(duck), "--out", str(tmp_path / "no/page.html")], "There is no folder"),
    ):
        assert cli.main(words) == 2
        assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_drawn_before_all_were_looked_at(duck: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(MaquetteError, match="is no run"):
        gather([duck, tmp_path], said.append)
    assert said == []


def test_vendored_library_is_the_pinned_one_with_its_licence() -> None:
    vendor = files("maquette.report").joinpath("vendor")
    pinned = json.loads((ROOT / "scripts/vendor/package.json").read_text())["dependencies"]
    source = vendor.joinpath("three.min.js").read_text()
    assert source.startswith(f"/* three.js {pinned['three']}, MIT, see LICENSE-three */")
    assert "The MIT License" in vendor.joinpath("LICENSE-three").read_text()
    assert len(source) < 700_000
    assert "</script" not in source
    locked = json.loads((ROOT / "scripts/vendor/package-lock.json").read_text())["packages"]
    assert locked["node_modules/three"]["version"] == pinned["three"]
