"""What the fault tests share: one unharmed tiny run to compare with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tiny


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run to which nothing happened; tests must not change it."""
    torch.set_num_threads(1)
    return tiny.make(tmp_path_factory.mktemp("unharmed")).folder


@pytest.fixture
def in_child() -> Callable[[Callable[[], int]], int]:
    """Run a function in a forked process; its exit code, or minus the signal that ended it."""

    def run(function: Callable[[], int]) -> int:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                # Whatever a dying child prints is not the test's business.
                silence = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silence, 1)
                os.dup2(silence, 2)
                code = function()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run
