"""The contract of a start: what the scene is before the first step."""

from __future__ import annotations

from abc import ABC, abstractmethod

from maquette.randomness import Randomness
from maquette.scenes.base import Scene

__all__ = ["Init"]


class Init(ABC):
    """Makes the first scene; a frozen dataclass that is its own configuration."""

    @abstractmethod
    def make(self, prompt: str, random: Randomness) -> Scene:
        """A fresh scene for ``prompt``, the same for the same ``random``."""

    def tiny(self) -> Init:
        """The same start with few primitives and without a network, for tests and rehearsals."""
        return self
