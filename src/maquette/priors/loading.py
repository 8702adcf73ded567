"""One network from a folder on disk: by a class named here, whole, and never from the network.

diffusers and transformers fill weights that a file lacks with random numbers and go on. A prior or
a judge that is partly random answers nonsense without complaint; so a missing weight is an error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from maquette.errors import PriorError

__all__ = ["FAULTS", "cannot_load", "class_named", "load_module", "load_tokenizer"]

FAULTS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError),
    SafetensorError,
)
"""What a missing or damaged file makes the two libraries raise."""


def load_module(kind: Any, folder: Path, **options: Any) -> Any:
    """The network of class ``kind`` in ``folder``, with every weight read from safetensors.

    Args:
        kind: a model class of diffusers or transformers.
        folder: its ``config.json`` and weights.
        options: further arguments of ``from_pretrained``, as the precision.

    Raises:
        PriorError: it is missing, damaged, of another class or shape, or lacks weights.
    """
    if class_named(folder) != kind.__name__:
        raise cannot_load(folder, f"it is a {class_named(folder)}, not a {kind.__name__}")
    options |= {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with _quietly():
            module, told = kind.from_pretrained(folder, **options)
    except FAULTS as fault:
        raise cannot_load(folder, fault) from fault
    if missing := sorted(told["missing_keys"]):
        raise cannot_load(folder, f"it lacks {len(missing)} weights, the first is {missing[0]}")
    return module


def load_tokenizer(folder: Path) -> Any:
    """The ``CLIPTokenizer`` in ``folder``.

    Raises:
        PriorError: it is missing or damaged.
    """
    from transformers import CLIPTokenizer

    names = ("tokenizer.json", "vocab.json")
    if not any((folder / name).is_file() for name in names):
        # The library would make a tokenizer without words, to which all texts are the same.
        raise cannot_load(folder, f"it has neither {' nor '.join(names)}")
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except FAULTS as fault:
        raise cannot_load(folder, fault) from fault


def class_named(folder: Path) -> str:
    """The class that ``config.json`` in ``folder`` names, in either library's way.

    Raises:
        PriorError: there is no such file, or it names none.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config.get("_class_name") or config["architectures"][0])
    except (*FAULTS, IndexError) as fault:
        raise cannot_load(folder, fault) from fault


def cannot_load(folder: Path, why: object) -> PriorError:
    """The error that says so in one sentence."""
    words = str(why).strip() or type(why).__name__
    return PriorError(
        f"{folder} cannot be loaded: {words.splitlines()[0].rstrip('.')}",
        "Give a folder in the layout of diffusers or transformers with safetensors weights",
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep progress bars and warnings off the terminal: what matters in them is an error here."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    loud = of_diffusers.get_verbosity(), of_transformers.get_verbosity()
    bars = of_transformers.is_progress_bar_enabled()
    of_diffusers.set_verbosity_error()
    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        of_diffusers.set_verbosity(loud[0])
        of_transformers.set_verbosity(loud[1])
        if bars:
            of_transformers.enable_progress_bar()
