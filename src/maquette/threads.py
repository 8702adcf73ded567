"""How many CPU threads compute, for as long as something lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from maquette.errors import InputError

__all__ = ["check_threads", "using_threads"]


def check_threads(threads: int | None) -> None:
    """Raise InputError for fewer than one; None is as many as there are."""
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot compute", "Give at least 1")


@contextlib.contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Inside the block that many compute, where a number is given; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
