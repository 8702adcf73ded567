"""Every test in this folder is an oracle: a closed form or an identity, in float64."""

from pathlib import Path

import pytest
import torch

# The oracles work on tiny tensors, for which more threads only cost time.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By folder instead of by a line in every file, which one of them would forget."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.oracles)
