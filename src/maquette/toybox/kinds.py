"""The table of all kinds of object in the toy world."""

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from maquette.records import Rgb
from maquette.toybox import kinds_animals as animals
from maquette.toybox import kinds_creatures as creatures
from maquette.toybox import kinds_more as more
from maquette.toybox import kinds_things as things
from maquette.toybox import kinds_vehicles as vehicles
from maquette.toybox.shapes import Primitive

__all__ = ["KINDS", "Build", "Kind"]

Build = Callable[[Rgb, Rgb, Generator], list[Primitive]]


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Attributes:
        name: the words a caption uses.
        slots: how many colours a caption can name, 1 or 2.
        has_front: whether front, side and back can be told from one another.
        build: ``build(first_rgb, second_rgb, random)`` gives the primitives of one specimen, inside
            a ball of radius 0.9 about the origin, front along +X, up along +Z.
    """

    name: str
    slots: int
    has_front: bool
    build: Build


_ALL = (
    Kind("ball", 1, False, things.ball),
    Kind("cube", 1, False, things.cube),
    Kind("cone", 1, False, things.cone_shape),
    Kind("can", 2, False, things.can),
    Kind("mug", 2, True, things.mug),
    Kind("bottle", 2, False, things.bottle),
    Kind("table", 2, False, things.table),
    Kind("chair", 2, True, things.chair),
    Kind("lamp", 2, False, things.lamp),
    Kind("hat", 2, False, things.hat),
    Kind("cake", 2, False, things.cake),
    Kind("ice cream", 2, False, things.ice_cream),
    Kind("guitar", 2, True, things.guitar),
    Kind("gift", 2, False, things.gift),
    Kind("house", 2, True, things.house),
    Kind("castle", 2, False, things.castle),
    Kind("tree", 2, False, things.tree),
    Kind("mushroom", 2, False, things.mushroom),
    Kind("cactus", 2, False, things.cactus),
    Kind("snowman", 2, True, creatures.snowman),
    Kind("robot", 2, True, creatures.robot),
    Kind("teddy bear", 2, True, creatures.teddy_bear),
    Kind("duck", 2, True, creatures.duck),
    Kind("penguin", 2, True, creatures.penguin),
    Kind("rabbit", 2, True, creatures.rabbit),
    Kind("fish", 2, True, creatures.fish),
    Kind("turtle", 2, True, creatures.turtle),
    Kind("elephant", 2, True, creatures.elephant),
    Kind("cat", 2, True, animals.cat),
    Kind("dog", 2, True, animals.dog),
    Kind("pig", 2, True, animals.pig),
    Kind("cow", 2, True, animals.cow),
    Kind("horse", 2, True, animals.horse),
    Kind("lion", 2, True, animals.lion),
    Kind("giraffe", 2, True, animals.giraffe),
    Kind("bear", 2, True, animals.bear),
    Kind("monkey", 2, True, animals.monkey),
    Kind("owl", 2, True, animals.owl),
    Kind("frog", 2, True, animals.frog),
    Kind("bird", 2, True, animals.bird),
    Kind("dinosaur", 2, True, animals.dinosaur),
    Kind("clock", 2, True, more.clock),
    Kind("television", 2, True, more.television),
    Kind("camera", 2, True, more.camera),
    Kind("shoe", 2, True, more.shoe),
    Kind("umbrella", 2, False, more.umbrella),
    Kind("car", 2, True, vehicles.car),
    Kind("truck", 2, True, vehicles.truck),
    Kind("bus", 2, True, vehicles.bus),
    Kind("train", 2, True, vehicles.train),
    Kind("tractor", 2, True, vehicles.tractor),
    Kind("boat", 2, True, vehicles.boat),
    Kind("rocket", 2, False, vehicles.rocket),
    Kind("airplane", 2, True, vehicles.airplane),
    Kind("helicopter", 2, True, vehicles.helicopter),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
