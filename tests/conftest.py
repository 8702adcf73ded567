"""One thread for every test: small tensors run faster so, and workers do not fight for cores."""

import signal

import pytest
import torch

from browser import chromium

torch.set_num_threads(1)
# A shell ignores Ctrl-C for what it starts in the background, and programs inherit that. The tests
# that send it need the usual answer wherever they are started.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests in a browser out where there is none; asked for by name, they run and fail."""
    asked = "browser" in config.getoption("markexpr")
    if asked or chromium() is not None:
        return
    out = [item for item in items if item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if not item.get_closest_marker("browser")]
