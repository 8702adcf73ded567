"""A full, read-only or failing disk: exit code 74, a sentence, and the last checkpoint intact."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shim

import tiny
from maquette import cli, store
from maquette.checkpoints import checkpoints_in
from maquette.errors import DiskError, InputError

InChild = Callable[[Callable[[], int]], int]
CLI = [
    *("generate", tiny.PROMPT, "--recipe", f"{tiny.__file__}:recipe"),
    *("--prior", f"{tiny.__file__}:prior", "--checkpoint-every", "5", "--preview-every", "0"),
    *("--no-turntable", "--quiet"),
]


@pytest.mark.parametrize("code", [shim.FULL, shim.BROKEN])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "forever"])
def test_error_all_over_a_run(code: int, lasting: bool, tmp_path: Path, unharmed: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        system = shim.install(shim.System(), patch)
        tiny.make(tmp_path / "count")
    start = 11 + code
    for at in range(start, system.count, system.count // 3):
        out = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(DiskError):
            shim.install(shim.System(at, code, lasting=lasting), patch)
            tiny.make(out)
        assert tiny.digest(tiny.make(out).folder) == tiny.digest(unharmed)


def test_disk_that_fills_up_in_a_run_is_exit_74_and_resumes(
    tmp_path: Path,
    unharmed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        shim.install(shim.System(400, shim.FULL, lasting=True), patch)
        assert cli.main([*CLI, "--out", str(tmp_path)]) == 74
    said = capsys.readouterr().err
    assert said.startswith("maquette: The disk is full: ")
    assert str(tmp_path) in said
    assert "bytes were needed" in said
    assert "are free" in said
    assert len(said.splitlines()) == 1
    (folder,) = tmp_path.iterdir()
    assert checkpoints_in(folder / "checkpoints")
    tiny.go_on(folder)
    own = tiny.digest(folder)
    assert own["asset.ply"] == tiny.digest(unharmed)["asset.ply"]
    assert own["metrics.jsonl"] == tiny.digest(unharmed)["metrics.jsonl"]


def test_the_kernel_itself_refuses_to_write(
    tmp_path: Path, unharmed: Path, in_child: InChild
) -> None:
    """No stand-in: a limit on the size of files, which metrics run into after some steps."""

    def limited() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = (unharmed / "metrics.jsonl").stat().st_size
        largest = max(p.stat().st_size for p in unharmed.rglob("*"))
        try:
            tiny.make(tmp_path, on_report=lambda r: r.step == 1 and limit(max(size // 2, 1)))
        except DiskError as error:
            return error.exit_code + (largest == 0)
        return 0

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    assert in_child(limited) == 74
    assert tiny.digest(tiny.make(tmp_path).folder) == tiny.digest(unharmed)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A real file system of a few hundred kilobytes in memory."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs rights that this process does not have")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(
    shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount"
)
@pytest.mark.parametrize("size", ["60k", "110k", "160k"])
def test_a_real_disk_fills_up(
    size: str, tmp_path: Path, unharmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "maquette.generation.RESERVE_BYTES", -(1 << 40)
    )  # Let the run walk into it.
    with small_disk(tmp_path / "disk", size) as disk:
        with pytest.raises(DiskError, match="disk is full") as caught:
            tiny.make(disk / "runs")
        assert "0 are free" in str(caught.value) or "bytes were needed" in str(caught.value)
        kept = checkpoints_in(disk / "runs" / unharmed.name / "checkpoints")
        assert all(store.read_sealed(path) for path in kept)
        shutil.copytree(disk / "runs", tmp_path / "moved")
    assert tiny.digest(tiny.make(tmp_path / "moved").folder) == tiny.digest(unharmed)


@pytest.mark.skipif(
    shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount"
)
def test_a_real_disk_is_too_small_or_read_only_from_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "700k") as disk:
        with pytest.raises(DiskError, match="bytes free, and a run needs"):
            tiny.make(disk / "runs")
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(DiskError, match="may not be written to"):
            tiny.make(disk / "runs")


def test_a_file_where_the_folder_should_be_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(InputError, match="is a file, not a folder"):
        tiny.make(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_folder_without_rights_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim.folders, "os", _NoRights())
    with pytest.raises(DiskError, match="may not be written to"):
        tiny.make(tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


class _NoRights:
    def access(self, path: Path, mode: int) -> bool:
        return False

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
