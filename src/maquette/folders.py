"""Names of run folders, paths that stay inside their root, and the lock of a running run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maquette.errors import DiskError, InputError, RefusedError, RunError
from maquette.store import canonical, disk_errors

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are then the user's own business.
    fcntl = None

__all__ = ["check_output", "check_prompt", "lock", "run_name", "safe_join", "slug"]

LONGEST_PROMPT = 1000
SLUG_CHARACTERS = 60
SLUG_BYTES = 100
LOCK = ".lock"


def check_prompt(prompt: str) -> str:
    """``prompt`` without outer blanks and in Unicode's composed form.

    Raises:
        InputError: it is empty, too long, or holds characters that are no text.
    """
    clean = unicodedata.normalize("NFC", prompt.strip())
    if not clean:
        raise InputError("The prompt is empty", 'Say what to make, as in "a red mug"')
    if len(clean) > LONGEST_PROMPT:
        raise InputError(
            f"The prompt has {len(clean):,} characters, and {LONGEST_PROMPT:,} is the limit",
            "Say it shorter; priors read a few dozen words",
        )
    for place, character in enumerate(clean):
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InputError(
                f"The prompt holds the control character U+{ord(character):04X} at place {place}",
                "Write it in plain text",
            )
    return clean


def slug(prompt: str) -> str:
    """A readable file name of letters, digits and single hyphens, at most 60 characters long."""
    letters = "".join(
        c if c.isalnum() else "-" for c in unicodedata.normalize("NFKC", prompt).casefold()
    )
    words = unicodedata.normalize("NFC", "-".join(w for w in letters.split("-") if w))
    words = words[:SLUG_CHARACTERS].encode()[:SLUG_BYTES].decode(errors="ignore")
    return words.strip("-") or "prompt"


def run_name(prompt: str, seed: int, recipe: dict[str, Any], prior: str) -> str:
    """The folder's name of one run: two runs share it exactly where they are the same run."""
    identity = canonical([prompt, seed, recipe, prior])
    return f"{slug(prompt)}-{hashlib.sha256(identity).hexdigest()[:10]}"


def safe_join(root: Path, *names: str) -> Path:
    """``root / name / ...`` where every name stays inside and no link leads out.

    Raises:
        RefusedError: a name is absolute, climbs, or is a link.
    """
    path = root
    for name in names:
        if name in ("", ".", "..") or "\0" in name or Path(name).name != name or "\\" in name:
            raise RefusedError(f"{name!r} is no plain file name inside {root}")
        path = path / name
        if path.is_symlink():
            raise RefusedError(f"{path} is a link, and links inside a run folder are not followed")
    return path


def check_output(out: Path, needed_bytes: int) -> None:
    """Refuse an output folder that cannot take a run, before any work is done.

    Raises:
        InputError: a file stands where the folder should be.
        DiskError: it may not be written to, or the disk has too little space.
    """
    there = next(p for p in [out.absolute(), *out.absolute().parents] if _exists(p))
    if not there.is_dir():
        raise InputError(f"{there} is a file, not a folder", "Choose another folder with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DiskError(f"{there} may not be written to", "Choose another folder with --out")
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise DiskError(
            f"{there} has {free:,} bytes free, and a run needs {needed_bytes:,}",
            "Free some space or choose another folder with --out",
        )


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; the kernel lets go of it even after kill -9.

    Raises:
        RunError: another process holds it.
    """
    path = safe_join(folder, LOCK)
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"The run in {folder} is already running in another process",
                    "Wait for it, or stop it first",
                ) from error
        yield
    finally:
        os.close(handle)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # A name too long for the file system, for one.
        return False
