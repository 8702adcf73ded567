"""Gaussians as PLY in the layout of INRIA's 3D Gaussian Splatting, which every viewer reads.

One element ``vertex`` of floats: ``x y z nx ny nz f_dc_0..2 f_rest_0.. opacity scale_0..2
rot_0..3``, with the logit of the opacity, natural logarithms of the scales, the quaternion as
w x y z, and ``f_rest`` channel-major: all coefficients of red, then green, then blue.

Two frames are written, and a comment in the header tells which. ``rdf`` (x right, y down, z
forward, the front looking towards the viewer) is what viewers of such files expect; ``world`` is
this library's own (z up, the front along +x) and returns the numbers of the scene to the last bit.

A file that is read may come from anywhere. Nothing in it is trusted: no memory is taken for a count
before the bytes for it are known to be there, columns go by name, and every fault is an InputError.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.export.frames import RDF_FROM_WORLD, inverse, rotated
from maquette.render.spherical_harmonics import MAX_DEGREE, coefficient_count
from maquette.scenes.gaussians import Gaussians
from maquette.store import write_file

__all__ = ["Frame", "read_ply", "write_ply"]

Frame = Literal["rdf", "world"]

FAINTEST_LOGIT = -math.log(254.0)
"""Logit of 1/255: what is fainter no renderer draws."""

_FRAME_COMMENT = "maquette frame:"
_MAX_HEADER_BYTES = 1 << 16
_MAX_PROPERTIES = 256
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_SOURCES = {
    "means": ["x", "y", "z"],
    "log_scales": ["scale_0", "scale_1", "scale_2"],
    "quats": ["rot_0", "rot_1", "rot_2", "rot_3"],
    "logit_opacities": ["opacity"],
}
_CONSTANTS = ["f_dc_0", "f_dc_1", "f_dc_2"]


def write_ply(path: Path, scene: Gaussians, *, frame: Frame = "rdf", drop: bool = True) -> int:
    """Write ``scene`` whole or not at all; the same scene gives the same bytes.

    Args:
        path: of the file, replaced if it is there.
        scene: any number of Gaussians, stored in single precision.
        frame: ``rdf`` for viewers, ``world`` to come back bitwise.
        drop: leave out Gaussians with a value that is not finite or an opacity below 1/255.

    Returns:
        The number of Gaussians written.

    Raises:
        InputError: without ``drop``, for a value that is not finite; for an unknown frame.
        DiskError: if the file cannot be written; the old one is then intact.
    """
    if frame not in get_args(Frame):
        raise InputError(f"There is no frame {frame!r}", f"Choose {' or '.join(get_args(Frame))}")
    tensors = scene.tensors()
    if frame == "rdf":
        tensors = rotated(tensors, RDF_FROM_WORLD)
    columns = _columns({name: value.cpu().float().numpy() for name, value in tensors.items()})
    rows = np.zeros(scene.count, np.dtype([(name, "<f4") for name in columns]))
    for name, values in columns.items():
        rows[name] = values
    finite = np.isfinite(rows.view("<f4").reshape(len(rows), len(columns))).all(1)
    if drop:
        rows = rows[finite & (rows["opacity"] >= FAINTEST_LOGIT)]
    elif not finite.all():
        raise InputError(
            f"{int((~finite).sum())} Gaussians hold a value that is not finite",
            "Write with drop=True to leave them out",
        )
    write_file(Path(path), _header(columns, len(rows), frame) + rows.tobytes())
    return len(rows)


def read_ply(path: Path, *, frame: Frame | None = None) -> Gaussians:
    """The Gaussians of a PLY file, in the frame of the world.

    Args:
        path: of the file.
        frame: of the file's numbers; None believes its comment, and takes one without for ``rdf``.

    Raises:
        InputError: if there is no such file, or it is no PLY of Gaussians, cut short, or holds
            values that are not finite.
    """
    try:
        # A pipe or a device could block for ever.
        if not Path(path).is_file():
            raise InputError(f"There is no file {path}", "Check the path")
        with Path(path).open("rb") as file:
            header = _parse(file.read(_MAX_HEADER_BYTES))
            tensors = _tensors(_rows(file, header))
        if (frame or header.frame) == "rdf":
            tensors = rotated(tensors, inverse(RDF_FROM_WORLD))
        return Gaussians(**tensors)
    except InputError as fault:
        raise InputError(f"{path}: {fault.what}", fault.next_step) from fault
    except (OSError, ValueError) as fault:  # ValueError is a path with a zero byte in it.
        raise InputError(f"{path!r} cannot be read ({fault})", "Check the path") from fault


class _Element(NamedTuple):
    name: str
    count: int
    columns: dict[str, str]
    """NumPy type by property."""
    lists: list[str]
    """Properties of varying length."""


class _Header(NamedTuple):
    order: str
    elements: list[_Element]
    frame: Frame
    bytes: int


def _columns(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns by name, in the order of the layout."""
    sh = arrays["sh"]
    # Coefficients of a channel stand together in a file: [N, K, 3] -> [N, 3, K].
    rest = sh[:, 1:].transpose(0, 2, 1).reshape(len(sh), 3 * (sh.shape[1] - 1))
    nothing = np.zeros(len(sh), np.float32)
    return {
        **dict(zip("xyz", arrays["means"].T, strict=True)),
        **dict.fromkeys(("nx", "ny", "nz"), nothing),
        **dict(zip(_CONSTANTS, sh[:, 0].T, strict=True)),
        **{f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])},
        "opacity": arrays["logit_opacities"],
        **dict(zip(_SOURCES["log_scales"], arrays["log_scales"].T, strict=True)),
        **dict(zip(_SOURCES["quats"], arrays["quats"].T, strict=True)),
    }


def _header(names: Iterable[str], count: int, frame: Frame) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"comment {_FRAME_COMMENT} {frame}"]
    if frame == "world":
        lines.append("comment Vertical Axis: z")  # What nerfstudio's files say.
    lines.append(f"element vertex {count}")
    lines += [f"property float {name}" for name in names]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _parse(data: bytes) -> _Header:
    """The header at the start of a file."""
    if data.split(b"\n", 1)[0].rstrip(b"\r") != b"ply":
        raise InputError("This is no PLY file: it does not begin with 'ply'")
    order, frame, elements = "", "rdf", []
    start = data.index(b"\n") + 1 if b"\n" in data else len(data)
    while True:
        end = data.find(b"\n", start)
        if end < 0:
            raise InputError("The PLY header has no end", "The file is cut short or no PLY")
        line, start = data[start:end].decode("ascii", "replace").strip(), end + 1
        keyword, *words = line.split() or [""]
        if keyword == "end_header":
            break
        if keyword == "format":
            order = _order(words)
        elif keyword == "element":
            elements.append(_element(words))
        elif keyword == "property":
            _add_property(elements, words)
        elif keyword == "comment" and _FRAME_COMMENT in line:
            frame = line.split(_FRAME_COMMENT, 1)[1].strip()
        elif keyword not in ("comment", "obj_info", ""):
            raise InputError(f"The PLY header has a line that means nothing: {line[:60]!r}")
    if not order:
        raise InputError("The PLY header names no format")
    if frame not in get_args(Frame):
        raise InputError(f"The PLY file is in the frame {frame[:20]!r}, which is unknown here")
    return _Header(order, elements, cast(Frame, frame), start)


def _order(words: list[str]) -> str:
    if words[:1] == ["ascii"]:
        raise InputError(
            "PLY as text is not read here", "Convert it to binary_little_endian, as viewers need it"
        )
    if len(words) != 2 or words[0] not in _ORDERS:
        raise InputError(f"The PLY format {' '.join(words)[:60]!r} is unknown")
    return _ORDERS[words[0]]


def _element(words: list[str]) -> _Element:
    # Sixteen digits are more than any disk holds, and few enough for int() to stay cheap.
    if len(words) != 2 or not words[1].isdecimal() or len(words[1]) > 16:
        raise InputError(f"The PLY element {' '.join(words)[:60]!r} has no valid count")
    return _Element(words[0], int(words[1]), {}, [])


def _add_property(elements: list[_Element], words: list[str]) -> None:
    if not elements:
        raise InputError("The PLY header has a property before any element")
    element = elements[-1]
    if words[:1] == ["list"]:
        element.lists.append(words[-1])
        return
    if len(words) != 2 or words[0] not in _TYPES:
        raise InputError(f"The PLY property {' '.join(words)[:60]!r} is of no known type")
    if words[1] in element.columns or len(element.columns) >= _MAX_PROPERTIES:
        raise InputError(f"The PLY property {words[1][:60]!r} is there twice, or one too many")
    element.columns[words[1]] = _TYPES[words[0]]


def _rows(file: BinaryIO, header: _Header) -> np.ndarray:
    """The table of vertices, read only once the file is known to hold all of it."""
    offset = header.bytes
    for element in header.elements:
        if element.name == "vertex":
            break
        if element.name == "chunk":
            raise InputError(
                "This is a compressed PLY, which is not read here", "Convert it to a plain PLY"
            )
        if element.lists:
            raise InputError(f"The PLY element {element.name[:60]!r} hides where the vertices are")
        offset += element.count * sum(int(kind[1]) for kind in element.columns.values())
    else:
        raise InputError("The PLY file has no vertices")
    if element.lists:
        raise InputError(f"The PLY property {element.lists[0][:60]!r} of the vertices is a list")
    stride = sum(int(kind[1]) for kind in element.columns.values())
    there = os.fstat(file.fileno()).st_size - offset
    if element.count * stride > there:
        raise InputError(
            f"The PLY file promises {element.count:,} vertices of {stride} bytes and holds "
            f"{max(0, there):,} bytes",
            "It is cut short: fetch or export it again",
        )
    _check_columns(element.columns)
    file.seek(offset)
    dtype = np.dtype([(name, header.order + kind) for name, kind in element.columns.items()])
    return np.frombuffer(file.read(element.count * stride), dtype)


def _check_columns(columns: Mapping[str, str]) -> None:
    needed = [name for names in _SOURCES.values() for name in names] + _CONSTANTS
    rest = _rest(columns)
    if missing := [name for name in needed if name not in columns]:
        raise InputError(
            f"The PLY file has no {', '.join(missing)}",
            "It is a mesh, a point cloud or a flat splat, not 3D Gaussians with harmonics",
        )
    sizes = [3 * (coefficient_count(degree) - 1) for degree in range(MAX_DEGREE + 1)]
    if len(rest) not in sizes or not columns.keys() >= set(rest):
        raise InputError(f"{len(rest)} f_rest properties make no whole degree of harmonics")
    if integers := [name for name in needed + rest if columns[name][0] != "f"]:
        raise InputError(f"The PLY property {integers[0]} is no floating-point number")


def _rest(columns: Iterable[str]) -> list[str]:
    """The names ``f_rest_0`` ... as many as there are with such a name, whether complete or not."""
    count = sum(name.startswith("f_rest_") for name in columns)
    return [f"f_rest_{i}" for i in range(count)]


def _tensors(rows: np.ndarray) -> dict[str, Tensor]:
    """The parameters of a scene; values too large for single precision become infinite."""

    def gather(names: list[str]) -> np.ndarray:
        stacked = np.zeros((len(rows), len(names)), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for column, name in enumerate(names):
                stacked[:, column] = rows[name]
        return stacked

    rest = gather(_rest(rows.dtype.names or ()))
    rest = rest.reshape(len(rows), 3, rest.shape[1] // 3).transpose(0, 2, 1)
    arrays = {name: gather(names) for name, names in _SOURCES.items()}
    arrays["logit_opacities"] = arrays["logit_opacities"][:, 0]
    arrays["sh"] = np.concatenate([gather(_CONSTANTS)[:, None], rest], axis=1)
    return {name: torch.from_numpy(values) for name, values in arrays.items()}
