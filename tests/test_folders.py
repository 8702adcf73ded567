"""Names from prompts, paths that stay inside, preconditions of an output folder, and the lock."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette import folders
from maquette.errors import DiskError, InputError, RefusedError, RunError

NASTY = [
    "../../etc/passwd",
    "..",
    "/",
    "\\\\server\\share",
    "C:\\con",
    "con",
    "NUL.txt",
    "-rf *",
    ".hidden",
    "a" * 900,
    "💥" * 300,
    "ＦＵＬＬ　ＷＩＤＴＨ",
    "\u202egnp.exe",
    "红蓝相间的杯子",
    "кружка",
    "a\u0301" * 200,
    "ǅ" * 100,
    "%2e%2e%2f",
    "<script>alert(1)</script>",
    "$(reboot)`reboot`",
    "a/b\0c",
]


def is_safe(name: str) -> bool:
    return (
        len(name.encode()) <= 120
        and len(name) <= 71
        and name == unicodedata.normalize("NFC", name)
        and all(c.isalnum() or c == "-" for c in name)
        and not name.startswith("-")
        and Path(name).name == name
    )


@given(st.text(max_size=1000))
@settings(max_examples=500, deadline=None)
def test_any_prompt_gives_a_safe_folder_name(prompt: str) -> None:
    assert is_safe(folders.slug(prompt) + "-0123456789")


@pytest.mark.parametrize("prompt", NASTY)
def test_nasty_prompt_gives_a_safe_folder_name(prompt: str) -> None:
    name = folders.run_name(prompt, 0, {}, "embedded")
    assert is_safe(name)
    assert folders.safe_join(Path("runs"), name).parent == Path("runs")


def test_name_is_readable() -> None:
    assert folders.slug("A red & blue   mug!") == "a-red-blue-mug"
    assert folders.slug("!?") == "prompt"
    assert folders.slug("Tasse à café") == "tasse-à-café"


def test_name_tells_apart_all_that_makes_another_run() -> None:
    base = ("a mug", 0, {"name": "ism", "steps": 3}, "embedded")
    others = [
        ("A mug", 0, base[2], "embedded"),
        ("a  mug", 0, base[2], "embedded"),
        ("a mug", 1, base[2], "embedded"),
        ("a mug", 0, {"name": "ism", "steps": 4}, "embedded"),
        ("a mug", 0, base[2], "sd"),
    ]
    names = {folders.run_name(*run).casefold() for run in [base, *others]}
    assert len(names) == 6
    assert folders.run_name(*base) == folders.run_name(
        "a mug", 0, {"steps": 3, "name": "ism"}, "embedded"
    )


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("", "empty"),
        (" \t\n ", "empty"),
        ("a" * 10_000, "10,000 characters, and 1,000 is the limit"),
        ("a\x00b", "U.0000 at place 1"),
        ("a\x1b[31mb", "U.001B at place 1"),
        ("a\nb", "U.000A"),
        ("a\ud800", "U.D800"),
    ],
)
def test_bad_prompt_is_refused_in_a_sentence(prompt: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        folders.check_prompt(prompt)


def test_good_prompt_is_trimmed_and_composed() -> None:
    assert folders.check_prompt("  cafe\u0301 ") == "café"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "a\0", "x/.."])
def test_path_that_leaves_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError):
        folders.safe_join(tmp_path, name)


def test_link_inside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(RefusedError, match="link"):
        folders.safe_join(tmp_path, "link", "passwd")
    assert folders.safe_join(tmp_path, "new", "er") == tmp_path / "new" / "er"


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    for out in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(InputError, match="is a file"):
            folders.check_output(out, 0)


def test_output_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DiskError, match="may not be written to"):
        folders.check_output(tmp_path / "new", 0)


def test_output_with_too_little_space_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(DiskError, match="1,000 bytes free, and a run needs 1,001"):
        folders.check_output(tmp_path, 1001)
    folders.check_output(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


def test_lock_is_held_once_and_let_go(tmp_path: Path) -> None:
    with (
        folders.lock(tmp_path),
        pytest.raises(RunError, match="already running"),
        folders.lock(tmp_path),
    ):
        pass
    with folders.lock(tmp_path):
        pass
