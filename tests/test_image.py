"""The image form of a recipe: one picture, the same formula, and the gradients beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from adapters import adapts, attending
from maquette import cli, serial
from maquette.distill import PATIENCE, distill
from maquette.errors import InputError, NumericalError
from maquette.gradients.depth import ClipDepth
from maquette.gradients.pixel import ClipByNorm, ClipByValue
from maquette.imaging import Drawing, image
from maquette.lookup import find_recipe, recipe_names
from maquette.losses import Sparsity
from maquette.priors.analytic import GaussianMixture
from maquette.priors.base import Counting
from maquette.priors.text import (
    Bare,
    Interpolated,
    PerpNeg,
    Prompting,
    Rescaled,
    Sectors,
    without_sides,
)
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Report, Views
from maquette.run import Run
from maquette.scenes.growth import Growth
from maquette.signals import Stopped

PROMPT = "a mug"
THRESHOLD = 0.02


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def prior(size: int = 16, variance: float = 0.05) -> GaussianMixture:
    """One thing that looks different from behind, and another one to be guided away from."""
    generator = torch.Generator().manual_seed(0)
    front, back, car = torch.rand(3, size, size, 3, generator=generator)
    pictures = {PROMPT: front, f"{PROMPT}, back view": back, "a car": car}
    return GaussianMixture.from_pictures(pictures, variance=variance)


def clipped(steps: int = 7) -> Recipe:
    """A recipe with a regulator that most pixels feel."""
    recipe = find_recipe("dreamfusion")
    return dataclasses.replace(recipe, gradients=(ClipByNorm(THRESHOLD),), steps=steps)


def drawn(out: Path, recipe: Recipe | None = None, seed: int = 0, **options: object) -> Drawing:
    given = {"recipe": recipe or clipped(), "prior": prior(), "seed": seed, "out": out, **options}
    return image(PROMPT, **given)  # pyright: ignore[reportArgumentType]


# The image form.


@pytest.mark.parametrize("name", recipe_names())
def test_two_steps_of_every_recipe_are_finite_and_repeatable(name: str) -> None:
    form = find_recipe(name).tiny().image(16)
    asked = attending(torch.float32) if adapts(form) else prior()

    def pixels(seed: int) -> torch.Tensor:
        run = Run.start(PROMPT, form, asked, seed)
        start = run.scene.parameters()["pixels"].detach().clone()
        reports = list(distill(run))
        assert [report.step for report in reports] == [1, 2]
        assert not any(report.skipped for report in reports)
        assert all(np.isfinite(report.loss) for report in reports)
        assert reports[-1].pixel_gradient_norm > 0
        end = run.scene.parameters()["pixels"].detach()
        assert torch.isfinite(end).all()
        assert not torch.equal(start, end)
        return end

    first = pixels(0)
    assert torch.equal(first, pixels(0))
    assert not torch.equal(first, pixels(1))


@pytest.mark.parametrize("name", recipe_names())
def test_the_image_form_keeps_the_formula_and_survives_json(name: str) -> None:
    recipe = find_recipe(name)
    form = recipe.image(16)
    for part in ("name", "paper", "objective", "timesteps", "negative_prompt", "steps"):
        assert getattr(form, part) == getattr(recipe, part)
    assert recipe == find_recipe(name)
    assert form.image(16) == form
    assert serial.recipe_from(json.loads(json.dumps(serial.recipe_to(form)))) == form


def test_what_is_about_3d_goes_and_other_regulators_stay_in_their_order() -> None:
    recipe = dataclasses.replace(
        find_recipe("dreamfusion"),
        gradients=(ClipByValue(0.3), ClipDepth(), ClipByNorm(0.1)),
        losses=(Sparsity(),),
        growth=Growth(),
        negative_prompt="a car",
    )
    form = recipe.image(16)
    assert form.gradients == (ClipByValue(0.3), ClipByNorm(0.1))
    assert (form.losses, form.growth, form.views, form.size) == ((), None, 1, 16)
    assert form.negative_prompt == "a car"
    assert list(form.rates) == ["pixels"]


def test_the_camera_is_one_and_fixed() -> None:
    cameras = find_recipe("dreamfusion").image().cameras
    first, second = (cameras.draw(1, 16, Randomness(0).at(step)) for step in (0, 1))
    for name in ("azimuth_deg", "elevation_deg", "distance", "fov_y_deg"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert float(first.azimuth_deg) == 0.0


@pytest.mark.parametrize(
    ("prompting", "expected"),
    [
        (Sectors(), Bare()),
        (Interpolated(), Bare()),
        (Rescaled(Interpolated(), 0.4), Rescaled(Bare(), 0.4)),
        (PerpNeg(Rescaled(Sectors(), 0.4)), Rescaled(Bare(), 0.4)),
        (Rescaled(PerpNeg(Sectors()), 0.4), Rescaled(Bare(), 0.4)),
    ],
)
def test_view_words_and_other_sides_go_and_rescaling_stays(
    prompting: Prompting, expected: Prompting
) -> None:
    assert without_sides(prompting) == expected


def test_a_bare_prompt_says_the_same_from_behind() -> None:
    model, ring = prior(), Views.ring(3)
    words = Bare().words(model, PROMPT, "a car", ring)
    for condition, text in (
        (words.positive, PROMPT),
        (words.negative, "a car"),
        (words.null, ""),
    ):
        assert torch.equal(condition.embedding, model.condition([text] * 3).embedding)
    assert words.against == ()
    plain = Bare().words(model, PROMPT, "", ring)
    assert plain.negative is plain.null


@pytest.mark.parametrize(("variance", "tolerance"), [(0.0, 2e-3), (0.01, 0.03)])
def test_sds_finds_the_mode_of_a_gaussian(variance: float, tolerance: float) -> None:
    mode = torch.rand(6, 6, 3, generator=torch.Generator().manual_seed(5))
    model = GaussianMixture.from_pictures({PROMPT: mode}, variance=variance)
    # One text is its own null, so guidance has no effect and the mode is the only rest.
    run = Run.start(PROMPT, find_recipe("dreamfusion").image(6), model)
    begin = float((run.scene.parameters()["pixels"].detach() - mode).abs().max())
    for _ in distill(run):
        pass
    off = float((run.scene.parameters()["pixels"].detach() - mode).abs().max())
    assert begin > 0.4
    assert off < tolerance


# The run.


def test_a_checkpoint_of_a_picture_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = Run.start(PROMPT, clipped().image(16), prior())
    half = Run.start(PROMPT, clipped().image(16), prior())
    reports = distill(half)
    for _ in range(3):
        next(reports)
    half.save(tmp_path)
    back = Run.resume(tmp_path, prior())
    assert torch.equal(back.scene.parameters()["pixels"], half.scene.parameters()["pixels"])
    for run in (whole, back):
        for _ in distill(run):
            pass
    assert torch.equal(whole.scene.parameters()["pixels"], back.scene.parameters()["pixels"])


def test_a_run_leaves_the_picture_the_figure_the_recipe_and_the_metrics(tmp_path: Path) -> None:
    told: list[Report] = []
    drawing = drawn(tmp_path, on_report=told.append)
    assert drawing.folder.parent == tmp_path
    assert drawing.folder.name.startswith("a-mug-")
    with Image.open(drawing.folder / "picture.png") as picture:
        pixels = drawing.scene.parameters()["pixels"].detach()
        expected = (pixels.clamp(0, 1) * 255).round().byte().numpy()
        np.testing.assert_array_equal(np.asarray(picture), expected)
    with Image.open(drawing.folder / "gradients.png") as figure:
        assert figure.size == (6 * 162 - 2, 16 + 3 * 178 - 2)
    assert [m.step for m in drawing.moments] == [1, 2, 3, 5, 6, 7]
    assert [report.step for report in told] == list(range(1, 8))
    lines = (drawing.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 8))
    written = json.loads((drawing.folder / "recipe.json").read_text())
    assert serial.recipe_from(written["recipe"]) == clipped().image(16)
    assert (written["prompt"], written["seed"], written["prior"]) == (PROMPT, 0, "analytic")


def test_the_figure_shows_what_went_into_the_regulators_and_what_came_out(tmp_path: Path) -> None:
    for shown in drawn(tmp_path).moments:
        norm = shown.raw.norm(dim=-1, keepdim=True)
        assert float(norm.max()) > 2 * THRESHOLD
        expected = shown.raw * (THRESHOLD / norm).clamp(max=1.0)
        torch.testing.assert_close(shown.regulated, expected)
    for shown in drawn(tmp_path, find_recipe("dreamfusion"), steps=2).moments:
        assert torch.equal(shown.raw, shown.regulated)


def test_the_first_column_is_the_canvas(tmp_path: Path) -> None:
    start = clipped().image(16).init.make(PROMPT, Randomness(0)).parameters()["pixels"]
    assert torch.equal(drawn(tmp_path).moments[0].picture, start.detach())


def test_looking_changes_no_byte(tmp_path: Path) -> None:
    drawing = drawn(tmp_path)
    alone = Run.start(PROMPT, clipped().image(16), prior())
    reports = list(distill(alone))
    assert torch.equal(drawing.scene.parameters()["pixels"], alone.scene.parameters()["pixels"])
    lines = (drawing.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [report.loss for report in reports]
    assert drawing.evaluations == alone.prior.evaluations


def test_asked_again_it_comes_to_the_same_bytes_in_the_same_folder(tmp_path: Path) -> None:
    first = drawn(tmp_path)
    before = tiny.digest(first.folder)
    assert drawn(tmp_path).folder == first.folder
    assert tiny.digest(first.folder) == before
    assert drawn(tmp_path, seed=1).folder != first.folder


def test_pictures_have_the_size_of_the_priors_unless_told(tmp_path: Path) -> None:
    assert drawn(tmp_path).scene.parameters()["pixels"].shape == (16, 16, 3)
    with pytest.raises(InputError, match="no latents"):
        drawn(tmp_path, pixels=12)
    with pytest.raises(InputError, match="cannot be made"):
        drawn(tmp_path, pixels=0)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_short_runs_have_short_figures(tmp_path: Path, steps: int) -> None:
    drawing = drawn(tmp_path, clipped(steps))
    assert [m.step for m in drawing.moments] == list(range(1, steps + 1))


def test_a_signal_leaves_what_was_drawn(tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="step 4") as stop:
        drawn(tmp_path, on_report=interrupt)
    assert stop.value.exit_code == 143
    assert "resume" not in stop.value.next_step
    with Image.open(stop.value.folder / "gradients.png") as figure:
        assert figure.size[0] == 4 * 162 - 2  # Steps 1, 2 and 3, and the one that was the last.
    assert len((stop.value.folder / "metrics.jsonl").read_text().splitlines()) == 4


class Spoilt(Counting):
    """The prior of these tests, whose latents are no numbers at some encodings."""

    def __init__(self, when: Callable[[int], bool]) -> None:
        super().__init__(prior())
        self.when, self.times = when, 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.times += 1
        return super().encode(images) * (torch.nan if self.when(self.times) else 1.0)


def test_a_skipped_step_leaves_its_column_to_the_next(tmp_path: Path) -> None:
    drawing = drawn(tmp_path, prior=Spoilt(lambda time: time == 3))
    assert [m.step for m in drawing.moments] == [1, 2, 4, 5, 6, 7]


def test_a_lasting_fault_leaves_what_was_drawn(tmp_path: Path) -> None:
    with pytest.raises(NumericalError, match="encode gave NaN; what was drawn before is in") as end:
        drawn(tmp_path, prior=Spoilt(lambda time: time > 2))
    assert end.value.site == "encode"
    (folder,) = tmp_path.iterdir()
    assert {"picture.png", "gradients.png"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2 + PATIENCE - 1


# The command line.

WORDS = ["image", tiny.PROMPT, "--prior", f"{tiny.__file__}:prior", "--steps", "3"]


def test_the_command_prints_the_folder_and_its_progress_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *WORDS,
        "--recipe",
        "dreamfusion",
        "--out",
        str(tmp_path),
        "--set",
        "rates.pixels=0.05",
    ]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    assert told.out == f"{folder}\n"
    assert len(told.err.splitlines()) == 3
    assert told.err.splitlines()[-1].startswith("step 3/3  0 s left  loss ")
    assert "Gaussians" not in told.err
    files = {path.name for path in folder.iterdir()}
    assert {"picture.png", "gradients.png", "recipe.json", "metrics.jsonl"} <= files
    assert '"pixels": 0.05' in (folder / "recipe.json").read_text()
    assert cli.main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["image", ""], "The prompt is empty"),
        (["image", "a mug", "--recipe", "imm"], "There is no recipe 'imm'"),
        (["image", "a mug", "--prior", "no/such"], "There is no prior 'no/such'"),
        (["image", "a mug", "--set", "rates.means=1"], "There is no setting 'means'"),
        (["image", "a mug", "--steps", "0"], "A run of 0 steps"),
        (["image", "a mug", "--pixels", "0"], "A canvas of 0 pixels"),
        (["image", "a mug", "--threads", "0"], "0 threads cannot compute"),
        (["image", "a mug", "--out", tiny.__file__], "is a file, not a folder"),
        (["image", "a zebra", *WORDS[2:]], "no law for 'a zebra'"),
    ],
)
def test_what_is_refused_is_one_sentence_and_no_folder(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_exit_130_and_tells_where_the_picture_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object, report: Report) -> None:
        if report.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("maquette.cli_progress.Progress.report", interrupt)
    assert cli.main([*WORDS, "--out", str(tmp_path)]) == 130
    (folder,) = tmp_path.iterdir()
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"maquette: Stopped and saved at step 2. What was drawn is in {folder}"
    assert (folder / "gradients.png").is_file()
