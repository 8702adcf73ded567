"""The doctor: does this machine have what a run needs, and what is to be done where it does not?"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from maquette.errors import MaquetteError

__all__ = ["Finding", "examine"]

LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: was looked at.
        state: it was found in.
        ok: whether runs can work with that.
        hint: what to do, or "".
    """

    what: str
    state: str
    ok: bool = True
    hint: str = ""


def examine(folder: Path = Path()) -> Iterator[Finding]:
    """Look at everything, one after the other; ``folder`` is where runs would go."""
    for look in (_python, _torch, _torchvision, _renderer, _weights, _film):
        yield _safely(look)
    yield _safely(lambda: _disk(folder))


def _safely(look: Callable[[], Finding]) -> Finding:
    """A look that fails is a finding, too: the doctor itself must never fall ill."""
    try:
        return look()
    except Exception as error:
        what = look.__name__.strip("_")
        hint = error.next_step if isinstance(error, MaquetteError) else "Install maquette3d again"
        return Finding(what, f"{type(error).__name__}: {error}", False, hint)


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding(
        "python", platform.python_version(), ok, "" if ok else "Use Python 3.11 or newer"
    )


def _torch() -> Finding:
    import torch

    where = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    if torch.cuda.is_available():
        where += f", {torch.cuda.get_device_name(0)}"
    return Finding("torch", f"{torch.__version__}, {where}")


def _torchvision() -> Finding:
    """One built for another torch breaks diffusers; it is tried in a process of its own."""
    if importlib.util.find_spec("torchvision") is None:
        return Finding("torchvision", "not installed, and not needed")
    command = [sys.executable, "-c", "import torchvision; print(torchvision.__version__)"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if tried.returncode == 0:
        return Finding("torchvision", f"{tried.stdout.strip()} works, and is not needed")
    reason = (tried.stderr.strip() or "it crashed").splitlines()[-1]
    hint = "It was built for another torch and breaks diffusers: pip uninstall torchvision"
    return Finding("torchvision", f"cannot be imported ({reason})", False, hint)


def _renderer() -> Finding:
    import torch

    from maquette.inits.sphere import Sphere
    from maquette.randomness import Randomness
    from maquette.records import Views

    scene = Sphere(count=32).make("", Randomness(0))
    render = scene.render(Views.ring(1, size=16), torch.ones(1, 3))
    (render.colour.sum() + render.alpha.sum()).backward()
    gradients = [p.grad for p in scene.parameters().values()]
    well = all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    well = well and float(render.alpha.detach().max()) > 0.01
    state = "draws and carries gradients" if well else "draws nothing or carries no gradients"
    return Finding("renderer", state, well, "" if well else "Install numba again")


def _weights() -> Finding:
    from maquette.priors.embedded import check_files, weights_folder

    folders = sorted(p for p in weights_folder().glob("*") if p.is_dir())
    if not folders:
        hint = "Install maquette3d again, or train the prior: maquette prior train"
        return Finding("embedded weights", f"none in {weights_folder()}", False, hint)
    for folder in folders:
        check_files(folder)
    return Finding("embedded weights", f"{', '.join(p.name for p in folders)}: intact")


def _film() -> Finding:
    import imageio_ffmpeg

    return Finding("ffmpeg", imageio_ffmpeg.get_ffmpeg_version())


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    state = f"{free / 2**30:.1f} GiB free in {folder.resolve()}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", f"{folder.resolve()} may not be written to", False, "Use --out")
    ok = free >= LEAST_FREE_BYTES
    return Finding("disk", state, ok, "" if ok else "Free some space, or use --out")
