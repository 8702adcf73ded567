"""What a run shows while it goes: a bar on a terminal, now and then a line elsewhere, or nothing.

All of it goes to the standard error stream; the standard output carries results only. rich honours
NO_COLOR and TERM=dumb by itself.
"""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from maquette.records import Report

__all__ = ["Progress"]

LINES = 10
"""Lines of a whole run where there is no terminal."""


class Progress:
    """Shows reports and sentences; a context manager."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._bar: Bar | None = None
        self._task = None
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._quiet:
            self._bar = Bar(
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[facts]}"),
                console=self._console,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def announce(self, sentence: str) -> None:
        """Tell a sentence, above the bar where there is one."""
        if not self._quiet:
            self._console.print(sentence, markup=False, soft_wrap=True)

    def restart(self) -> None:
        """Forget the run so far: another one begins."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task, self._began = None, None

    def report(self, report: Report) -> None:
        """Show how far the run is."""
        if report.skipped:
            self.announce(f"Step {report.step} was skipped: {report.skipped} was not finite")
        if self._quiet:
            return
        if self._bar is None:
            self._line(report)
            return
        if self._task is None:
            self._task = self._bar.add_task("distilling", total=report.total_steps, facts="")
            # The time left is judged by the steps of this process, not by those before a resume.
            self._bar.reset(self._task, completed=report.step - 1)
        self._bar.update(self._task, completed=report.step, facts=_facts(report))

    def _line(self, report: Report) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now, report.step
        every = max(1, math.ceil(report.total_steps / LINES))
        if report.step % every and report.step != report.total_steps:
            return
        began, first = self._began
        done = report.step - first
        left = (now - began) / done * (report.total_steps - report.step) if done else 0.0
        place = f"step {report.step}/{report.total_steps}"
        print(f"{place}  {left:.0f} s left  {_facts(report)}", file=sys.stderr, flush=True)


def _facts(report: Report) -> str:
    count = f"  {report.count:,} Gaussians" if report.count else ""
    return f"loss {report.loss:.3g}{count}  {report.evaluations:,} evaluations"
