"""Watching a run changes nothing: previews, cadences, callbacks, environments; one hash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tiny
from maquette.generation import Result
from maquette.records import Report
from maquette.run_folder import load

LASTING = ("asset.ply", "metrics.jsonl", "preview.png", "result.json", "recipe.json", "run.json")


def lasting(folder: Path) -> dict[str, str]:
    """What any way of watching must agree on: all but which checkpoints there are on the way."""
    whole = tiny.digest(folder)
    last = {name: digest for name, digest in whole.items() if "step-000040" in name}
    assert len(last) == 5
    return {**last, **{name: whole[name] for name in LASTING}}


def noisy(_: object) -> None:
    """A rude observer: it draws from every global stream there is."""
    import random

    import numpy as np

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    torch.randn(3)


WATCHES = {
    "a preview every step": {"preview_every": 1},
    "a preview every 7 steps": {"preview_every": 7},
    "a film": {"turntable": True, "checkpoint_every": 40},
    "a checkpoint every step": {"checkpoint_every": 1},
    "a checkpoint at the end": {"checkpoint_every": 1000},
    "a rude observer": {"on_report": noisy},
}


@pytest.mark.parametrize("watch", WATCHES)
def test_watching_changes_no_byte(watch: str, tmp_path: Path, unharmed: Path) -> None:
    result = tiny.make(tmp_path, **WATCHES[watch])
    assert lasting(result.folder) == lasting(unharmed)
    assert (result.folder / "turntable.mp4").is_file() == (watch == "a film")


def test_an_observer_may_render_the_scene_of_a_running_run(tmp_path: Path, unharmed: Path) -> None:
    seen: list[int] = []

    def look(_: object) -> None:
        (folder,) = tmp_path.iterdir()
        seen.append(load(folder).count)

    result = tiny.make(tmp_path, on_report=look)
    assert len(seen) == tiny.STEPS
    assert lasting(result.folder) == lasting(unharmed)


def test_from_another_folder(
    tmp_path: Path, unharmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tiny.make(Path("runs"))
    assert result.folder.resolve() == tmp_path / "runs" / unharmed.name
    assert tiny.digest(result.folder) == tiny.digest(unharmed)


def test_from_another_process_with_another_environment(tmp_path: Path, unharmed: Path) -> None:
    environment = {
        **os.environ,
        **{"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
        "PADDING": "x" * 3000,
    }
    subprocess.run(
        [sys.executable, str(tiny.__file__), str(tmp_path / "runs")],
        env=environment,
        cwd="/",
        check=True,
        umask=0o077,
    )
    assert tiny.digest(tmp_path / "runs" / unharmed.name) == tiny.digest(unharmed)


def test_an_observer_that_fails_ends_the_run_and_costs_nothing(
    tmp_path: Path, unharmed: Path
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tiny.make(tmp_path, on_report=fail)
    assert tiny.digest(tiny.make(tmp_path).folder) == tiny.digest(unharmed)


@pytest.mark.parametrize("again", [tiny.make, tiny.go_on], ids=["generate", "resume"])
def test_memory_that_is_used_up_leaves_a_resumable_run(
    again: Callable[[Path], Result], tmp_path: Path, unharmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maquette.scenes.gaussians import Gaussians

    real, calls = Gaussians.render, [0]

    def render(self: Gaussians, *args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] == 18:
            raise MemoryError
        return real(self, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patch:
        patch.setattr(Gaussians, "render", render)
        with pytest.raises(MemoryError):
            tiny.make(tmp_path)
    folder = tmp_path / unharmed.name
    result = again(tmp_path if again is tiny.make else folder)
    assert tiny.digest(result.folder) == tiny.digest(unharmed)


def test_a_run_goes_on_with_as_many_threads_as_it_began(tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(_: Report) -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 2:
            raise ZeroDivisionError

    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        tiny.make(tmp_path, on_report=watch)
    torch.set_num_threads(1)
    (folder,) = tmp_path.iterdir()
    tiny.go_on(folder, on_report=watch)
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1
