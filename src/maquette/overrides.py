"""Settings of a recipe by their path, as in ``objective.guidance_scale=10``.

A path is the attributes on the way, joined by dots; hyphens are as good as underscores. In a tuple
of parts the next word is a number or a part's class in lower case (``losses.sparsity.weight``), in
a map it is a key (``rates.means``). A value is a number, a text, a list, ``none``, a ramp as one
writes it in Python (``linear(1, 0.2)``) or a part with its own defaults (``SDS``, or in full
``objectives.SDS``).
Nothing is run.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from maquette import ramps, serial
from maquette.errors import InputError, MaquetteError
from maquette.recipe import Recipe

__all__ = ["override", "settings"]

_RAMPS = {
    "constant": ramps.constant,
    "cosine": ramps.cosine,
    "exponential": ramps.exponential,
    "linear": ramps.linear,
    "steps": ramps.steps,
}


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """``recipe`` with some settings changed.

    Args:
        recipe: stays as it is.
        assignments: texts ``path=value``, applied in order.

    Raises:
        InputError: no such setting, with the nearest one; or a value that does not fit its type.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        words = path.strip().replace("-", "_").split(".")
        if not equals or not all(words):
            raise InputError(
                f"The setting {assignment!r} is not of the form path=value",
                "Write it as in --set objective.guidance_scale=10",
            )
        recipe = _changed(recipe, Recipe, words, text.strip(), path.strip())
    return recipe


def settings(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """Path, value and type of everything in ``recipe`` that can be set."""
    yield from _walk(recipe, Recipe, "")


def _changed(value: Any, hint: Any, words: list[str], text: str, path: str) -> Any:
    if not words:
        return serial.decode(_plain(text, hint, path), hint, path)
    word, rest = words[0], words[1:]
    if isinstance(value, dict):
        if rest or word not in value:
            raise _unknown(path, word, value)
        own = typing.get_args(hint)[1] if typing.get_args(hint) else Any
        return {**value, word: _changed(value[word], own, rest, text, path)}
    if isinstance(value, tuple):
        names = _item_names(value)
        place = names.index(word) if word in names else int(word) if word.isdecimal() else -1
        if not 0 <= place < len(value):
            raise _unknown(path, word, names)
        item = _changed(value[place], _item_hint(hint, value, place), rest, text, path)
        return (*value[:place], item, *value[place + 1 :])
    if not dataclasses.is_dataclass(value) or isinstance(value, ramps.Ramp):
        raise InputError(f"{path}: a {type(value).__name__} has no settings of its own")
    fields = serial.fields_of(type(value))
    if word not in fields:
        raise _unknown(path, word, fields)
    new = _changed(getattr(value, word), fields[word], rest, text, path)
    try:
        return dataclasses.replace(value, **{word: new})  # pyright: ignore[reportArgumentType]
    except MaquetteError as error:
        raise InputError(f"{path}={text} is refused: {error.what}", error.next_step) from error


def _walk(value: Any, hint: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, ramps.Ramp) or not (
        dataclasses.is_dataclass(value) or isinstance(value, dict | tuple)
    ):
        yield path, _shown(value), _type_name(hint)
        return
    if isinstance(value, dict):
        own = typing.get_args(hint)[1] if typing.get_args(hint) else Any
        for key, item in value.items():
            yield from _walk(item, own, f"{path}.{key}")
    elif isinstance(value, tuple) and not any(map(dataclasses.is_dataclass, value)):
        yield path, _shown(value), _type_name(hint)
    elif isinstance(value, tuple):
        for place, (name, item) in enumerate(zip(_item_names(value), value, strict=True)):
            yield from _walk(item, _item_hint(hint, value, place), f"{path}.{name}")
    else:
        if path:
            yield path, serial.name_of(type(value)), "part"
        for name, own in serial.fields_of(type(value)).items():
            yield from _walk(getattr(value, name), own, f"{path}.{name}" if path else name)


def _plain(text: str, hint: Any, path: str) -> Any:
    """The plain data that ``text`` writes down; a text where that is what is wanted."""
    if hint is str:
        return text
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    if (part := _part_named(text, hint, path)) is not None:
        return [{"part": part}] if typing.get_origin(hint) is tuple else {"part": part}
    try:
        return _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text


def _part_named(text: str, hint: Any, path: str) -> str | None:
    """The part that ``text`` names where ``hint`` wants one: in full, or its class in any case.

    Raises:
        InputError: a part is wanted and a name is given, but there is none of that name.
    """
    contracts = [
        choice
        for choice in (hint, *typing.get_args(hint))
        if isinstance(choice, type) and choice.__module__.startswith("maquette")
    ]
    contracts = [choice for choice in contracts if choice is not ramps.Ramp]
    if not contracts or not text.replace(".", "_").isidentifier():
        return None
    fitting = {
        name.rpartition(".")[2].lower(): name
        for name in serial.PARTS
        if issubclass(serial.part_class(name), tuple(contracts))
    }
    found = text if text in serial.PARTS else fitting.get(text.lower())
    if found is None:
        near = difflib.get_close_matches(text.rpartition(".")[2].lower(), fitting, n=1)
        hint_text = f"The nearest is {fitting[near[0]]}" if near else ""
        every = f"There are {', '.join(fitting.values()) or 'none'}"
        raise InputError(f"There is no part {text!r} for {path}", hint_text or every)
    return found


def _value(node: ast.expr) -> Any:
    """Numbers, texts, lists and calls of ramps; everything else is a ValueError."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _RAMPS:
        arguments = [_value(a) for a in node.args]
        named = {str(k.arg): _value(k.value) for k in node.keywords}
        return serial.encode(_RAMPS[node.func.id](*arguments, **named))
    if isinstance(node, ast.Tuple | ast.List):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)


def _item_names(parts: tuple[Any, ...]) -> list[str]:
    return [type(part).__name__.lower() for part in parts]


def _item_hint(hint: Any, value: tuple[Any, ...], place: int) -> Any:
    for choice in (hint, *typing.get_args(hint)):
        if typing.get_origin(choice) is tuple:
            own = typing.get_args(choice)
            return own[0] if own[-1] is Ellipsis else own[place]
    return type(value[place])


def _unknown(path: str, word: str, known: Iterable[str]) -> InputError:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"The nearest is {near[0]}" if near else f"There are {', '.join(names) or 'none'}"
    return InputError(f"There is no setting {word!r} in {path!r}", hint)


def _shown(value: Any) -> str:
    if isinstance(value, ramps.Ramp):
        knots = ", ".join(f"({p:g}, {v:g})" for p, v in value.knots)
        if value.shape != "steps" and [p for p, _ in value.knots] == [0.0, 1.0]:
            knots = ", ".join(f"{v:g}" for _, v in value.knots)
        return f"{value.shape}({knots})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return str(value)


def _type_name(hint: Any) -> str:
    if hint == ramps.Number:
        return "number or ramp"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(typing.get_args(hint))
    if isinstance(hint, types.UnionType):
        return " or ".join(_type_name(choice) for choice in typing.get_args(hint))
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return names.get(hint) or getattr(hint, "__name__", str(hint)).replace("NoneType", "none")
