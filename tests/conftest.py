"""One thread for every test: small tensors run faster so, and workers do not fight for cores."""

import pytest
import torch

from browser import chromium

torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests in a browser out where there is none; asked for by name, they run and fail."""
    asked = "browser" in config.getoption("markexpr")
    if asked or chromium() is not None:
        return
    out = [item for item in items if item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if not item.get_closest_marker("browser")]
