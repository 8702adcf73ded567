"""The command line: what it says, where, and with which exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import tiny
from maquette import cli, cli_commands, doctor, lookup
from maquette.cli_progress import Progress
from maquette.costs import evaluations_per_step
from maquette.errors import (
    CheckpointError,
    DiskError,
    InputError,
    MaquetteError,
    NumericalError,
    PriorError,
    RefusedError,
    RunError,
)
from maquette.lookup import find_recipe
from maquette.recipes._small import GUIDANCE_SCALE
from maquette.records import Report

TINY = [
    *("--recipe", f"{tiny.__file__}:recipe", "--prior", f"{tiny.__file__}:prior"),
    *("--steps", "4", "--preview-every", "0", "--no-turntable"),
]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    torch.set_num_threads(1)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps."""
    out = tmp_path_factory.mktemp("runs")
    assert cli.main(["generate", tiny.PROMPT, *TINY, "--quiet", "--out", str(out)]) == 0
    (folder,) = out.iterdir()
    return folder


def test_generate_prints_the_folder_and_its_progress_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", tiny.PROMPT, *TINY, "--out", str(tmp_path)]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    assert told.out == f"{folder}\n"
    lines = told.err.splitlines()
    assert len(lines) == 4
    line = r"step 4/4  \d+ s left  loss \S+  \d+ Gaussians  [\d,]+ evaluations"
    assert re.fullmatch(line, lines[-1])
    for name in ("asset.ply", "preview.png", "metrics.jsonl", "recipe.json", "result.json"):
        assert (folder / name).is_file()
    assert cli.main([*words, "--quiet"]) == 0
    assert cli.main(["resume", str(folder), *TINY[2:4]]) == 0
    told = capsys.readouterr()
    assert told.out == f"{folder}\n" * 2
    assert told.err == f"This run is finished already: {folder}\n"


def test_settings_and_steps_make_another_run(run_folder: Path, tmp_path: Path) -> None:
    words = ["generate", tiny.PROMPT, *TINY, "--quiet", "--out", str(tmp_path)]
    assert cli.main([*words, "--set", "objective.guidance-scale=3", "--set", "views=1"]) == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name != run_folder.name
    text = (folder / "recipe.json").read_text()
    assert '"guidance_scale": 3.0' in text
    assert '"views": 1' in text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["generate", ""], 2, "The prompt is empty"),
        (["generate", "   "], 2, "The prompt is empty"),
        (["generate", "x" * 10_000], 2, "10,000 characters"),
        (["generate", "a\x07b"], 2, "control character U+0007"),
        (
            ["generate", "a mug", "--recipe", "hifi"],
            2,
            "There is no recipe 'hifi'. The nearest is hifa",
        ),
        (["generate", "a mug", "--recipe", "nothing/like/it.py:f"], 2, "There is no file"),
        (["generate", "a mug", "--recipe", f"{tiny.__file__}:recip"], 2, "The nearest is recipe"),
        (
            ["generate", "a mug", "--recipe", f"{tiny.__file__}:prior"],
            2,
            "does not return a Recipe",
        ),
        (["generate", "a mug", "--prior", "no/such"], 2, "There is no prior 'no/such'"),
        (["generate", "a mug", "--prior", f"{tiny.__file__}:recipe"], 2, "does not return a Prior"),
        (["generate", "a mug", "--set", "objective.guidanc=1"], 2, "guidance_scale"),
        (["generate", "a mug", "--set", "steps=many"], 2, "must be a whole number, not 'many'"),
        (["generate", "a mug", "--steps", "0"], 2, "A run of 0 steps"),
        (["generate", "a mug", "--checkpoint-every", "0"], 2, "Checkpoints every 0"),
        (["generate", "a mug", "--threads", "0"], 2, "0 threads cannot compute"),
        (["generate", "a mug", "--out", tiny.__file__], 2, "is a file, not a folder"),
        (["generate", "a zebra", *TINY], 2, "no law for 'a zebra'"),
        (["resume", "/nowhere"], 2, "/nowhere is no run"),
        (["render", "/nowhere"], 2, "/nowhere is no run"),
        (["render", "/nowhere.ply"], 2, "There is no file /nowhere.ply"),
        (["render", "/nowhere", "--views", "0"], 2, "make no picture"),
        (["export", "/nowhere", "--to", "gif"], 2, "/nowhere is no run"),
        (["recipes", "hifi"], 2, "There is no recipe 'hifi'"),
    ],
)
def test_what_is_refused_is_one_sentence_on_the_error_stream(
    words: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("maquette: ")
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["generte", "a mug"], "generate"),
        (["generate", "a mug", "--stps", "3"], "--steps"),
        (["generate", "a mug", "--steps", "three"], "three"),
        (["generate"], "STR"),
        (["export", "x", "--to", "docx"], "mp4"),
        (["prior", "tran"], "train"),
        ([], "generate"),
    ],
)
def test_bad_usage_is_exit_2_and_tells_what_there_is(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert near in "".join(capsys.readouterr())


ERRORS = [
    (InputError, 2),
    (PriorError, 2),
    (CheckpointError, 2),
    (RunError, 1),
    (NumericalError, 70),
    (DiskError, 74),
    (RefusedError, 78),
]


@pytest.mark.parametrize(("kind", "code"), ERRORS)
@pytest.mark.parametrize("debug", [False, True])
def test_every_error_of_ours_has_its_exit_code(
    kind: type[MaquetteError],
    code: int,
    debug: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise kind("It went wrong", "Do this")

    monkeypatch.setitem(cli.COMMANDS, "doctor", fail)
    assert cli.main(["doctor", *["--debug"] * debug]) == code
    told = capsys.readouterr().err
    assert told.endswith("maquette: It went wrong. Do this.\n")
    assert ("Traceback" in told) == debug


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyError("x"), 1, "This should not have happened: KeyError: 'x'. Add --debug"),
        (MemoryError(), 1, "Memory is used up"),
        (KeyboardInterrupt(), 130, "Stopped."),
        (SystemExit(143), 143, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_every_other_end_has_its_exit_code_too(
    error: BaseException,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "doctor", fail)
    assert cli.main(["doctor"]) == code
    told = capfd.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["render", "--views", "3", "--size", "32"], "render.png"),
        (["export", "--to", "png", "--size", "32"], "export.png"),
        (["export", "--to", "ply"], "export.ply"),
        (["export", "--to", "gif", "--frames", "3", "--size", "32"], "export.gif"),
        (["export", "--to", "mp4", "--frames", "3", "--size", "32"], "export.mp4"),
    ],
)
@pytest.mark.parametrize("source", ["run", "ply"])
def test_render_and_export_write_where_they_say(
    words: list[str],
    name: str,
    source: str,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = run_folder if source == "run" else run_folder / "asset.ply"
    target = tmp_path / name
    assert cli.main([words[0], str(given), *words[1:], "--path", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    starts = {".png": b"\x89PNG", ".ply": b"ply", ".gif": b"GIF8", ".mp4": b"\x00\x00\x00"}
    assert target.read_bytes().startswith(starts[target.suffix])


@pytest.mark.parametrize("words", [["render", "--views", "1"], ["export", "--to", "png"]])
def test_the_background_is_the_one_that_is_asked_for(
    words: list[str], run_folder: Path, tmp_path: Path
) -> None:
    corners = []
    for name in ("black", "blue"):
        target = tmp_path / f"{name}.png"
        options = ["--size", "32", "--background", name, "--path", str(target)]
        assert cli.main([words[0], str(run_folder), *words[1:], *options]) == 0
        with Image.open(target) as picture:
            corners.append(picture.convert("RGB").getpixel((0, 0)))
    assert corners == [(0, 0, 0), (178, 204, 255)]


def test_recipes_are_listed_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    told = capsys.readouterr().out
    for name in lookup.recipe_names():
        assert name in told
        assert find_recipe(name).paper[:40] in told


def test_settings_of_a_recipe_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes", "luciddreamer"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"objective.guidance_scale\s+│ [\d.]+\s+│ number or ramp", told)
    assert re.search(r"objective.weight\s+│ \w+\s+│ uniform or ", told)


def test_settings_are_those_of_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    for size, scale in (("small", str(GUIDANCE_SCALE)), ("paper", "101.0")):
        assert cli.main(["recipes", "dreamfusion", "--size", size]) == 0
        told = capsys.readouterr().out
        assert re.search(rf"objective.guidance_scale\s+│ {re.escape(scale)}\s+│", told)


def test_citation_of_a_recipe_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes", "--cite", "dreamer-xl"]) == 0
    assert capsys.readouterr().out == f"{lookup.citation('dreamer-xl')}\n"
    assert cli.main(["recipes", "--cite", "dreamer"]) == 2
    assert "There is no recipe 'dreamer'" in capsys.readouterr().err


def test_size_of_a_recipe_is_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--prior", f"{tiny.__file__}:prior", "--steps", "1", "--out", str(tmp_path), "--quiet"]
    few = ["--set", f"size={tiny.SIZE}", "--set", "init.count=20", "--no-turntable"]
    words = ["generate", tiny.PROMPT, "--recipe", "dreamfusion", *own, *few]
    for flags, scale in (([], GUIDANCE_SCALE), (["--size", "paper"], 101.0)):
        assert cli.main([*words, *flags]) == 0
        folder = Path(capsys.readouterr().out.strip())
        kept = json.loads((folder / "recipe.json").read_text())["recipe"]
        assert kept["objective"]["guidance_scale"] == scale
    assert cli.main([*words, "--size", "huge"]) == 2


def test_evaluations_are_counted_not_claimed() -> None:
    sds = find_recipe("dreamfusion")
    assert evaluations_per_step(sds) == 2 * sds.views
    student = find_recipe("prolificdreamer")
    # Two for the guided prior, and two for the student, which answers and learns.
    assert evaluations_per_step(student) == 4 * student.views


def test_every_name_leads_to_a_recipe_of_that_name() -> None:
    for name in lookup.recipe_names():
        assert find_recipe(name).name == name
        assert find_recipe(name.replace("-", "_")) == find_recipe(name)


def test_recipe_from_a_file_may_define_its_own_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\n"
        "import dataclasses\n"
        "from maquette.gradients.base import Regulator\n"
        "from maquette.lookup import find_recipe\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Halved(Regulator):\n"
        "    factor: float = 0.5\n"
        "    def __call__(self, pixel_gradient, render):\n"
        "        return self.factor * pixel_gradient\n"
        "def mine():\n"
        f"    made = find_recipe({str(tiny.__file__) + ':recipe'!r})\n"
        "    return dataclasses.replace(made, gradients=(Halved(),))\n"
    )
    own = ["--recipe", f"{file}:mine", *TINY[2:], "--quiet", "--out", str(tmp_path / "runs")]
    assert cli.main(["generate", tiny.PROMPT, *own, "--set", "gradients.halved.factor=0.25"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (folder / "result.json").unlink()
    assert cli.main(["resume", str(folder), "--no-turntable", "--quiet"]) == 2
    assert "--recipe path/to/file.py:name" in capsys.readouterr().err
    again = ["resume", str(folder), "--recipe", f"{file}:mine", "--no-turntable", "--quiet"]
    assert cli.main(again) == 0
    assert cli.main(["render", str(folder), "--recipe", f"{file}:mine", "--size", "16"]) == 0


def test_a_recipe_file_that_fails_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text("import nothing_of_the_kind\n")
    assert cli.main(["recipes", f"{tmp_path / 'bad.py'}:f"]) == 2
    assert "ModuleNotFoundError" in capsys.readouterr().err


def report(step: int, **changes: object) -> Report:
    facts = {"total_steps": 100, "loss": 0.5, "losses": {}, "evaluations": 12 * step, "count": 1000}
    return Report(step=step, t=(), **{**facts, **changes})  # pyright: ignore[reportArgumentType]


def test_without_a_terminal_progress_is_ten_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        for step in range(1, 101):
            shown.report(report(step))
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 10
    assert "\x1b" not in told
    assert (
        told.splitlines()[-1]
        == "step 100/100  0 s left  loss 0.5  1,000 Gaussians  1,200 evaluations"
    )


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True) as shown:
        shown.report(report(1, skipped="render"))
        shown.announce("Going on")
    assert "".join(capsys.readouterr()) == ""


def test_a_skipped_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        shown.report(report(3, skipped="encode"))
    assert capsys.readouterr().err == "Step 3 was skipped: encode was not finite\n"


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_there_is_a_bar(
    colour: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    with Progress() as shown:
        for step in range(41, 61):
            shown.report(report(step))
    told = capsys.readouterr().err
    assert "60/100" in told
    assert "1,000 Gaussians" in told
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", told)) == colour


def test_doctor_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [doctor.Finding("python", "3.12"), doctor.Finding("disk", "full", False, "Free some")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(found[:1]))
    assert cli.main(["doctor"]) == 0
    monkeypatch.setattr(doctor, "examine", lambda: iter(found))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "ok   python: 3.12" in told
    assert "FAIL disk: full\n     Free some" in told


@pytest.mark.parametrize(
    ("look", "what"),
    [
        (doctor._python, "python"),
        (doctor._torch, "torch"),
        (doctor._renderer, "renderer"),
        (doctor._film, "ffmpeg"),
    ],
)
def test_doctor_finds_this_machine_well(look: Callable[[], doctor.Finding], what: str) -> None:
    finding = doctor._safely(look)
    assert (finding.what, finding.ok, finding.hint) == (what, True, "")


def test_doctor_survives_a_failing_look() -> None:
    def _broken() -> doctor.Finding:
        raise PriorError("The file is damaged", "Install it again")

    finding = doctor._safely(_broken)
    assert (finding.what, finding.ok, finding.hint) == ("broken", False, "Install it again")


@pytest.mark.parametrize(
    ("body", "ok", "state"),
    [("__version__ = '1.0'", True, "1.0 works"), ("raise RuntimeError('nms')", False, "nms")],
)
def test_doctor_tries_torchvision_in_a_process_of_its_own(
    body: str, ok: bool, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = doctor._torchvision()
    assert finding.ok == ok
    assert state in finding.state
    assert ("pip uninstall torchvision" in finding.hint) != ok
    assert "torchvision" not in sys.modules


def test_doctor_measures_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._disk(tmp_path).what == "disk"
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 60)
    assert not doctor._disk(tmp_path).ok


def test_every_command_has_help_and_every_flag_its_words() -> None:
    for name, command in cli.COMMANDS.items():
        documentation = command.__doc__ or ""
        assert documentation.strip(), name
        arguments = command.__code__.co_varnames[: command.__code__.co_argcount]
        for argument in arguments:
            assert re.search(rf"^\s+{argument}: \S", documentation, re.MULTILINE), (name, argument)
    assert set(cli.COMMANDS) == {*cli_commands.__all__, "compare", "evaluate", "report"}


def test_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maquette", "generate", ""],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("maquette: The prompt is empty")
