"""The prior that ships with the package: small, trained on the toy world, honest about its words.

It is a folder in the diffusers layout like any other, loaded by the same code; what is added here
is a wording. A prompt that says anything else is refused with the words it knows, because a small
model asked for what it never saw would draw nonsense without complaint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.errors import InputError, PriorError
from maquette.priors.base import Prior
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.priors.wording import Wording
from maquette.records import Condition, Render, Views

__all__ = ["Worded", "check_files", "embedded", "show", "weights_folder"]


class Worded(Prior):
    """A prior that understands ordinary wording of a small world, and says what it does not.

    Args:
        prior: answers; it was trained on captions in the wording's own form.
        wording: tables of all that it knows.
    """

    def __init__(self, prior: StableDiffusion, wording: Wording) -> None:
        self.prior, self.wording = prior, wording
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.prior.decode(latents)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return self.prior.predict(noised, t, conditions)

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        plain = [self.wording.plain(text) for text in texts]
        return self.prior.condition(plain, views, render)

    def check(self, prompt: str) -> None:
        """Raise InputError with the words it knows where ``prompt`` is not understood.

        The empty text is, as the null prompt.
        """
        if not prompt.strip():
            return
        try:
            self.wording.check(prompt, f"The prior {self.name}")
        except InputError as fault:
            larger = "For free wording use a large prior: --prior FOLDER, in the diffusers layout"
            raise InputError(fault.what, f"{fault.next_step}. {larger}") from fault

    def fingerprint(self) -> dict[str, str]:
        return self.prior.fingerprint()


def weights_folder() -> Path:
    """Where the package's own weights lie."""
    return Path(__file__).resolve().parent.parent / "weights"


def embedded(name: str = "embedded-64", *, device: torch.device | str = "cpu") -> Worded:
    """Load the prior that ships with the package.

    Args:
        name: of its folder in the package's weights.
        device: where it computes.

    Raises:
        PriorError: where its files are missing or damaged.
    """
    folder = weights_folder() / name
    card = check_files(folder)
    prior = StableDiffusion.load(folder, device=device, dtype=torch.float32)
    return Worded(prior, Wording(**card["wording"]))


def show(name: str = "embedded-64") -> str:
    """Tell about packaged weights: their words, their training and their files.

    Args:
        name: of the folder in the package's weights.

    Raises:
        PriorError: where its files are missing or damaged.
    """
    folder = weights_folder() / name
    card = check_files(folder)
    sizes = {file: (folder / file).stat().st_size for file in card["sha256"]}
    stages = [
        f"  {line['stage']}: {line['samples']:,} samples, loss {line['loss']}"
        for line in card["training"]
    ]
    files = [f"  {size:>11,} bytes  {file}" for file, size in sizes.items()]
    words = [f"  {name}: {', '.join(told)}" for name, told in card["wording"]["classes"].items()]
    return "\n".join(
        [f"{folder}", "words:", *words, "training:", *stages, "files, all intact:", *files]
    )


def check_files(folder: Path) -> dict[str, Any]:
    """Read ``card.json`` and compare the sha256 of every file that it names; return the card.

    Args:
        folder: of packaged weights.

    Raises:
        PriorError: the card or a file is missing or damaged.
    """
    again = "Install maquette3d again"
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        expected, _ = dict(card["sha256"]), Wording(**card["wording"])
        for name, digest in expected.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise PriorError(f"The file {folder / name} is damaged", again)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise PriorError(
            f"The packaged weights in {folder} cannot be read: {fault}", again
        ) from fault
    return card
