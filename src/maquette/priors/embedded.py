"""The prior that ships with the package: small, trained on the toy world, and honest about its words.

It is a folder in the diffusers layout like any other, loaded by the same code; what is added here is
a vocabulary. A prompt with a word outside it is refused with the words it knows, because a small
model asked for what it never saw would draw nonsense without complaint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from maquette.errors import InputError, PriorError
from maquette.priors.base import Prior
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.records import Condition, Render, Views

__all__ = ["Worded", "check_files", "embedded", "weights_folder"]


class Worded(Prior):
    """A prior that understands a fixed list of words and says so."""

    def __init__(self, prior: StableDiffusion, words: Sequence[str]) -> None:
        self.prior, self.words = prior, tuple(words)
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures ``[B, H, W, 3]`` of latents ``[B, C, h, w]``."""
        return self.prior.decode(latents)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return self.prior.predict(noised, t, conditions)

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition([text.lower() for text in texts], views, render)

    def check(self, prompt: str) -> None:
        """Raise InputError with the words it knows where ``prompt`` has others."""
        asked = re.findall(r"[^\s,]+|,", prompt.lower())
        unknown = list(dict.fromkeys(word for word in asked if word not in self.words))
        if not unknown:
            return
        shown = ", ".join(repr(word) for word in unknown[:5])
        near = [get_close_matches(word, self.words, 1) for word in unknown[:5]]
        hint = "".join(f"; did you mean {close[0]!r}?" for close in near[:1] if close)
        known = " ".join(word for word in self.words if word.isalpha())
        raise InputError(
            f"The prior {self.name} does not know {shown}{hint} It knows these words: {known}",
            "For free wording use a large prior: --prior FOLDER, in the diffusers layout",
        )

    def fingerprint(self) -> dict[str, str]:
        return self.prior.fingerprint()


def weights_folder() -> Path:
    """Where the package's own weights lie."""
    return Path(__file__).resolve().parent.parent / "weights"


def embedded(name: str = "embedded-64", *, device: torch.device | str = "cpu") -> Worded:
    """Load the prior that ships with the package.

    Raises:
        PriorError: where its files are missing or damaged.
    """
    folder = weights_folder() / name
    card = check_files(folder)
    prior = StableDiffusion.load(folder, device=device, dtype=torch.float32)
    return Worded(prior, card["words"])


def check_files(folder: Path) -> dict:
    """Read ``card.json`` and compare the sha256 of every file that it names; return the card."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        for name, expected in card["sha256"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                raise PriorError(
                    f"The file {folder / name} is damaged", "Install maquette3d again"
                )
    except (OSError, ValueError, KeyError) as fault:
        raise PriorError(
            f"The packaged weights in {folder} cannot be read: {fault}",
            "Install maquette3d again",
        ) from fault
    return card
