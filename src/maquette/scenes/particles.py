"""Several scenes that are optimised side by side: the particles of variational score distillation.

Wang et al. 2023, ProlificDreamer, section 3.1: a prompt may mean many scenes, and a few of them
stand for that law. They share the prior, the student and the views of a step, each of which shows
one of them. All else stays a particle's own: its start, its regularisers, its growth. Parameters
carry the particle's number before their name, as in ``0.means``, and are saved and restored so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.optimiser import Adam
from maquette.ramps import Number
from maquette.randomness import Randomness
from maquette.records import Render, Views
from maquette.scenes.base import Scene
from maquette.scenes.growth import Follow, Growth, nobody

__all__ = ["GrowthOfEach", "Particles", "apart", "each", "stream_of"]

_PICTURES = ("colour", "alpha", "depth", "depth_variance", "normals")
"""What a render has a row of for each view."""


class Particles(Scene):
    """K scenes. A step sees them through ``shown``; else every view shows the first one.

    Args:
        scenes: the particles, which stay what they are.
        turns: which views show which particle, as ``shown`` finds; None outside of a step.

    Raises:
        InputError: there is no scene.
    """

    def __init__(self, scenes: Sequence[Scene], turns: Mapping[int, slice] | None = None) -> None:
        if not scenes:
            raise InputError("Particles of no scene are none", "Give at least one scene")
        self.scenes, self.turns = tuple(scenes), turns

    def shown(self, views: int, random: Randomness) -> Particles:
        """What a step of ``views`` views looks at: the particles by turns, from a drawn one on.

        With fewer views than particles some are not shown. They have no parameters in the answer,
        so that the step leaves them as they are.
        """
        count = len(self.scenes)
        start = int(random.from_view(0).uniform("particles", 1) * count) + random.first_view
        turns = {(start + i) % count: slice(i, None, count) for i in range(min(views, count))}
        return Particles(self.scenes, turns)

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        """Pictures in the order of ``views``; what a picture does not have is in its parts only."""
        turns = {0: slice(None)} if self.turns is None else self.turns
        parts = {
            number: self.scenes[number].render(views[rows], background[rows], geometry=geometry)
            for number, rows in turns.items()
        }
        places = torch.arange(len(views), device=background.device)
        order = torch.cat([places[rows] for rows in turns.values()]).argsort()
        pictures = {name: _joined(name, parts, order) for name in _PICTURES}
        scales = _joined("scales", parts)
        return _Together(**pictures, scales=scales, parts=parts)  # pyright: ignore[reportArgumentType]

    def parameters(self) -> dict[str, Tensor]:
        numbers = range(len(self.scenes)) if self.turns is None else self.turns
        return {
            f"{number}.{name}": value
            for number in numbers
            for name, value in self.scenes[number].parameters().items()
        }

    def replace(self, parameters: dict[str, Tensor]) -> None:
        if parameters.keys() != self.parameters().keys():
            raise InputError(
                f"{sorted(parameters)} are not the parameters of {len(self.scenes)} particles",
                f"Give exactly {', '.join(self.parameters())}",
            )
        for number in {int(name.partition(".")[0]) for name in parameters}:
            self.scenes[number].replace(_own(parameters, number))

    def rates(self, rates: Mapping[str, Number]) -> dict[str, Number]:
        """Learning rates by the names of ``parameters``, from those of a single scene."""
        numbers = range(len(self.scenes)) if self.turns is None else self.turns
        return {f"{number}.{name}": rate for number in numbers for name, rate in rates.items()}

    @property
    def count(self) -> int:
        return sum(scene.count for scene in self.scenes)


@dataclass(frozen=True)
class GrowthOfEach(Growth):
    """Growth of every particle for itself, by its own renders; its bounds are each particle's.

    Steps are those in which a particle was shown, so that with fewer views than particles each
    still acts on as many renders. A scene that is no particles grows as ever.
    """

    def init(self, scene: Scene) -> dict[str, Tensor]:
        if not isinstance(scene, Particles):
            return super().init(scene)
        state: dict[str, Tensor] = {}
        for number, particle in enumerate(scene.scenes):
            own = {**super().init(particle), "steps": torch.tensor(0)}
            state |= _numbered(own, number)
        return state

    def after_step(
        self,
        scene: Scene,
        optimiser: Adam,
        render: Render,
        state: Mapping[str, Tensor],
        random: Randomness,
        follow: Follow = nobody,
    ) -> dict[str, Tensor]:
        """As a single scene's; ``follow`` is not told of particles, whose rows it cannot know."""
        if not isinstance(scene, Particles) or not isinstance(render, _Together):
            return super().after_step(scene, optimiser, render, state, random, follow)
        after = dict(state)
        for number, part in render.parts.items():
            own, moments = _own(state, number), optimiser.part(f"{number}.")
            steps = own.pop("steps")
            stream = stream_of(random, number).at(int(steps))
            own = super().after_step(scene.scenes[number], moments, part, own, stream)
            after |= _numbered({**own, "steps": steps + 1}, number)
        return after


def apart(scene: Scene, render: Render) -> list[tuple[Scene, Render, float]]:
    """Each particle that ``render`` shows, with its own render and its share of the views.

    A scene that is no particles is its own only part. What is averaged over the views of a render
    is the sum of the parts' averages times their shares, so regularisers keep their strength.
    """
    if not isinstance(scene, Particles) or not isinstance(render, _Together):
        return [(scene, render, 1.0)]
    total = len(render.colour)
    return [
        (scene.scenes[number], part, len(part.colour) / total)
        for number, part in render.parts.items()
    ]


def each(scene: Scene) -> tuple[Scene, ...]:
    """The particles of ``scene``; one that is no particles is its own only one."""
    return scene.scenes if isinstance(scene, Particles) else (scene,)


def stream_of(random: Randomness, number: int) -> Randomness:
    """The stream of one particle; the first one has that of a run of its own."""
    if number == 0:
        return random
    return replace(random, seed=random.at(0).generator(f"particle {number}").initial_seed())


@dataclass(frozen=True)
class _Together(Render):
    """A render of several particles, with that of each."""

    parts: Mapping[int, Render] = field(default_factory=dict)


def _joined(name: str, parts: Mapping[int, Render], order: Tensor | None = None) -> Tensor | None:
    """What all parts have by this name, one after the other or in order; None if one has none."""
    values = [getattr(part, name) for part in parts.values()]
    if any(value is None for value in values):
        return None
    return torch.cat(values) if order is None else torch.cat(values)[order]


def _numbered(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    return {f"{number}.{name}": value for name, value in tensors.items()}


def _own(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """What belongs to one particle, by its own names."""
    prefix = f"{number}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
