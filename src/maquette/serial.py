"""Recipes as plain data and back, so that a run can be read in ten years and never runs code.

A part becomes ``{"part": "objectives.ISM", field: value, ...}``, a ramp ``{"ramp": "linear",
"knots": ...}``; all else is numbers, strings, lists and maps. Reading goes by the type hints of the
classes in the table below: an unknown part, an unknown field and a value of another type are
refused. A part from outside the package can be written, but to read it back one has to bring the
recipe's own file.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from maquette.errors import InputError
from maquette.ramps import Ramp
from maquette.recipe import Recipe

__all__ = [
    "PARTS",
    "decode",
    "encode",
    "fields_of",
    "name_of",
    "part_class",
    "recipe_from",
    "recipe_to",
]

PARTS: dict[str, str] = {
    "Recipe": "maquette.recipe",
    "cameras.AdaptiveRegions": "maquette.cameras.adaptive",
    "cameras.Uniform": "maquette.cameras.uniform",
    "gradients.ClipByNorm": "maquette.gradients.pixel",
    "gradients.ClipByValue": "maquette.gradients.pixel",
    "gradients.ClipDepth": "maquette.gradients.depth",
    "gradients.GlobalScale": "maquette.gradients.pixel",
    "gradients.OrthogonalFusion": "maquette.gradients.fusion",
    "gradients.PNGD": "maquette.gradients.pixel",
    "history.Regions": "maquette.history",
    "inits.Canvas": "maquette.inits.canvas",
    "inits.Embedded": "maquette.inits.embedded",
    "inits.Several": "maquette.inits.several",
    "inits.Sphere": "maquette.inits.sphere",
    "losses.AlphaEntropy": "maquette.losses",
    "losses.AlphaVariation": "maquette.losses",
    "losses.ColourVariation": "maquette.losses",
    "losses.OpacityEntropy": "maquette.losses",
    "losses.Outside": "maquette.losses",
    "losses.ScalePenalty": "maquette.losses",
    "losses.Sparsity": "maquette.losses",
    "losses.ZVariance": "maquette.losses",
    "objectives.ASD": "maquette.objectives.asd",
    "objectives.BSD": "maquette.objectives.bsd",
    "objectives.BootstrappedBSD": "maquette.objectives.bsd",
    "objectives.CDS": "maquette.objectives.cds",
    "objectives.CSD": "maquette.objectives.csd",
    "objectives.HiFA": "maquette.objectives.hifa",
    "objectives.ISM": "maquette.objectives.ism",
    "objectives.NFSD": "maquette.objectives.nfsd",
    "objectives.SDS": "maquette.objectives.sds",
    "objectives.SJC": "maquette.objectives.sjc",
    "objectives.TSM": "maquette.objectives.tsm",
    "objectives.VSD": "maquette.objectives.vsd",
    "priors.lora.Adapter": "maquette.priors.lora",
    "priors.lora.LoRA": "maquette.priors.lora",
    "priors.path.Fading": "maquette.priors.path",
    "priors.path.Forming": "maquette.priors.path",
    "priors.path.Retracing": "maquette.priors.path",
    "priors.students.GaussianFit": "maquette.priors.students",
    "priors.students.Points": "maquette.priors.students",
    "priors.text.Bare": "maquette.priors.text",
    "priors.text.Interpolated": "maquette.priors.text",
    "priors.text.PerpNeg": "maquette.priors.text",
    "priors.text.Rescaled": "maquette.priors.text",
    "priors.text.Sectors": "maquette.priors.text",
    "scenes.Growth": "maquette.scenes.growth",
    "scenes.GrowthOfEach": "maquette.scenes.particles",
    "scenes.Mixed": "maquette.scenes.background",
    "scenes.Plain": "maquette.scenes.background",
    "timesteps.Annealed": "maquette.timesteps.annealed",
    "timesteps.DreamTime": "maquette.timesteps.dreamtime",
    "timesteps.RegionalTime": "maquette.timesteps.regional",
    "timesteps.Shared": "maquette.timesteps.shared",
    "timesteps.Uniform": "maquette.timesteps.uniform",
}
"""Every part class that a file may name, and the module it is defined in; a test keeps it complete.
The first word is the part's role, because a role's parts may be called as another's."""

SHAPES = ("linear", "cosine", "exponential", "steps")


def recipe_to(recipe: Recipe) -> dict[str, Any]:
    """``recipe`` as plain data."""
    return encode(recipe, Recipe)


def recipe_from(data: Any, like: Recipe | None = None) -> Recipe:
    """The recipe that plain data describes.

    Args:
        data: what ``recipe_to`` made.
        like: a recipe whose part classes from outside the package may be used too.

    Raises:
        InputError: an unknown part or field, a value of a wrong type, or no recipe at all.
    """
    outside = {} if like is None else dict(_classes_from_outside(like))
    return decode(data, Recipe, "recipe", outside)


def encode(value: Any, hint: Any = Any) -> Any:
    """``value`` as plain data; whole numbers in real fields become real: equals look equal."""
    if isinstance(value, Ramp):
        return {"ramp": value.shape, "knots": [[float(p), float(v)] for p, v in value.knots]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        part = type(value)
        entries = {name: encode(getattr(value, name), own) for name, own in fields_of(part).items()}
        return {**_part_name(part), **entries}
    if isinstance(value, tuple | list):
        return [encode(item, own) for item, own in zip(value, _items(hint, value), strict=True)]
    if isinstance(value, dict):
        return {str(key): encode(item, _entry(hint)) for key, item in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _plain_number(value, hint)
    if value is None or isinstance(value, bool | str):
        return value
    raise InputError(
        f"A recipe holds {value!r}, which is no plain data",
        "Make it a number, a string or a frozen dataclass of such",
    )


Outside = Mapping[tuple[str, str], type]
"""Part classes from outside the package, by name and module."""


def decode(data: Any, hint: Any, where: str, outside: Outside = MappingProxyType({})) -> Any:
    """The value of type ``hint`` that plain data stands for.

    Args:
        data: what a JSON file held.
        hint: a resolved type hint.
        where: the place, as in ``recipe.objective.guidance_scale``, for messages.
        outside: classes that may be named beyond the table.

    Raises:
        InputError: ``data`` is not of that type.
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(data, hint, where, outside)
    if hint is Any:
        return data
    if origin is typing.Literal:
        if data in typing.get_args(hint):
            return data
        raise _wrong(data, " or ".join(map(repr, typing.get_args(hint))), where)
    if origin is tuple:
        return _decode_tuple(data, hint, where, outside)
    if origin is dict:
        if not isinstance(data, dict):
            raise _wrong(data, "a map", where)
        own = _entry(hint)
        return {k: decode(item, own, f"{where}.{k}", outside) for k, item in data.items()}
    if hint is Ramp:
        return _decode_ramp(data, where)
    if hint in (int, float, bool, str, type(None)):
        return _decode_scalar(data, hint, where)
    return _decode_part(data, hint, where, outside)


def fields_of(part: type) -> dict[str, Any]:
    """Names and resolved type hints of the fields that a part is made with."""
    hints = _hints(part)
    return {f.name: hints[f.name] for f in dataclasses.fields(part) if f.init}


def part_class(name: Any, where: str = "recipe") -> type:
    """The class of the table called ``name``; raises InputError with the nearest ones."""
    if not isinstance(name, str) or name not in PARTS:
        near = difflib.get_close_matches(str(name), PARTS, n=3, cutoff=0.4)
        hint = f"The nearest is {' or '.join(near)}" if near else ""
        raise InputError(f"{where} names {name!r}, which is no part of Maquette", hint)
    return getattr(importlib.import_module(PARTS[name]), name.rpartition(".")[2])


def name_of(part: type) -> str:
    """What files and listings call a part class."""
    return _part_name(part)["part"]


def _part_name(part: type) -> dict[str, str]:
    """How a file names ``part``: by the table, or else by the module that it comes from."""
    for name, module in PARTS.items():
        if module == part.__module__ and name.rpartition(".")[2] == part.__name__:
            return {"part": name}
    return {"part": part.__name__, "from": part.__module__}


@functools.cache
def _hints(part: type) -> dict[str, Any]:
    return typing.get_type_hints(part)


def _decode_union(data: Any, hint: Any, where: str, outside: Outside) -> Any:
    choices = typing.get_args(hint)
    # A map can only be the choice that is a part or a ramp: its own error then says more.
    if isinstance(data, dict):
        maps = [c for c in choices if (c is Ramp) == ("ramp" in data) and c not in _SCALARS]
        if len(maps) == 1:
            return decode(data, maps[0], where, outside)
    for choice in choices:
        try:
            return decode(data, choice, where, outside)
        except InputError:
            continue
    raise _wrong(data, " or ".join(_name(c) for c in choices), where)


def _decode_tuple(data: Any, hint: Any, where: str, outside: Outside) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _wrong(data, "a list", where)
    own = _items(hint, data)
    if len(own) != len(data):
        raise _wrong(data, f"a list of {len(own)}", where)
    return tuple(
        decode(item, hint, f"{where}.{place}", outside)
        for place, (item, hint) in enumerate(zip(data, own, strict=True))
    )


def _decode_ramp(data: Any, where: str) -> Ramp:
    if not isinstance(data, dict) or set(data) != {"ramp", "knots"} or data["ramp"] not in SHAPES:
        raise _wrong(data, f"a ramp ({', '.join(SHAPES)})", where)
    knots = decode(data["knots"], tuple[tuple[float, float], ...], where)
    if not knots or list(knots) != sorted(knots, key=lambda knot: knot[0]):
        raise _wrong(data["knots"], "knots in rising order of progress", where)
    return Ramp(knots, data["ramp"])


def _decode_scalar(data: Any, hint: type, where: str) -> Any:
    if hint is float and isinstance(data, str) and data in _ENDLESS:
        return _ENDLESS[data]
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not hint or (isinstance(data, float) and not math.isfinite(data)):
        raise _wrong(data, _name(hint), where)
    return data


def _decode_part(data: Any, hint: Any, where: str, outside: Outside) -> Any:
    if not isinstance(data, dict) or "part" not in data:
        raise _wrong(data, f"a part that is a {_name(hint)}", where)
    part = _class_of(data, where, outside)
    if not issubclass(part, hint):
        raise _wrong(data["part"], f"a {_name(hint)}", where)
    known = fields_of(part)
    given = {key: item for key, item in data.items() if key not in ("part", "from")}
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint_text = f"The nearest is {near[0]}" if near else f"It has {', '.join(known)}"
            raise InputError(f"{part.__name__} at {where} has no field {key!r}", hint_text)
    values = {k: decode(item, known[k], f"{where}.{k}", outside) for k, item in given.items()}
    try:
        return part(**values)
    except TypeError as error:
        raise InputError(f"{part.__name__} at {where} lacks a field ({error})") from error


def _class_of(data: dict[str, Any], where: str, outside: Outside) -> type:
    if "from" not in data:
        return part_class(data["part"], where)
    if found := outside.get((data["part"], data["from"])):
        return found
    raise InputError(
        f"{where} uses {data['part']}, which is defined in {data['from']} and not in Maquette",
        "Pass that file again: --recipe path/to/file.py:name",
    )


def _classes_from_outside(value: Any) -> Iterator[tuple[tuple[str, str], type]]:
    """Part classes in ``value`` that the table does not hold."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _classes_from_outside(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, Ramp):
        part = type(value)
        if "from" in _part_name(part):
            yield (part.__name__, part.__module__), part
        for name in fields_of(part):
            yield from _classes_from_outside(getattr(value, name))


_SCALARS = (int, float, bool, str, type(None))
_ENDLESS = {"inf": math.inf, "-inf": -math.inf}


def _plain_number(value: float, hint: Any) -> float | int | str:
    accepted = typing.get_args(hint) or (hint,)
    if isinstance(value, int) and float in accepted and int not in accepted:
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise InputError("A recipe holds a number that is none (NaN)")
        return "inf" if value > 0 else "-inf"
    return value


def _items(hint: Any, values: Any) -> tuple[Any, ...]:
    """The hints of a tuple's items."""
    for choice in (hint, *typing.get_args(hint)):
        if typing.get_origin(choice) is tuple:
            own = typing.get_args(choice)
            return (own[0],) * len(values) if own[-1] is Ellipsis else own
    return (Any,) * len(values)


def _entry(hint: Any) -> Any:
    """The hint of a map's values."""
    for choice in (hint, *typing.get_args(hint)):
        if typing.get_origin(choice) is dict:
            return typing.get_args(choice)[1]
    return Any


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint) or getattr(hint, "__name__", str(hint))


def _wrong(data: Any, wanted: str, where: str) -> InputError:
    return InputError(f"{where} must be {wanted}, not {str(data)[:60]!r}")
