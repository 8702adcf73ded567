"""The wheel as it would be published: what is no Python must be in it too, to the last byte."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from maquette.report.page import LICENCES, SCRIPTS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built by the project's own build system, without the network."""
    out = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(out), versions=["standard"])
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_pages_have_their_files_their_library_and_its_licence(wheel: zipfile.ZipFile) -> None:
    report = [f"report/{name}" for name in (*SCRIPTS, *LICENCES, "page.css", "template.html")]
    study = [f"study/page/{name}" for name in ("index.html", "study.js", "study.css")]
    assert "report/vendor/three.min.js" in report
    for name in (*report, *study, "py.typed"):
        there = (ROOT / "src/maquette" / name).read_bytes()
        assert wheel.read(f"maquette/{name}") == there, name
    assert b"The MIT License" in wheel.read("maquette/report/vendor/LICENSE-three")


def test_every_file_of_the_package_is_in_it_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = (path for path in (ROOT / "src/maquette").rglob("*") if path.is_file())
    names = {path.relative_to(ROOT / "src").as_posix() for path in files}
    own = {name for name in names if "__pycache__" not in name}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == own
    assert len(packed) > 200


def test_it_says_what_it_is_and_brings_the_command(wheel: zipfile.ZipFile) -> None:
    about = {name.partition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert b"maquette = maquette.cli:main" in wheel.read(about["entry_points.txt"])
    assert b"License-Expression: Apache-2.0" in wheel.read(about["METADATA"])
    assert wheel.read(about["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
