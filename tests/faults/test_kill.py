"""kill -9 at any moment: the run that is resumed until it is done ends in the same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

import tiny
from maquette.errors import MaquetteError


def run_and_kill(out: Path, seconds: float) -> bool:
    """Run the tiny run in a child that is killed after some seconds; True where it was quicker."""
    child = os.fork()
    if child == 0:
        try:
            tiny.make(out)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("trial", range(6))
def test_killed_at_random_moments_and_resumed(trial: int, tmp_path: Path, unharmed: Path) -> None:
    moment = random.Random(trial)
    kills = 0
    while kills < 3 and not run_and_kill(tmp_path, moment.uniform(0.02, 0.5)):
        kills += 1
    result = tiny.make(tmp_path)
    assert tiny.digest(result.folder) == tiny.digest(unharmed)
    assert [path.name for path in tmp_path.iterdir()] == [unharmed.name]


def test_killed_in_a_chosen_step_and_resumed_by_its_folder(tmp_path: Path, unharmed: Path) -> None:
    child = os.fork()
    if child == 0:
        tiny.make(
            tmp_path, on_report=lambda r: r.step == 23 and os.kill(os.getpid(), signal.SIGKILL)
        )
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    folder = tmp_path / unharmed.name
    told: list[str] = []
    # What was told after the checkpoint is told again: lines of the steps 21 to 23 are cut off.
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 23
    result = tiny.go_on(folder, announce=told.append)
    assert told == ["Going on from step 20 of 40"]
    assert tiny.digest(result.folder) == tiny.digest(unharmed)


def test_half_a_line_of_metrics_is_cut_off(tmp_path: Path, unharmed: Path) -> None:
    child = os.fork()
    if child == 0:
        tiny.make(tmp_path, on_report=lambda r: r.step == 12 and os._exit(0))
    os.waitpid(child, 0)
    with (tmp_path / unharmed.name / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "lo')
    assert tiny.digest(tiny.make(tmp_path).folder) == tiny.digest(unharmed)


def test_lost_metrics_are_told_and_do_not_stop_a_run(tmp_path: Path, unharmed: Path) -> None:
    child = os.fork()
    if child == 0:
        tiny.make(tmp_path, on_report=lambda r: r.step == 12 and os._exit(0))
    os.waitpid(child, 0)
    (tmp_path / unharmed.name / "metrics.jsonl").unlink()
    told: list[str] = []
    result = tiny.make(tmp_path, announce=told.append)
    assert any("lost lines" in sentence for sentence in told)
    assert tiny.digest(result.folder)["asset.ply"] == tiny.digest(unharmed)["asset.ply"]


def test_a_finished_run_is_returned_as_it_is(unharmed: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in unharmed.rglob("*") if p.name != ".lock"}
    told: list[str] = []
    for again in (tiny.make(unharmed.parent, announce=told.append), tiny.go_on(unharmed)):
        assert not again.fresh
        assert (again.folder, again.step, again.evaluations > 0) == (unharmed, tiny.STEPS, True)
    assert told == [f"This run is finished already: {unharmed}"]
    assert before == {p: p.stat().st_mtime_ns for p in unharmed.rglob("*") if p.name != ".lock"}


def test_a_run_that_is_running_is_refused(tmp_path: Path, unharmed: Path) -> None:
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:

        def wait(_: object) -> None:
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            os._exit(0)

        tiny.make(tmp_path, on_report=wait)
    os.read(ready[0], 1)
    try:
        for again in (lambda: tiny.make(tmp_path), lambda: tiny.go_on(tmp_path / unharmed.name)):
            with pytest.raises(MaquetteError, match="already running in another process") as caught:
                again()
            assert caught.value.exit_code == 1
    finally:
        os.write(go[1], b"1")
        os.waitpid(child, 0)
        for end in (*ready, *go):
            os.close(end)
    assert tiny.digest(tiny.make(tmp_path).folder) == tiny.digest(unharmed)
