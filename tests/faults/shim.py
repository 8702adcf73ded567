"""A stand-in for the operating system's calls that can fail or die at the N-th of them."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any

import pytest

from maquette import folders, journal, store

WRITING = os.O_WRONLY | os.O_RDWR
CHANGING = ("open", "write", "fsync", "close", "replace", "rename", "mkdir")


class Died(BaseException):
    """Never caught by the library's own handlers of errors; for children that cannot die."""


class System:
    """The os module, its changing calls counted; at call ``at`` something happens.

    Args:
        at: which call, counted from 1; 0 lets all of them pass.
        code: an errno to raise at that call, or None to end the process instead.
        after: whether the process ends after the call was done, not before.
        lasting: whether all later calls fail, too.
    """

    def __init__(
        self, at: int = 0, code: int | None = None, *, after: bool = False, lasting: bool = False
    ) -> None:
        self.at, self.code, self.after, self.lasting = at, code, after, lasting
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(real, name) if name in CHANGING else real

    def _counted(self, real: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            now = self.count == self.at or (self.lasting and self.at and self.count > self.at)
            # No disk is too full to be read from, nor to be let go of.
            harmless = name == "close" or (name == "open" and not args[1] & WRITING)
            if not now or (self.code is not None and harmless):
                return real(*args, **kwargs)
            if self.code is not None:
                raise OSError(self.code, os.strerror(self.code))
            if not self.after:
                os._exit(9)
            real(*args, **kwargs)
            return os._exit(9)

        return call

    def rmtree(self, *args: Any, **kwargs: Any) -> None:
        """Deleting counts as one call, and may die half way: the files go, the folder stays."""
        self.count += 1
        if self.count == self.at and self.code is None and not self.after:
            for base, _, names in os.walk(args[0]):
                for name in names[:1]:
                    os.unlink(os.path.join(base, name))  # noqa: PTH108, PTH118
            os._exit(9)
        shutil.rmtree(*args, **kwargs)
        if self.count == self.at and self.code is None:
            os._exit(9)


class _Shutil:
    def __init__(self, system: System) -> None:
        self.rmtree = system.rmtree

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)


def install(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    """Put ``system`` between the library's writing modules and the operating system."""
    for module in (store, journal, folders):
        monkeypatch.setattr(module, "os", system)
    monkeypatch.setattr(store, "shutil", _Shutil(system))
    return system


FULL, BROKEN, READ_ONLY, QUOTA = errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT
