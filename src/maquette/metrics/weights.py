"""Weights of measuring networks from a folder on disk: safetensors, whole, never from the network.

Several metrics were published as pickled files, which this library does not open. Each has a
:class:`Source` that knows where they lie and writes the one command that fetches them and turns
them into a folder that can be read here; an error about a missing file shows that command.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maquette.errors import PriorError
from maquette.priors.loading import FAULTS

__all__ = ["CONFIG", "WEIGHTS", "Source", "fill", "read_config", "read_weights"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Source:
    """Where the files of a folder come from, as a command that makes it."""

    urls: tuple[str, ...]
    """What is downloaded; names that end in .pth, .pt, .bin or .safetensors hold weights."""

    prefixes: tuple[str, ...]
    """How the names of the weights begin that are kept."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """What ``config.json`` says; none is written where it is empty."""

    def command(self, folder: Path | str) -> str:
        """One line for a POSIX shell with curl and this Python environment."""
        into = shlex.quote(str(folder))
        fetch = [f"curl -fLO '{url}'" for url in self.urls]
        steps = [f"mkdir -p {into}", f"cd {into}", *fetch, f'python -c "{self.conversion()}"']
        return " && ".join(steps)

    def conversion(self) -> str:
        """Python that turns the downloaded weights into safetensors, run where they lie."""
        names = [url.rpartition("/")[2] for url in self.urls]
        files = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".safetensors"))]
        pickled = "torch.load(f, map_location='cpu', weights_only=True)"
        code = (
            "import json, torch, safetensors.torch as s; "
            f"s.save_file({{k: v.clone() for f in {files} for k, v in "
            f"(s.load_file(f) if f.endswith('.safetensors') else {pickled}).items() "
            # Some versions of transformers refuse a file that does not say what it is for.
            f"if k.startswith({self.prefixes})}}, '{WEIGHTS}', {{'format': 'pt'}})"
        )
        if self.config:
            code += f"; json.dump({dict(self.config)}, open('{CONFIG}', 'w'))"
        return code

    def refuse(self, folder: Path, why: object) -> PriorError:
        """The error about a folder that cannot be used, with the command that makes a good one."""
        words = (str(why).strip() or type(why).__name__).splitlines()[0].rstrip(".")
        return PriorError(
            f"{folder} cannot be loaded: {words}",
            f"Nothing is downloaded here by itself; make the folder with `{self.command(folder)}`",
        )


def read_weights(folder: Path, source: Source) -> dict[str, Tensor]:
    """The tensors of ``model.safetensors`` in ``folder``, in float32 on the CPU.

    Raises:
        PriorError: it is missing or damaged; with the command that makes it.
    """
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise source.refuse(folder, f"it has no {WEIGHTS}")
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except FAULTS as fault:
        raise source.refuse(folder, fault) from fault


def read_config(folder: Path, source: Source) -> dict[str, Any]:
    """The plain data of ``config.json`` in ``folder``.

    Raises:
        PriorError: it is missing or damaged; with the command that makes it.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise source.refuse(folder, f"it has no {CONFIG}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FAULTS as fault:
        raise source.refuse(folder, fault) from fault
    if not isinstance(config, dict):
        raise source.refuse(folder, f"{CONFIG} does not hold what it should")
    return config


def fill(module: nn.Module, weights: Mapping[str, Tensor], folder: Path, source: Source) -> None:
    """Give ``module``, which may lie on the meta device, every one of its weights.

    Weights that it has no use for are left out: a published file often holds a classifier too.

    Raises:
        PriorError: a weight is missing, of another shape, or not finite.
    """
    for name, own in module.state_dict().items():
        if name not in weights:
            raise source.refuse(folder, f"it lacks the weight {name}")
        shapes = list(weights[name].shape), list(own.shape)
        if shapes[0] != shapes[1]:
            raise source.refuse(folder, f"{name} has shape {shapes[0]}, not {shapes[1]}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise source.refuse(folder, f"{name} holds a number that is none")
    module.load_state_dict(
        {name: weights[name] for name in module.state_dict()}, strict=True, assign=True
    )
    module.eval().requires_grad_(False)
