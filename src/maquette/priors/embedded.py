"""The prior that ships with the package: small, trained on the toy world, honest about its words.

It is a folder in the diffusers layout like any other, loaded by the same code; what is added here
is a vocabulary. A prompt with a word outside it is refused with the words it knows, because a small
model asked for what it never saw would draw nonsense without complaint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.errors import InputError, PriorError
from maquette.priors.base import Prior
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.records import Condition, Render, Views

__all__ = ["Worded", "check_files", "embedded", "show", "unknown_words", "weights_folder"]


class Worded(Prior):
    """A prior that understands a fixed list of words and says so.

    Args:
        prior: answers.
        words: all that it knows, in lower case; a comma counts as one.
    """

    def __init__(self, prior: StableDiffusion, words: Sequence[str]) -> None:
        self.prior, self.words = prior, tuple(words)
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
        return self.prior.condition([text.lower() for text in texts], views, render)

    def check(self, prompt: str) -> None:
        """Raise InputError with the words it knows where ``prompt`` has others."""
        unknown = unknown_words(prompt, self.words)
        if not unknown:
            return
        near = get_close_matches(unknown[0], self.words, 1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        known = " ".join(word for word in self.words if word.isalpha())
        raise InputError(
            f"The prior {self.name} does not know {', '.join(map(repr, unknown[:5]))}",
            f"{guess}It knows these words: {known}. For free wording use a large prior: "
            "--prior FOLDER, in the diffusers layout",
        )

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
    return Worded(prior, card["words"])


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
    words = " ".join(word for word in card["words"] if word.isalpha())
    return "\n".join(
        [f"{folder}", "words:", f"  {words}", "training:", *stages, "files, all intact:", *files]
    )


def unknown_words(text: str, words: Sequence[str]) -> list[str]:
    """The words of ``text`` that are not among ``words``, each once."""
    asked = re.findall(r"[^\s,]+|,", text.lower())
    return list(dict.fromkeys(word for word in asked if word not in words))


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
        expected, _ = dict(card["sha256"]), list(card["words"])
        for name, digest in expected.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise PriorError(f"The file {folder / name} is damaged", again)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise PriorError(
            f"The packaged weights in {folder} cannot be read: {fault}", again
        ) from fault
    return card
