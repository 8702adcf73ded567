"""Several starts from one: the particles of variational score distillation."""

from __future__ import annotations

from dataclasses import dataclass

from maquette.errors import InputError
from maquette.inits.base import Init
from maquette.inits.sphere import Sphere
from maquette.randomness import Randomness
from maquette.scenes.particles import Particles, stream_of

__all__ = ["Several"]


@dataclass(frozen=True)
class Several(Init):
    """The same start several times, each with random numbers of its own.

    The first particle is what ``init`` makes in a run of a single scene.

    Raises:
        InputError: for fewer than 1 particle.
    """

    init: Init = Sphere()
    """How each particle starts."""
    particles: int = 4
    """How many; ProlificDreamer has up to 4."""

    def __post_init__(self) -> None:
        if self.particles < 1:
            raise InputError(f"A start of {self.particles} particles is none", "Give at least 1")

    def make(self, prompt: str, random: Randomness) -> Particles:
        streams = [stream_of(random, number) for number in range(self.particles)]
        return Particles([self.init.make(prompt, stream) for stream in streams])

    def tiny(self) -> Several:
        return Several(self.init.tiny(), min(self.particles, 2))
