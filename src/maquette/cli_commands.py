"""What each command of the command line does; arguments become flags, docstrings their help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from maquette.errors import InputError
from maquette.folders import check_prompt
from maquette.lookup import DEFAULT_RECIPE, Size

if TYPE_CHECKING:
    from maquette.generation import Watch

__all__ = [
    "bench",
    "doctor",
    "export",
    "generate",
    "image",
    "prior",
    "recipes",
    "render",
    "resume",
    "study",
    "toybox",
]

Given = tyro.conf.Positional
Background = Literal["clear", "white", "grey", "black", "blue"]
Setting = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=VALUE")]


def generate(
    prompt: Given[str],
    /,
    recipe: str = DEFAULT_RECIPE,
    prior: str = "embedded",
    init: str | None = None,
    seed: int = 0,
    out: Path = Path("runs"),
    size: Size | None = None,
    steps: int | None = None,
    set: Setting = (),
    device: str = "cpu",
    threads: int | None = None,
    checkpoint_every: int = 25,
    preview_every: int = 25,
    turntable: bool = True,
    quiet: bool = False,
) -> None:
    """Make a 3D asset of a prompt; asked for again, it goes on where it was stopped.

    Args:
        prompt: What to make.
        recipe: A name that "maquette recipes" lists, or path/to/file.py:function.
        prior: "embedded", a folder in the diffusers layout, or path/to/file.py:function.
        init: What to start from instead of the recipe's start: embedded (points that a network
            draws of the prompt) or sphere (a grey ball).
        seed: Of every random draw.
        out: Where run folders lie.
        size: Of the recipe; by default small for a prior of small pictures, and else the paper's.
        steps: Instead of the recipe's number of steps.
        set: Change a setting of the recipe, as in objective.guidance_scale=10; may be repeated.
        device: Where to compute: cpu or cuda.
        threads: CPU threads; by default as many as the run began with, or as PyTorch takes.
        checkpoint_every: Steps between two checkpoints.
        preview_every: Steps between two rewritings of preview.png; 0 for the end only.
        turntable: Write turntable.mp4 at the end.
        quiet: Print nothing but the folder at the end.
    """
    check_prompt(prompt)  # Before anything heavy is imported.
    from maquette.cli_progress import Progress
    from maquette.generation import generate as make

    with Progress(quiet=quiet) as shown:
        watch = _watch(shown, checkpoint_every, preview_every, turntable)
        result = make(
            prompt,
            recipe=recipe,
            prior=prior,
            seed=seed,
            out=out,
            size=size,
            steps=steps,
            settings=set if init is None else (f"init={init}", *set),
            device=device,
            threads=threads,
            watch=watch,
        )
    print(result.folder)


def resume(
    folder: Given[Path],
    /,
    recipe: str | None = None,
    prior: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint_every: int = 25,
    preview_every: int = 25,
    turntable: bool = True,
    quiet: bool = False,
) -> None:
    """Go on with a run that was stopped or killed, to the very bytes it would have had.

    Args:
        folder: Of the run.
        recipe: Only for a recipe with parts from outside the package: path/to/file.py:function.
        prior: Only where the prior has moved: its new place.
        device: Where to compute: cpu or cuda.
        threads: CPU threads; by default as many as the run began with, or as PyTorch takes.
        checkpoint_every: Steps between two checkpoints.
        preview_every: Steps between two rewritings of preview.png; 0 for the end only.
        turntable: Write turntable.mp4 at the end.
        quiet: Print nothing but the folder at the end.
    """
    from maquette.cli_progress import Progress
    from maquette.generation import resume as go_on

    with Progress(quiet=quiet) as shown:
        watch = _watch(shown, checkpoint_every, preview_every, turntable)
        options = {"device": device, "threads": threads, "watch": watch}
        result = go_on(folder, recipe=recipe, prior=prior, **options)
    print(result.folder)


def image(
    prompt: Given[str],
    /,
    recipe: str = DEFAULT_RECIPE,
    prior: str = "embedded",
    seed: int = 0,
    out: Path = Path("runs"),
    size: Size | None = None,
    pixels: int | None = None,
    steps: int | None = None,
    set: Setting = (),
    device: str = "cpu",
    threads: int | None = None,
    quiet: bool = False,
) -> None:
    """Optimise one picture with a recipe's objective, and show the gradients beside it.

    The recipe without its 3D: one picture, one fixed camera, no view words, no regularisers. The
    folder holds picture.png, and gradients.png with the pixel gradients before and after the
    recipe's regulators. Such a run is short: it is not resumed, but starts anew when asked again.

    Args:
        prompt: What to draw.
        recipe: A name that "maquette recipes" lists, or path/to/file.py:function.
        prior: "embedded", a folder in the diffusers layout, or path/to/file.py:function.
        seed: Of every random draw.
        out: Where run folders lie.
        size: Of the recipe; by default the one that fits the prior.
        pixels: Side of the picture; by default that of the prior's pictures.
        steps: Instead of the recipe's number of steps.
        set: Change a setting of the recipe's image form, as in rates.pixels=0.05; may be repeated.
        device: Where to compute: cpu or cuda.
        threads: CPU threads; by default as many as PyTorch takes.
        quiet: Print nothing but the folder at the end.
    """
    check_prompt(prompt)  # Before anything heavy is imported.
    from maquette.cli_progress import Progress
    from maquette.imaging import image as draw

    with Progress(quiet=quiet) as shown:
        drawing = draw(
            prompt,
            recipe=recipe,
            prior=prior,
            seed=seed,
            out=out,
            size=size,
            pixels=pixels,
            steps=steps,
            settings=set,
            device=device,
            threads=threads,
            on_report=shown.report,
        )
    print(drawing.folder)


def render(
    source: Given[Path],
    /,
    path: Path | None = None,
    views: int = 8,
    size: int = 256,
    background: Background = "clear",
    recipe: str | None = None,
) -> None:
    """Draw a run (also one that is going on) or a PLY file from several sides.

    Args:
        source: A run's folder or a PLY file.
        path: The PNG to write; by default render.png beside it.
        views: Cameras around the object.
        size: Side of each picture in pixels.
        background: A colour; clear is white, or else one on which all of the asset shows.
        recipe: Only for a recipe with parts from outside the package.
    """
    if views < 1 or size < 2:
        raise InputError(f"{views} views of {size} pixels make no picture")
    from maquette.assets import write_preview
    from maquette.export.backdrop import BACKDROPS
    from maquette.run_folder import load

    scene = load(source, recipe)
    target = path or (source if source.is_dir() else source.parent) / "render.png"
    write_preview(target, scene, views=views, size=size, behind=BACKDROPS.get(background))
    print(target)


def export(
    source: Given[Path],
    /,
    to: Literal["ply", "mp4", "gif", "png"] = "ply",
    path: Path | None = None,
    frames: int = 60,
    size: int = 256,
    background: Background = "clear",
    recipe: str | None = None,
) -> None:
    """Write a run or a PLY file in another form: PLY, a film of a full turn, or a sheet of views.

    Args:
        source: A run's folder or a PLY file.
        to: The form.
        path: The file to write; by default export.<form> beside it.
        frames: Of a film.
        size: Side of each picture in pixels.
        background: Of pictures and films: a colour, or clear, as ``maquette render`` knows it.
        recipe: Only for a recipe with parts from outside the package.
    """
    from maquette import assets
    from maquette.export.backdrop import BACKDROPS
    from maquette.run_folder import load

    scene = load(source, recipe)
    target = path or (source if source.is_dir() else source.parent) / f"export.{to}"
    behind = BACKDROPS.get(background)
    if to == "ply":
        assets.write_asset(target, scene)
    elif to == "png":
        assets.write_preview(target, scene, views=8, size=size, behind=behind)
    else:
        assets.write_turntable(target, scene, frames=frames, size=size, behind=behind)
    print(target)


def recipes(
    name: Annotated[str | None, tyro.conf.Positional] = None,
    /,
    size: Size = "small",
    cite: str | None = None,
) -> None:
    """List the recipes, or all settings of one, as --set takes them.

    Args:
        name: A recipe's name or path/to/file.py:function.
        size: Of that recipe: small as for the embedded prior, or the paper's.
        cite: Print BibTeX of this recipe's paper instead.
    """
    from maquette import cli_tables, lookup

    if cite is not None:
        print(lookup.citation(cite))
    elif name is None:
        cli_tables.show_recipes()
    else:
        cli_tables.show_settings(name, size)


def prior(action: Given[Literal["train", "sample", "linearise", "show"]], /) -> None:
    """Train the embedded prior, draw with a prior, simplify its encoder, or tell about it.

    Args:
        action: Each has flags of its own: "maquette prior train --help".
    """


def study(action: Given[Literal["build", "serve", "tally"]], /) -> None:
    """Ask people which recipe's assets they prefer, without telling whose is which.

    Args:
        action: Each has flags of its own: "maquette study build --help".
    """


def toybox(action: Given[Literal["show"]], /) -> None:
    """The procedural world that the embedded prior has seen.

    Args:
        action: "show" writes a sheet of its objects: "maquette toybox show --help".
    """


def bench(action: Given[Literal["toy"]], /) -> None:
    """Recipes on many prompts, as tables with intervals.

    Args:
        action: "toy" is the benchmark on the toy world: "maquette bench toy --help".
    """


def doctor() -> None:
    """Check this machine: what works, what does not, and what to do about it."""
    from maquette.cli_tables import show_findings
    from maquette.doctor import examine

    if not show_findings(examine()):
        sys.exit(1)


def _watch(shown: Any, checkpoint_every: int, preview_every: int, turntable: bool) -> Watch:
    from maquette.generation import Watch

    return Watch(shown.report, shown.announce, checkpoint_every, preview_every, turntable)
