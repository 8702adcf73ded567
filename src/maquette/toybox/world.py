"""The toy world's pictures: sample ``index`` of world ``seed`` depends on nothing else.

A counter-based generator keyed by (seed, index) draws everything about one picture, so any range
can be drawn in any order, by any number of processes, and be the same.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator, Philox

from maquette.camera import FOV_Y_DEG, intrinsics_from_fov, orbit_pose, view_word
from maquette.records import Rgb
from maquette.toybox.arrange import Paint, assemble
from maquette.toybox.captions import (
    FLAT,
    RELATIONS,
    Description,
    caption,
    descriptions,
    held_out,
)
from maquette.toybox.colours import COLOURS, shows_on
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS
from maquette.toybox.shapes import pack
from maquette.toybox.tracer import Traced, trace

__all__ = [
    "KIND_NAMES",
    "Batch",
    "Sample",
    "batch",
    "describe",
    "draw_thing",
    "sample",
    "specimen",
    "true_picture",
    "view_of",
]

KIND_NAMES: tuple[str, ...] = tuple(KINDS)
_NAMES = tuple(COLOURS)
_VARIATION_KEY = 0x6D6171
RELATED = 0.12
"""Share of the pictures that show two objects."""

Words = tuple[str, str]
"""The colour words of both slots."""


@dataclass(frozen=True)
class Sample:
    """One picture and everything its caption may or may not tell.

    Attributes:
        picture: ``[H, W, 3]`` uint8 sRGB.
        caption: possibly without colours, without a view word, or empty.
        description: the true kind and colour words; none where the colours were left open.
        colours: the colour word of both slots (the same twice for a plain object).
        view: the true view word, whether the caption names it or not.
        kind_id: index into ``KIND_NAMES``.
        azimuth_deg, elevation_deg, distance, fov_y_deg: the camera, as in ``maquette.camera``.
        background: sRGB in [0, 1].
    """

    picture: np.ndarray
    caption: str
    description: Description
    colours: tuple[str, str]
    view: str
    kind_id: int
    azimuth_deg: float
    elevation_deg: float
    distance: float
    fov_y_deg: float
    background: Rgb


@dataclass(frozen=True)
class Batch:
    """Consecutive samples: ``pictures [N, H, W, 3]`` uint8, and the rest in the same order."""

    pictures: np.ndarray
    captions: list[str]
    kind_ids: np.ndarray
    azimuths_deg: np.ndarray
    elevations_deg: np.ndarray
    descriptions: list[Description]
    views: list[str]


def _camera(
    azimuth_deg: float, elevation_deg: float, distance: float, fov_y_deg: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    angles = torch.tensor([[azimuth_deg], [elevation_deg], [distance], [fov_y_deg]]).double()
    pose = orbit_pose(angles[0], angles[1], angles[2])[0].numpy()
    return pose, intrinsics_from_fov(angles[3], size, size)[0].numpy()


def _light(random: Generator, pose: np.ndarray) -> np.ndarray:
    """A direction towards a light above and behind the camera."""
    towards = -pose[:3, 2] + 0.6 * np.array([0.0, 0.0, 1.0]) + random.normal(0.0, 0.3, 3)
    return towards / np.linalg.norm(towards)


def draw_thing(
    random: Generator, held_out: bool = False, related: float = RELATED
) -> tuple[Description, list[Words], list[Paint], np.ndarray]:
    """Draw an object, or two: what a caption tells, colour words, paints and packed primitives."""
    description, words = describe(random, held_out, related)
    paints = [_paint(random, pair) for pair in words]
    return description, words, paints, pack(assemble(description, paints, random))


def describe(
    random: Generator, only_held_out: bool = False, related: float = RELATED
) -> tuple[Description, list[Words]]:
    """Draw what is shown and how much of it the caption tells, and the colours of both slots."""
    while True:
        described, words = _one_thing(random, with_finish=True)
        colours = [words]
        shown = replace(described, colours=_as_told(described.kind, words))
        if random.random() < related:
            relation = RELATIONS[random.integers(len(RELATIONS))]
            kinds = FLAT if relation == "on" else KIND_NAMES
            second, other_words = _one_thing(random, kinds, with_finish=False)
            told = replace(second, colours=_as_told(second.kind, other_words))
            shown = replace(shown, relation=relation, other=told, size="")
            described = replace(described, relation=relation, other=second, size="")
            colours.append(other_words)
        # Decided by what is shown, not by what is told of it.
        if held_out(shown) == only_held_out:
            return described, colours


def _one_thing(
    random: Generator, kinds: Sequence[str] = KIND_NAMES, *, with_finish: bool
) -> tuple[Description, Words]:
    """One object as the caption tells it, and its colours."""
    kind = KINDS[kinds[int(random.integers(len(kinds)))]]
    told, first, second = (
        random.random(),
        *(_NAMES[i] for i in random.choice(len(_NAMES), 2, replace=False)),
    )
    words = (first, first) if kind.slots == 1 or 0.85 <= told < 0.97 else (first, second)
    said = () if told >= 0.97 else _as_told(kind.name, words)
    if not with_finish:
        return Description(kind.name, said), words
    return Description(
        *(kind.name, said, _maybe(random, PATTERNS, 0.3)),
        material=_maybe(random, MATERIALS, 0.25),
        size=_maybe(random, SIZES, 0.15),
    ), words


def _as_told(kind: str, words: Words) -> tuple[str, ...]:
    """Colours as a caption names them: one word where both slots have one colour."""
    return words if KINDS[kind].slots == 2 and words[0] != words[1] else words[:1]


def _maybe(random: Generator, words: Collection[str], share: float) -> str:
    """One of ``words``, all alike, in a share of the cases, and none in the others."""
    place = random.random() * len(words) / share
    return list(words)[int(place)] if place < len(words) else ""


def _background(random: Generator, slots: list[Rgb]) -> Rgb:
    """A plain background on which neither slot's colour, lit or shaded, would vanish."""
    draw = random.random()
    level = 1.0 if draw < 0.35 else 0.5 if draw < 0.50 else 0.0
    candidate = np.full(3, level) if draw < 0.60 else random.random(3)
    while not shows_on(candidate, slots):
        candidate = random.random(3)
    return tuple(float(value) for value in candidate)  # type: ignore[return-value]


def _jittered(random: Generator, word: str) -> Rgb:
    values = np.clip(np.array(COLOURS[word]) + random.uniform(-0.04, 0.04, 3), 0.0, 1.0)
    return tuple(float(value) for value in values)  # type: ignore[return-value]


def _paint(random: Generator, words: Words) -> Paint:
    """The colours of two words; one word paints both slots alike, down to the jitter."""
    first = _jittered(random, words[0])
    return first, _jittered(random, words[1]) if words[1] != words[0] else first


def _over(traced: Traced, background: Rgb) -> np.ndarray:
    """Composite over a background and round to uint8."""
    clear = 1.0 - traced.alpha[..., None]
    picture = traced.colour + clear * np.array(background, np.float32)
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def _say(random: Generator, description: Description, view: str) -> str:
    """The caption: 10 % empty, and a view word in 70 %."""
    with_view, empty = random.random() < 0.7, random.random() < 0.1
    return "" if empty else caption(description, view if with_view else None)


def sample(
    seed: int, index: int, size: int = 64, held_out: bool = False, related: float = RELATED
) -> Sample:
    """Draw picture ``index`` of world ``seed``, ``size`` pixels square.

    With ``held_out`` only colour pairs appear that training never sees, hence only kinds with two
    slots; otherwise those pairs never appear. Two objects appear with the chance ``related``.
    """
    random = Generator(Philox(key=np.array([seed, index], np.uint64)))
    description, words, paints, primitives = draw_thing(random, held_out, related)
    azimuth = float(random.uniform(-180.0, 180.0))
    low, high = math.sin(math.radians(-10.0)), math.sin(math.radians(70.0))
    elevation = math.degrees(math.asin(random.uniform(low, high)))
    distance, fov = float(random.uniform(3.0, 3.6)), float(random.uniform(34.0, 39.0))
    scale = np.float32(random.uniform(0.95, 1.05))
    primitives[:, 1:4] = primitives[:, 1:4] * scale + random.uniform(-0.03, 0.03, 3)
    primitives[:, 13:16] *= scale
    pose, intrinsics = _camera(azimuth, elevation, distance, fov, size)
    traced = trace(
        *(primitives, pose, intrinsics, size, size),
        light_direction_world=_light(random, pose),
        ambient=float(random.uniform(0.55, 0.68)),
    )
    background = _background(random, [rgb for paint in paints for rgb in paint])
    view = view_word(azimuth, elevation)
    text = _say(random, description, view)
    return Sample(
        *(_over(traced, background), text, description, words[0], view),
        *(KIND_NAMES.index(description.kind), azimuth, elevation, distance, fov, background),
    )


def batch(
    seed: int,
    start: int,
    count: int,
    size: int = 64,
    held_out: bool = False,
    related: float = RELATED,
) -> Batch:
    """Samples ``start`` to ``start + count - 1``, each exactly as ``sample`` draws it."""
    places = range(start, start + count)
    samples = [sample(seed, index, size, held_out, related) for index in places]
    pictures = np.zeros((count, size, size, 3), np.uint8)
    for row, one in zip(pictures, samples, strict=True):
        row[:] = one.picture
    return Batch(
        pictures=pictures,
        captions=[one.caption for one in samples],
        kind_ids=np.array([one.kind_id for one in samples], np.int64),
        azimuths_deg=np.array([one.azimuth_deg for one in samples], np.float32),
        elevations_deg=np.array([one.elevation_deg for one in samples], np.float32),
        descriptions=[one.description for one in samples],
        views=[one.view for one in samples],
    )


def specimen(description: Description, variation: int = 0) -> np.ndarray:
    """One object in its exact colours as packed primitives ``[P, FEATURES]``.

    ``variation`` selects its proportions, and its colours where the description leaves them open.
    """
    key = np.array([_VARIATION_KEY, variation], np.uint64)
    random = Generator(Philox(key=key))
    things = [description] if description.other is None else [description, description.other]
    paints = [_exact_paint(thing, random) for thing in things]
    return pack(assemble(description, paints, random))


def _exact_paint(description: Description, random: Generator) -> Paint:
    words = description.colours
    if not words:
        every = [d for d in descriptions() if d.kind == description.kind]
        words = every[random.integers(len(every))].colours
    return COLOURS[words[0]], COLOURS[words[-1]]


def view_of(
    primitives: np.ndarray,
    azimuth_deg: float,
    elevation_deg: float,
    size: int = 64,
    *,
    distance: float = 3.3,
    fov_y_deg: float = FOV_Y_DEG,
    rays_per_pixel: int = 4,
) -> Traced:
    """Trace packed primitives from an orbit camera under a fixed light above that camera."""
    pose, intrinsics = _camera(azimuth_deg, elevation_deg, distance, fov_y_deg, size)
    light = -pose[:3, 2] + np.array([0.0, 0.0, 0.6])
    return trace(
        *(primitives, pose, intrinsics, size, size),
        rays_per_pixel=rays_per_pixel,
        light_direction_world=light,
        ambient=0.6,
    )


def true_picture(
    description: Description,
    azimuth_deg: float,
    elevation_deg: float,
    size: int = 64,
    background: Rgb = (1.0, 1.0, 1.0),
    *,
    distance: float = 3.3,
    fov_y_deg: float = FOV_Y_DEG,
    rays_per_pixel: int = 4,
    variation: int = 0,
) -> np.ndarray:
    """The exact picture ``[H, W, 3]`` uint8 of a description, with no jitter and a fixed light."""
    traced = view_of(
        *(specimen(description, variation), azimuth_deg, elevation_deg, size),
        distance=distance,
        fov_y_deg=fov_y_deg,
        rays_per_pixel=rays_per_pixel,
    )
    return _over(traced, background)
