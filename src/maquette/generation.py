"""From a prompt to a folder with an asset: the loop around the generator of reports.

Everything that ``distill`` leaves out happens here: the run's folder and its lock, checkpoints,
metrics, previews, signals, and the files at the end. The command line and Python programs call the
same two functions. Nothing that watches a run changes it: with any cadence of checkpoints, previews
and messages the asset is the same to the last byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from maquette import beginning, folders, lookup, serial, store
from maquette.assets import ASSET, PREVIEW, TURNTABLE, write_asset, write_preview, write_turntable
from maquette.checkpoints import checkpoints_in
from maquette.distill import distill
from maquette.errors import CheckpointError, InputError, NumericalError
from maquette.journal import Journal
from maquette.overrides import override
from maquette.priors.base import Prior
from maquette.recipe import Recipe
from maquette.records import Report
from maquette.rehearsal import rehearse
from maquette.run import Run
from maquette.run_folder import (
    CHECKPOINTS,
    RECIPE,
    RESULT,
    RUN,
    is_finished,
    newest_scene,
    own_recipe,
    run_file,
)
from maquette.scenes.base import Scene
from maquette.signals import Signals, Stopped
from maquette.threads import check_threads, using_threads

__all__ = ["Result", "Watch", "generate", "resume"]

RESERVE_BYTES = 4 << 20
"""Free space asked for beyond the checkpoints: the asset, the pictures and the journal."""


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        folder: everything it wrote.
        scene: the asset, or the particles of which the first is the asset.
        step: steps done.
        evaluations: U-Net evaluations of single pictures.
        fresh: False where the run had been finished before.
    """

    folder: Path
    scene: Scene
    step: int
    evaluations: int
    fresh: bool = True

    @property
    def asset(self) -> Path:
        """The PLY file; those of further particles are ``asset-1.ply`` and so on beside it."""
        return self.folder / ASSET


def _ignore(*_: object) -> None:
    """Watches nothing."""


@dataclass(frozen=True)
class Watch:
    """How a run is watched and kept; none of it changes what comes out.

    Attributes:
        on_report: called after every step.
        announce: told in whole sentences what a user should know.
        checkpoint_every: steps between two checkpoints.
        preview_every: steps between two rewritings of ``preview.png``; 0 for the end only.
        turntable: whether to write ``turntable.mp4`` at the end.
        on_run: called after every step with the run, which it may look at, and its folder.
    """

    on_report: Callable[[Report], object] = _ignore
    announce: Callable[[str], None] = _ignore
    checkpoint_every: int = 25
    preview_every: int = 25
    turntable: bool = True
    on_run: Callable[[Run, Path], object] = _ignore

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1 or self.preview_every < 0:
            raise InputError(
                f"Checkpoints every {self.checkpoint_every} and previews every "
                f"{self.preview_every} steps are impossible",
                "Give at least 1 for the former, and 0 or more for the latter",
            )


def generate(
    prompt: str,
    *,
    recipe: Recipe | str | None = None,
    prior: Prior | str = "embedded",
    seed: int = 0,
    out: Path | str = "runs",
    size: lookup.Size | None = None,
    steps: int | None = None,
    settings: Iterable[str] = (),
    device: str = "cpu",
    threads: int | None = None,
    watch: Watch | None = None,
) -> Result:
    """Make a 3D asset of ``prompt``.

    The run has a folder of its own in ``out``, named by everything that determines it. Asked for
    again, a run that was stopped goes on and one that is finished is returned as it is.

    Args:
        prompt: what to make; the prior must know its words.
        recipe: a recipe, its name, or ``path/to/file.py:function``; None for the usual one.
        prior: a prior, ``embedded``, a folder in the diffusers layout, or ``file.py:function``.
        seed: of every random draw.
        out: where run folders lie.
        size: of a recipe that is given by its name, ``paper`` or ``small``; None takes the one
            that fits the prior.
        steps: instead of the recipe's number.
        settings: texts like ``objective.guidance_scale=10`` that change the recipe.
        device: where scene and prior live.
        threads: CPU threads; None for as many as the run began with, and at its beginning for as
            many as PyTorch takes. Their number decides how a network's sums are rounded.
        watch: callbacks and cadences.

    Raises:
        InputError: a bad prompt, recipe, setting or folder, or an unknown word.
        RunError: the same run is going on in another process.
        DiskError: the disk is full, read-only or failing; the last checkpoint is intact.
        NumericalError: values stayed non-finite; the last good asset is in the folder.
        Stopped: a signal came; everything is saved. It is a KeyboardInterrupt.
    """
    prompt = folders.check_prompt(prompt)
    check_threads(threads)
    named = lookup.prior_name(prior) if isinstance(prior, str) else prior.name
    recipe = recipe or lookup.DEFAULT_RECIPE
    if isinstance(recipe, str):
        recipe, prior = lookup.recipe_for(recipe, prior, size, device)
    recipe = _changed(recipe, settings, steps)
    data = serial.recipe_to(recipe)
    out = Path(out).expanduser()
    folders.check_output(out, RESERVE_BYTES)
    folder = folders.safe_join(out, folders.run_name(prompt, seed, data, named))
    watch = watch or Watch()
    if not folder.exists():
        # What can be refused is refused before the first folder is made.
        rehearse(recipe)
        prior = _prior(prior, device)
        beginning.check(prompt, recipe, prior)
    _make(folder)
    with folders.lock(folder):
        about = {"prompt": prompt, "seed": seed, "prior": named}
        if not (folder / RUN).exists():
            store.write_json(folder / RECIPE, {"recipe": data})
            began = {"threads": threads or torch.get_num_threads()}
            store.write_json(folder / RUN, {**about, **began})
        kept = store.read_json(folder / RUN)
        if any(kept.get(name) != value for name, value in about.items()):
            raise CheckpointError(f"{folder} holds another run", "Choose another --out or --seed")
        with using_threads(_threads(kept, threads)):
            return _drive(folder, about, recipe, prior, device, watch)


def resume(
    folder: Path | str,
    *,
    prior: Prior | str | None = None,
    recipe: Recipe | str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    watch: Watch | None = None,
) -> Result:
    """Go on with a run that was stopped, to the bytes it would have had.

    Args:
        folder: of the run.
        prior: where the run's own is not found by its name, the same prior from elsewhere.
        recipe: only for a run whose recipe holds parts from outside the package: the same recipe.
        device: where to go on.
        threads: as in ``generate``; with another number than before, the bytes become others.
        watch: callbacks and cadences.

    Raises:
        CheckpointError: this is no run, or no checkpoint is intact; nothing was changed.
        PriorError: the prior is not the one that the run was started with.
    """
    check_threads(threads)
    folder = Path(folder)
    about = store.read_json(run_file(folder))
    for name, kind in {"prompt": str, "seed": int, "prior": str}.items():
        if not isinstance(about.get(name), kind):
            raise CheckpointError(f"{folder / RUN} has no proper {name!r}")
    with folders.lock(folder):
        own = own_recipe(folder, recipe)
        with using_threads(_threads(about, threads)):
            return _drive(folder, about, own, prior or about["prior"], device, watch or Watch())


def _drive(
    folder: Path, about: dict, recipe: Recipe, prior: Prior | str, device: str, watch: Watch
) -> Result:
    """Start or resume the run in a locked folder and bring it to its end."""
    if is_finished(folder):
        watch.announce(f"This run is finished already: {folder}")
        kept = newest_scene(folder, recipe)
        return Result(folder, kept.scene, kept.step, kept.evaluations, fresh=False)
    with Signals() as signals:
        prior = _prior(prior, device)
        if checkpoints_in(folder / CHECKPOINTS):
            run = Run.resume(folder / CHECKPOINTS, prior, recipe, device, watch.announce)
            watch.announce(f"Going on from step {run.step} of {recipe.steps}")
        else:
            run = Run.start(about["prompt"], recipe, prior, about["seed"], device)
        folders.check_output(folder, 3 * run.state_bytes() + RESERVE_BYTES)
        try:
            _steps(run, folder, watch, signals)
        except NumericalError as fault:
            raise _keep_last_good(folder, run, fault) from fault
        return _finish(run, folder, watch, signals)


def _threads(about: dict, asked: int | None) -> int | None:
    """As many threads as were asked for, or else as the run began with."""
    began = about.get("threads")
    return asked or (began if isinstance(began, int) and began > 0 else None)


def _steps(run: Run, folder: Path, watch: Watch, signals: Signals) -> None:
    """All steps that are left, each noted, some of them saved and shown."""
    checkpoints = folder / CHECKPOINTS
    if run.step == 0:
        # The first checkpoint shows before any work that a checkpoint can be written.
        run.save(checkpoints)
    store.sweep(checkpoints)
    journal = Journal(folder, run.step)
    if not journal.complete:
        watch.announce(f"{folder / 'metrics.jsonl'} had lost lines, and they stay lost")
    try:
        for report in distill(run):
            journal.add(report)
            watch.on_report(report)
            watch.on_run(run, folder)
            last = run.step == run.recipe.steps
            if last or signals.caught or run.step % watch.checkpoint_every == 0:
                journal.sync()
                run.save(checkpoints)
            _obey(signals, folder, run.step)
            if watch.preview_every and not last and run.step % watch.preview_every == 0:
                write_preview(folder / PREVIEW, run.scene)
    finally:
        journal.close()


def _finish(run: Run, folder: Path, watch: Watch, signals: Signals) -> Result:
    """The files of a run whose steps are done; ``result.json`` comes last and says so."""
    _obey(signals, folder, run.step)
    write_asset(folder / ASSET, run.scene)
    write_preview(folder / PREVIEW, run.scene)
    _obey(signals, folder, run.step)
    if watch.turntable:
        write_turntable(folder / TURNTABLE, run.scene)
    with store.disk_errors(folder / ASSET):
        digest = store.sha256_of((folder / ASSET).read_bytes())
    facts = {"step": run.step, "evaluations": run.prior.evaluations, "count": run.scene.count}
    store.write_json(folder / RESULT, {**facts, "asset_sha256": digest})
    return Result(folder, run.scene, run.step, run.prior.evaluations)


def _obey(signals: Signals, folder: Path, step: int) -> None:
    if signals.caught is not None:
        raise Stopped(signals.caught, folder, step)


def _keep_last_good(folder: Path, run: Run, fault: NumericalError) -> NumericalError:
    """Write the asset of the newest checkpoint; the error then tells where it is."""
    good = newest_scene(folder, run.recipe)
    write_asset(folder / ASSET, good.scene)
    write_preview(folder / PREVIEW, good.scene)
    return NumericalError(
        f"The run stopped at step {run.step + 1}: {fault.what}; "
        f"the asset of step {good.step} is in {folder / ASSET}",
        fault.next_step,
        site=fault.site,
    )


def _changed(recipe: Recipe, settings: Iterable[str], steps: int | None) -> Recipe:
    if steps is not None:
        recipe = dataclasses.replace(recipe, steps=steps)
    return override(recipe, settings)


def _prior(prior: Prior | str, device: str) -> Prior:
    return lookup.find_prior(prior, device) if isinstance(prior, str) else prior


def _make(folder: Path) -> None:
    with store.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        store.sync_folder(folder.parent)
