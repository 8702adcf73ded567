"""Ctrl-C, SIGTERM and SIGHUP: the step is finished and saved, the exit code is the signal's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
from maquette import cli, generation, store
from maquette.checkpoints import checkpoints_in
from maquette.run import Run
from maquette.signals import Signals, Stopped

InChild = Callable[[Callable[[], int]], int]
CLI = [
    *("generate", tiny.PROMPT, "--recipe", f"{tiny.__file__}:recipe", "--quiet"),
    *("--prior", f"{tiny.__file__}:prior", "--preview-every", "0", "--no-turntable"),
]


def send(number: int, times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_a_step_saves_that_step(
    number: signal.Signals, tmp_path: Path, unharmed: Path, in_child: InChild
) -> None:
    def stopped() -> int:
        try:
            tiny.make(tmp_path, on_report=lambda r: r.step == 13 and send(number))
        except Stopped as stop:
            return stop.exit_code if (stop.step, stop.folder.parent) == (13, tmp_path) else 1
        return 0

    assert in_child(stopped) == 128 + number
    folder = tmp_path / unharmed.name
    assert [p.name for p in checkpoints_in(folder / "checkpoints")] == [
        "step-000013",
        "step-000010",
    ]
    assert tiny.digest(tiny.go_on(folder).folder) == tiny.digest(unharmed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_through_the_command_line_tells_how_to_go_on(
    number: int,
    code: int,
    tmp_path: Path,
    unharmed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda: send(number))
        before = signal.getsignal(signal.SIGTERM)
        try:
            assert cli.main([*CLI, "--out", str(tmp_path)]) == code
        finally:
            signal.signal(signal.SIGTERM, before)
    (folder,) = tmp_path.iterdir()
    said = capsys.readouterr().err
    assert said == (
        f"maquette: Stopped and saved at step 7. Go on with: maquette resume {folder}\n"
    )
    signal.signal(signal.SIGTERM, before)
    tiny.go_on(folder)
    assert tiny.digest(folder)["asset.ply"] == tiny.digest(unharmed)["asset.ply"]


def at_step(patch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    real = generation.Journal.add

    def add(self: generation.Journal, report: generation.Report) -> None:
        real(self, report)
        if report.step == step:
            act()

    patch.setattr(generation.Journal, "add", add)


@pytest.mark.parametrize("place", ["save", "asset", "preview", "start"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_signal_inside_anything_loses_nothing(
    place: str, times: int, tmp_path: Path, unharmed: Path, in_child: InChild
) -> None:
    """Two signals in the same moment are one Ctrl-C, as some terminals send it."""
    target, name, at = {
        "save": (store, "_write", 30),
        "asset": (generation, "write_asset", 1),
        "preview": (generation, "write_preview", 1),
        "start": (Run, "start", 1),
    }[place]

    def stopped() -> int:
        calls = 0
        real = getattr(target, name)

        def interrupted(*args: object, **kwargs: object) -> object:
            nonlocal calls
            # A rehearsal starts runs too, of no prompt, before there is anything to lose.
            calls += args[:1] != ("",)
            if calls == at:
                send(signal.SIGINT, times)
            return real(*args, **kwargs)

        setattr(target, name, staticmethod(interrupted) if target is Run else interrupted)
        try:
            tiny.make(tmp_path)
        except Stopped as stop:
            return stop.exit_code
        return 0

    assert in_child(stopped) == 130
    folder = tmp_path / unharmed.name
    assert not [p for p in folder.rglob("*") if ".part" in p.name]
    assert tiny.digest(tiny.make(tmp_path).folder) == tiny.digest(unharmed)


def test_second_ctrl_c_after_a_moment_leaves_at_once(in_child: InChild) -> None:
    def impatient() -> int:
        with Signals() as signals:
            send(signal.SIGINT)
            if signals.caught != signal.SIGINT:
                return 1
            signals._when -= 60  # A minute ago.
            try:
                send(signal.SIGINT)
                time.sleep(0)
            except KeyboardInterrupt:
                return 130
        return 2

    assert in_child(impatient) == 130


def test_signals_are_handed_back_and_ignored_ones_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with Signals() as signals:
            assert signal.getsignal(signal.SIGINT) is not handler
            send(signal.SIGHUP)
            assert signals.caught is None
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_is_a_keyboard_interrupt_so_that_loops_over_prompts_end() -> None:
    assert issubclass(Stopped, KeyboardInterrupt)
    assert Stopped(signal.SIGTERM, Path("x"), 3).exit_code == 143
