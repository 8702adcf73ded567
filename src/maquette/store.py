"""Files that are whole or absent, and folders likewise, whatever kills the program in between.

A file is written under a temporary name, synced, renamed over its final name, and the folder's
entry is synced. A sealed folder (a checkpoint) is a temporary folder of synced files with a
manifest that names each file's size and sha256 and carries a seal over itself; one rename makes it
exist. So at any instant, with any operation failing, there is the previous state or the new one and
never a third.

All writes go through the calls of ``os`` here, so that tests can count them and fail each. Every
operating system's error in them becomes a :class:`DiskError` that names the path, the space that
was needed and the space that is free.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maquette.errors import CheckpointError, DiskError

__all__ = [
    "SCHEMA",
    "canonical",
    "discard",
    "disk_errors",
    "read_json",
    "read_sealed",
    "sha256_of",
    "sweep",
    "sync_folder",
    "whole_file",
    "write_file",
    "write_json",
    "write_sealed",
]

SCHEMA = 1
"""The version of everything written as JSON; a reader refuses any other."""
MANIFEST = "manifest.json"
LARGEST_JSON_BYTES = 16 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def disk_errors(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn every OSError of the block into a DiskError about ``path``."""
    try:
        yield
    except OSError as error:
        raise _disk_error(path, needed_bytes, error) from error


def write_file(path: Path, data: bytes) -> None:
    """Make ``path`` hold ``data``: whole or, where anything fails, as before.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """
    with whole_file(path, len(data)) as temporary:
        _write(temporary, data)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Like :func:`write_file` for plain data, with sorted keys and the schema's version."""
    text = json.dumps({"schema": SCHEMA, **data}, indent=2, sort_keys=True, ensure_ascii=False)
    write_file(path, (text + "\n").encode())


@contextlib.contextmanager
def whole_file(path: Path, needed_bytes: int = 0) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it replaces ``path`` where the block succeeds.

    The suffix stays, because encoders choose their format by it.
    """
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        with disk_errors(path, needed_bytes):
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)  # noqa: PTH105
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_sealed(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Make the sealed folder ``folder`` of ``files`` and a manifest with ``facts``, then verify it.

    A damaged folder of the same name is moved out of the way first.

    Raises:
        DiskError: the disk is full, read-only or failing, or what was written reads differently.
    """
    entries = {
        name: {"sha256": sha256_of(data), "bytes": len(data)} for name, data in files.items()
    }
    manifest = _seal({"schema": SCHEMA, **facts, "files": entries})
    temporary = folder.with_name(f".part-{folder.name}")
    needed = sum(len(data) for data in files.values()) + len(manifest)
    with disk_errors(folder, needed):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        os.mkdir(temporary)  # noqa: PTH102
        try:
            for name, data in {**files, MANIFEST: manifest}.items():
                _write(temporary / name, data)
                _sync(temporary / name)
            sync_folder(temporary)
            if folder.exists():
                discard(folder)
            os.rename(temporary, folder)  # noqa: PTH104
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    try:
        read_sealed(folder)
    except CheckpointError as error:
        raise DiskError(
            f"{folder} was written but reads back differently: {error.what}",
            "Check the disk and resume; the last good state is intact",
        ) from error


def read_sealed(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files of a sealed folder, all of them verified.

    Raises:
        CheckpointError: anything is missing, altered, a link, or of another schema.
    """
    manifest = _unseal(folder / MANIFEST)
    files: dict[str, bytes] = {}
    for name, entry in manifest["files"].items():
        if Path(name).name != name:
            raise CheckpointError(f"{folder} names a file outside itself: {name!r}")
        data = _read(folder / name, entry["bytes"])
        if len(data) != entry["bytes"] or sha256_of(data) != entry["sha256"]:
            raise CheckpointError(f"{folder / name} is damaged: it is not what was written")
        files[name] = data
    return manifest, files


def read_json(path: Path) -> dict[str, Any]:
    """The plain data of a file that :func:`write_json` wrote.

    Raises:
        CheckpointError: no such file, not JSON, or another schema.
    """
    return _parse(path, _read(path, LARGEST_JSON_BYTES))


def discard(folder: Path) -> None:
    """Delete a sealed folder: it is gone by one rename, and then cleared away."""
    doomed = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)  # noqa: PTH104
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Clear away what killed writers left behind in ``folder``."""
    for left in sorted(folder.iterdir()):
        if left.name.startswith((".part-", ".old-")) and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the entries of ``folder`` survive a power cut."""
    if os.name != "posix":  # Windows has no such call, and its renames need none.
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(data: bytes) -> str:
    """The sha256 of ``data`` in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical(data: Any) -> bytes:
    """Plain data as the one JSON text that stands for it, to be hashed."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NOFOLLOW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | _NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def _read(path: Path, largest_bytes: int) -> bytes:
    """At most one byte more than ``largest_bytes``: a wrong size shows, and none is trusted."""
    try:
        handle = os.open(path, os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if os.fstat(file.fileno()).st_size > largest_bytes:
                raise CheckpointError(f"{path} is larger than it can be")
            return file.read(largest_bytes + 1)
    except OSError as error:
        reason = "is a link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise CheckpointError(f"{path} {reason}") from error


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON file") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path} does not hold what it should")
    if parsed.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path} has schema {parsed.get('schema')!r}, and this version reads {SCHEMA}",
            "Use the version of Maquette that wrote it",
        )
    return parsed


def _seal(manifest: dict[str, Any]) -> bytes:
    sealed = {**manifest, "seal": sha256_of(canonical(manifest))}
    return (json.dumps(sealed, indent=2, sort_keys=True) + "\n").encode()


def _unseal(path: Path) -> dict[str, Any]:
    manifest = _parse(path, _read(path, LARGEST_JSON_BYTES))
    seal = manifest.pop("seal", None)
    try:
        intact = sha256_of(canonical(manifest)) == seal
    except ValueError:  # A not-a-number, which no manifest of ours holds.
        intact = False
    if not intact:
        raise CheckpointError(f"{path} is damaged: its seal does not fit")
    return manifest


def _disk_error(path: Path, needed_bytes: int, error: OSError) -> DiskError:
    if error.errno in _FULL:
        space = f"{needed_bytes:,} bytes were needed and {_free_bytes(path):,} are free"
        return DiskError(
            f"The disk is full: {path} could not be written ({space})",
            "Free some space and resume; the last good state is intact",
        )
    if error.errno in _READ_ONLY:
        return DiskError(
            f"{path} could not be written: {error.strerror}",
            "Choose a folder that you may write to with --out",
        )
    return DiskError(
        f"{path} could not be written: {error.strerror or error}",
        "Check the disk and resume; the last good state is intact",
    )


def _free_bytes(path: Path) -> int:
    for parent in path.parents:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(parent).free
    return 0
