"""From a prompt to one picture, and to the gradients that made it: a recipe without its 3D.

What runs is ``Recipe.image``, by the same step as everything else. The gradients are looked at on
their way through the regulators, by two more regulators at either end that pass on what they get:
so a run that is watched like this is, to the last byte, one that is not. Such a run is short; it
has no checkpoints, and asked for again it starts anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from maquette import folders, lookup, serial, store
from maquette.distill import distill
from maquette.errors import NumericalError
from maquette.export.figure import Moment, write_gradients
from maquette.export.sheet import to_uint8, write_png
from maquette.gradients.base import Regulator
from maquette.journal import Journal
from maquette.overrides import override
from maquette.priors.base import Prior
from maquette.recipe import Recipe
from maquette.records import Render, Report
from maquette.rehearsal import rehearse
from maquette.run import Run
from maquette.scenes.base import Scene
from maquette.signals import Signals, Stopped
from maquette.threads import check_threads, using_threads

__all__ = ["GRADIENTS", "PICTURE", "Drawing", "image"]

PICTURE, GRADIENTS, RECIPE = "picture.png", "gradients.png", "recipe.json"
RESERVE_BYTES = 4 << 20
"""Free space asked for: the pictures and the journal."""
COLUMNS = 6
"""Moments of a run that the figure shows, evenly from its first step to its last."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a run came to.

    Attributes:
        folder: everything it wrote.
        scene: the picture, as it was optimised.
        moments: the columns of the figure.
        evaluations: U-Net evaluations of single pictures.
    """

    folder: Path
    scene: Scene
    moments: tuple[Moment, ...]
    evaluations: int


def _ignore(_: object) -> None:
    """Watches nothing."""


def image(
    prompt: str,
    *,
    recipe: Recipe | str | None = None,
    prior: Prior | str = "embedded",
    seed: int = 0,
    out: Path | str = "runs",
    size: lookup.Size | None = None,
    pixels: int | None = None,
    steps: int | None = None,
    settings: Iterable[str] = (),
    device: str = "cpu",
    threads: int | None = None,
    on_report: Callable[[Report], object] = _ignore,
) -> Drawing:
    """Optimise one picture of ``prompt`` with a recipe's objective and regulators.

    Writes ``picture.png``, ``gradients.png``, ``recipe.json`` and ``metrics.jsonl`` into a folder
    of its own in ``out``, named by everything that determines the run.

    Args:
        prompt: what to draw; the prior must know its words.
        recipe: a recipe in its usual form, its name, or ``path/to/file.py:function``.
        prior: a prior, ``embedded``, a folder in the diffusers layout, or ``file.py:function``.
        seed: of every random draw.
        out: where run folders lie.
        size: of a recipe that is given by its name, ``paper`` or ``small``; None takes the one
            that fits the prior.
        pixels: side of the picture; None for that of the prior's pictures.
        steps: instead of the recipe's number.
        settings: texts like ``objective.guidance_scale=10`` that change the recipe's image form.
        device: where picture and prior live.
        threads: CPU threads; None for as many as PyTorch takes.
        on_report: called after every step.

    Raises:
        InputError: a bad prompt, recipe, setting, size or folder, or an unknown word.
        RunError: the same run is going on in another process.
        DiskError: the disk is full, read-only or failing.
        NumericalError: values stayed non-finite; what was drawn before is in the folder.
        Stopped: a signal came; what was drawn is in the folder. It is a KeyboardInterrupt.
    """
    prompt, out = folders.check_prompt(prompt), Path(out).expanduser()
    check_threads(threads)
    folders.check_output(out, RESERVE_BYTES)
    named = lookup.prior_name(prior) if isinstance(prior, str) else prior.name
    recipe, settings = recipe or lookup.DEFAULT_RECIPE, tuple(settings)
    if isinstance(recipe, str):
        recipe, prior = lookup.recipe_for(recipe, prior, size, device)
    # Once before the prior is loaded, so that what can be refused is refused at once.
    form = _image_form(recipe, pixels, steps, settings)
    rehearse(form)
    prior = lookup.find_prior(prior, device) if isinstance(prior, str) else prior
    if pixels is None:
        form = _image_form(recipe, prior.image_size, steps, settings)
    with using_threads(threads):
        run, data = Run.start(prompt, form, prior, seed, device), serial.recipe_to(form)
        folder = folders.safe_join(out, folders.run_name(prompt, seed, data, named))
        with store.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        about = {"recipe": data, "prompt": prompt, "seed": seed, "prior": named}
        with folders.lock(folder), Signals() as signals:
            store.write_json(folder / RECIPE, about)
            return _draw(run, folder, on_report, signals)


def _image_form(
    recipe: Recipe, pixels: int | None, steps: int | None, settings: Iterable[str]
) -> Recipe:
    form = recipe.image() if pixels is None else recipe.image(pixels)
    return override(form if steps is None else replace(form, steps=steps), settings)


def _draw(
    run: Run, folder: Path, on_report: Callable[[Report], object], signals: Signals
) -> Drawing:
    """All steps, each noted, some of them shown; the files are written at each of these."""
    gallery, journal = _Gallery(run), Journal(folder, 0)
    try:
        for report in distill(run):
            journal.add(report)
            on_report(report)
            stop = signals.caught is not None
            if gallery.hang(report, anyway=stop) or stop or run.step == run.recipe.steps:
                _write(folder, run, gallery)
            if signals.caught is not None:
                raise Stopped(signals.caught, folder, run.step, f"What was drawn is in {folder}")
    except NumericalError as fault:
        _write(folder, run, gallery)
        raise NumericalError(
            f"The run stopped at step {run.step + 1}: {fault.what}; "
            f"what was drawn before is in {folder}",
            fault.next_step,
            site=fault.site,
        ) from fault
    finally:
        journal.close()
    return Drawing(folder, run.scene, tuple(gallery.moments), run.prior.evaluations)


def _write(folder: Path, run: Run, gallery: _Gallery) -> None:
    write_png(folder / PICTURE, to_uint8(run.scene.parameters()["pixels"]))
    if gallery.moments:
        write_gradients(folder / GRADIENTS, gallery.moments)


@dataclass(frozen=True)
class _Tap(Regulator):
    """Passes a gradient on as it is, and lets ``see`` look at it."""

    see: Callable[[Tensor, Render], object]

    def __call__(self, pixel_gradient: Tensor, render: Render) -> Tensor:
        self.see(pixel_gradient, render)
        return pixel_gradient


class _Gallery:
    """Collects the moments of a run. Of several views it looks at the first."""

    def __init__(self, run: Run) -> None:
        self.moments: list[Moment] = []
        last, gaps = run.recipe.steps - 1, COLUMNS - 1
        self._due = sorted({1 + round(last * column / gaps) for column in range(COLUMNS)})
        # The taps stand in this run's recipe alone: the one that was written down knows of none.
        taps = _Tap(self._see_raw), _Tap(self._see_regulated)
        run.recipe = replace(run.recipe, gradients=(taps[0], *run.recipe.gradients, taps[1]))

    def hang(self, report: Report, anyway: bool = False) -> bool:
        """Keep the step just done if its turn has come; a skipped one leaves it to the next."""
        due = bool(self._due) and report.step >= self._due[0]
        if report.skipped or not (due or anyway):
            return False
        self._due = [step for step in self._due if step > report.step]
        pictures = (self._picture, self._raw, self._regulated)
        self.moments.append(Moment(report.step, *(picture.cpu().clone() for picture in pictures)))
        return True

    def _see_raw(self, pixel_gradient: Tensor, render: Render) -> None:
        self._picture, self._raw = render.colour[0].detach(), pixel_gradient[0].detach()

    def _see_regulated(self, pixel_gradient: Tensor, render: Render) -> None:
        self._regulated = pixel_gradient[0].detach()
