"""Ctrl-C and its kin: a run finishes its step, saves, and then stops."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Signals", "Stopped"]

AGAIN_SECONDS = 1.0
"""A second signal within this time is the same Ctrl-C; a later one is impatience."""


class Stopped(KeyboardInterrupt):
    """A run was stopped by a signal after its state was saved.

    Attributes:
        signum: the signal.
        folder: of the run.
        step: that was saved.
        next_step: what the user can do about it; by default go on.
    """

    def __init__(self, signum: int, folder: Path, step: int, next_step: str = "") -> None:
        self.signum, self.folder, self.step = signum, folder, step
        self.next_step = next_step or f"Go on with: maquette resume {folder}"
        super().__init__(f"Stopped and saved at step {step}")

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended."""
        return 128 + self.signum


class Signals:
    """While this is entered, SIGINT, SIGTERM and SIGHUP are noted in ``caught`` instead of obeyed.

    Outside of the main thread it does nothing, as Python allows no more. A signal that was ignored
    (``nohup``) stays ignored. A second one, after a moment, ends the program at once, which costs
    no more than the steps since the last checkpoint.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.caught is not None and now - self._when > AGAIN_SECONDS:
            raise KeyboardInterrupt
        if self.caught is None:
            self.caught, self._when = number, now
