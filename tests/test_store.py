"""Files that are whole or absent: round trips, refusals, and what failing calls leave behind."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from maquette import store
from maquette.errors import CheckpointError, DiskError

FILES = {"a.bin": b"alpha" * 100, "b.bin": b"", "c.bin": bytes(range(256))}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    store.write_file(path, b"one")
    store.write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert names_in(tmp_path) == ["a.txt"]


def test_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    store.write_file(path, b"old")

    def fail_half_way() -> None:
        with store.whole_file(path) as temporary:
            assert temporary.suffix == ".png"
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.png"]


def test_json_comes_back_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"ü": [1, 2.5, None]})
    assert store.read_json(path) == {"schema": store.SCHEMA, "ü": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[1]", "does not hold"),
        ("{}", "schema None"),
        ('{"schema": 999}', "schema 999"),
        ("[" * 100_000, "no JSON"),
        ('{"schema": "1"}', "schema '1'"),
    ],
)
def test_json_that_is_not_ours_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=sentence):
        store.read_json(path)


def test_sealed_folder_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "step-1"
    store.write_sealed(folder, FILES, {"step": 1, "words": "ß"})
    manifest, files = store.read_sealed(folder)
    assert files == FILES
    assert (manifest["step"], manifest["words"]) == (1, "ß")
    assert names_in(folder.parent) == ["step-1"]


def test_sealed_folder_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "step-1"
    store.write_sealed(folder, FILES, {"step": 1})
    (folder / "a.bin").write_bytes(b"damaged")
    store.write_sealed(folder, {"d.bin": b"new"}, {"step": 1})
    assert store.read_sealed(folder)[1] == {"d.bin": b"new"}
    assert names_in(tmp_path) == ["step-1"]


def test_leftovers_of_killed_writers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".part-step-2", ".old-step-1", "step-0", ".lock-like"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"x")
    store.write_sealed(tmp_path / "step-3", FILES, {})
    assert names_in(tmp_path) == [".lock-like", "step-0", "step-3"]


def test_manifest_that_names_a_file_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "step-1"
    store.write_sealed(folder, FILES, {})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {"../secret": {"sha256": "0", "bytes": 1}}
    del manifest["seal"]
    manifest["seal"] = store.sha256_of(store.canonical(manifest))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside itself"):
        store.read_sealed(folder)


@pytest.mark.parametrize("damage", ["pipe", "link", "folder", "absent", "huge"])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "step-1"
    store.write_sealed(folder, FILES, {})
    victim = folder / "a.bin"
    victim.rename(tmp_path / "moved")
    if damage == "pipe":
        os.mkfifo(victim)
    elif damage == "link":
        victim.symlink_to(tmp_path / "moved")
    elif damage == "folder":
        victim.mkdir()
    elif damage == "huge":
        with victim.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(CheckpointError):
        store.read_sealed(folder)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "disk is full: .*a.txt could not be written .3 bytes were needed and"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "Read-only file system.*--out"),
        (errno.EACCES, "Permission denied.*--out"),
        (errno.EIO, "Input/output error.*Check the disk"),
    ],
)
def test_errors_of_the_disk_name_path_and_remedy(tmp_path: Path, code: int, sentence: str) -> None:
    with pytest.raises(DiskError, match=sentence), store.disk_errors(tmp_path / "a.txt", 3):
        raise OSError(code, os.strerror(code))
    assert DiskError.exit_code == 74


def test_what_reads_back_differently_is_a_disk_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(store, "os", _Proxy(write=lambda h, d: real(h, bytes(len(d)))))
    with pytest.raises(DiskError, match="reads back differently"):
        store.write_sealed(tmp_path / "step-1", FILES, {})


class _Proxy:
    """The os module with some functions replaced."""

    def __init__(self, **changed: object) -> None:
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(store, "os", _Proxy(write=lambda h, d: real(h, d[:7])))
    store.write_sealed(tmp_path / "step-1", FILES, {"step": 1})
    assert store.read_sealed(tmp_path / "step-1")[1] == FILES
