"""The command line: ``maquette generate "a red mug"`` and its kin.

Every command is a function; its flags are its arguments, with their types, defaults and words, as
tyro reads them. Settings of recipes are not flags but paths, ``--set objective.guidance_scale=10``,
checked against the recipe's own types. Nothing heavy is imported before a command has been parsed.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 70 stopped for a numerical fault (the last good
asset is kept), 74 the disk failed, 78 refused for safety, 128 + n stopped by signal n and saved.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from maquette import cli_commands as commands
from maquette import cli_compare, cli_evaluate, cli_report
from maquette.errors import MaquetteError

__all__ = ["main"]

COMMANDS: dict[str, Callable[..., None]] = {
    "generate": commands.generate,
    "resume": commands.resume,
    "image": commands.image,
    "compare": cli_compare.compare,
    "render": commands.render,
    "export": commands.export,
    "evaluate": cli_evaluate.evaluate,
    "report": cli_report.report,
    "recipes": commands.recipes,
    "prior": commands.prior,
    "study": commands.study,
    "toybox": commands.toybox,
    "bench": commands.bench,
    "doctor": commands.doctor,
}

BORROWED = {
    ("prior", "train"): "maquette.toybox.train:train",
    ("prior", "sample"): "maquette.cli_prior:sample",
    ("prior", "linearise"): "maquette.cli_prior:linearise",
    ("prior", "show"): "maquette.priors.embedded:show",
    ("study", "build"): "maquette.cli_study:build",
    ("study", "serve"): "maquette.cli_study:serve",
    ("study", "tally"): "maquette.cli_study:tally",
    ("toybox", "show"): "maquette.toybox.show:contact_sheet",
    ("bench", "toy"): "maquette.cli_bench:toy",
}
"""Commands that are functions of the library as they stand: their flags are its arguments."""

DESCRIPTION = """Text to 3D by score distillation.

maquette generate "a red mug" makes an asset on this machine.
--debug, anywhere, shows the whole trace of an error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _stop_politely_on_sigterm()
    try:
        _run(words)
        sys.stdout.flush()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except BrokenPipeError:
        # Whoever read the output has gone, as in ``maquette recipes | head -3``.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MaquetteError as error:
        return _failed(error, error.exit_code, debug)
    except MemoryError as error:
        hint = "Memory is used up. Take fewer Gaussians, views or pixels, and resume."
        return _failed(error, 1, debug, hint)
    except Exception as error:
        kind = type(error).__name__
        hint = f"This should not have happened: {kind}: {error}. Add --debug to see where."
        return _failed(error, 1, debug, hint)


def _run(words: list[str]) -> None:
    import tyro

    borrowed = BORROWED.get((words[0], words[1])) if len(words) > 1 else None
    if borrowed is not None:
        module, _, name = borrowed.partition(":")
        function = getattr(importlib.import_module(module), name)
        result: Any = tyro.cli(function, args=words[2:], prog=f"maquette {words[0]} {words[1]}")
        if result is not None:
            print(result)
        return
    tyro.extras.subcommand_cli_from_dict(
        COMMANDS, args=words, prog="maquette", description=DESCRIPTION
    )


def _failed(error: BaseException, code: int, debug: bool, sentence: str = "") -> int:
    if debug:
        traceback.print_exception(error)
    print(f"maquette: {sentence or error}", file=sys.stderr)
    return code


def _stopped(stop: KeyboardInterrupt) -> int:
    folder = getattr(stop, "folder", None)
    if folder is None:
        print("maquette: Stopped.", file=sys.stderr)
        return 130
    print(f"maquette: {stop}. {getattr(stop, 'next_step', '')}", file=sys.stderr)
    return getattr(stop, "exit_code", 130)


def _stop_politely_on_sigterm() -> None:
    """Until a run takes over the signals, SIGTERM ends the program with its exit code."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    with contextlib.suppress(ValueError):  # Not the main thread.
        signal.signal(signal.SIGTERM, leave)
