"""Files: PLY round trips and hostile PLY, films, sheets."""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path
from typing import get_args

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor

from maquette.cli_commands import Background
from maquette.errors import DiskError, InputError, NumericalError
from maquette.export.backdrop import BACKDROPS, backdrop
from maquette.export.frames import GLTF_FROM_WORLD, RDF_FROM_WORLD, inverse, rotated
from maquette.export.ply import Frame, read_ply, write_ply
from maquette.export.sheet import contact_sheet, to_uint8, write_png
from maquette.export.turntable import turntable_frames, write_gif, write_mp4, write_turntable
from maquette.inits.sphere import Sphere
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.render.splat_torch import rotation_from_quaternion
from maquette.scenes.gaussians import SH_CONSTANT, Gaussians

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SAME_FOLDER = [HealthCheck.function_scoped_fixture]


def some(count: int = 7, degree: int = 1) -> Gaussians:
    generator = torch.Generator().manual_seed(count)
    shapes = [(count, 3), (count, 3), (count, 4), (count,), (count, (degree + 1) ** 2, 3)]
    return Gaussians(*(torch.randn(shape, generator=generator) for shape in shapes))


def look(path: Path) -> dict[str, list[float]]:
    """An independent reader, by the letter of the PLY format and nothing else."""
    head, body = path.read_bytes().split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex "))
    assert len(body) == 4 * count * len(names)
    values = struct.unpack(f"<{count * len(names)}f", body)
    return {name: list(values[i :: len(names)]) for i, name in enumerate(names)}


# ------------------------------------------------------------------------------------- PLY, writing


def test_ply_has_the_layout_of_inria(tmp_path: Path) -> None:
    scene = some(5, degree=2)
    assert write_ply(tmp_path / "a.ply", scene, frame="world") == 5
    seen = look(tmp_path / "a.ply")
    rest = [f"f_rest_{i}" for i in range(24)]
    before = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    after = ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert list(seen) == [*before, *rest, "opacity", *after]
    tensors = scene.tensors()
    for axis, name in enumerate("xyz"):
        assert seen[name] == tensors["means"][:, axis].tolist()
        assert seen[f"n{name}"] == [0.0] * 5
        assert seen[f"scale_{axis}"] == tensors["log_scales"][:, axis].tolist()
        assert seen[f"f_dc_{axis}"] == tensors["sh"][:, 0, axis].tolist()
        for coefficient in range(8):  # All of red, then all of green, then all of blue.
            column = seen[f"f_rest_{8 * axis + coefficient}"]
            assert column == tensors["sh"][:, 1 + coefficient, axis].tolist()
    for axis in range(4):
        assert seen[f"rot_{axis}"] == tensors["quats"][:, axis].tolist()
    assert seen["opacity"] == tensors["logit_opacities"].tolist()


def test_ply_of_degree_0_has_no_f_rest(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", some(2, degree=0))
    assert len(look(tmp_path / "a.ply")) == 17


def test_viewers_see_the_object_upright_with_its_front_towards_them(tmp_path: Path) -> None:
    """Top (+z) goes to -y, front (+x) to -z, and what is right of the front (+y) to +x."""
    scene = Gaussians.from_points(torch.eye(3), torch.rand(3, 3))
    write_ply(tmp_path / "a.ply", scene)
    seen = look(tmp_path / "a.ply")
    points = np.stack([seen["x"], seen["y"], seen["z"]], axis=1)
    np.testing.assert_array_equal(points, [[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    assert b"comment maquette frame: rdf\n" in (tmp_path / "a.ply").read_bytes()


def test_ply_bytes_are_deterministic(tmp_path: Path) -> None:
    for name in ("a.ply", "b.ply"):
        write_ply(tmp_path / name, some())
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


def test_faint_and_broken_splats_are_dropped_or_refused(tmp_path: Path) -> None:
    scene = some(6, degree=0)
    with torch.no_grad():
        scene.parameters()["logit_opacities"].copy_(torch.tensor([0.0, -5.6, -5.5, 1, 1, 1]))
        scene.parameters()["quats"][3, 1] = math.nan
        scene.parameters()["sh"][4, 0, 2] = math.inf
    assert write_ply(tmp_path / "a.ply", scene, frame="world") == 3
    back = read_ply(tmp_path / "a.ply")
    assert torch.equal(back.means, scene.means[[0, 2, 5]])
    with pytest.raises(InputError, match="2 Gaussians hold a value that is not finite"):
        write_ply(tmp_path / "b.ply", scene, drop=False)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.ply"]


def test_a_double_too_large_for_a_float_counts_as_broken(tmp_path: Path) -> None:
    scene = Gaussians(**{name: value.double() for name, value in some(2).tensors().items()})
    with torch.no_grad():
        scene.means[0, 0] = 1e60
    assert write_ply(tmp_path / "a.ply", scene) == len(
        [value for value in scene.tensors()["logit_opacities"][1:] if value > -5.5]
    )


def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ply(tmp_path / "a.ply", some(3))
    before = (tmp_path / "a.ply").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError):
        write_ply(tmp_path / "a.ply", some(4))
    assert (tmp_path / "a.ply").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "a.ply"]


def test_an_unknown_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frame"):
        write_ply(tmp_path / "a.ply", some(), frame="left-handed")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------- PLY, round trip


@settings(max_examples=80, deadline=None, suppress_health_check=SAME_FOLDER)
@given(st.data(), st.integers(0, 4), st.integers(0, 3))
def test_ply_in_world_frame_comes_back_bitwise(
    tmp_path: Path, data: st.DataObject, count: int, degree: int
) -> None:
    shapes = {
        "means": (count, 3),
        "log_scales": (count, 3),
        "quats": (count, 4),
        "logit_opacities": (count,),
        "sh": (count, (degree + 1) ** 2, 3),
    }
    scene = Gaussians(
        **{
            name: torch.from_numpy(data.draw(arrays(np.float32, shape, elements=FLOATS)))
            for name, shape in shapes.items()
        }
    )
    path = tmp_path / "a.ply"
    assert write_ply(path, scene, frame="world", drop=False) == count
    back = read_ply(path)
    for name, value in scene.tensors().items():
        # By bytes, so that -0 and 0 differ.
        assert value.numpy().tobytes() == back.tensors()[name].numpy().tobytes()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_ply_in_viewers_frame_comes_back(tmp_path: Path, degree: int) -> None:
    scene = some(20, degree)
    write_ply(tmp_path / "a.ply", scene, drop=False)
    back = read_ply(tmp_path / "a.ply").tensors()
    for name, value in scene.tensors().items():
        torch.testing.assert_close(back[name], value, rtol=1e-6, atol=1e-6)
    assert torch.equal(back["means"], scene.means)


def test_a_file_without_our_comment_is_taken_as_viewers_do(tmp_path: Path) -> None:
    scene = some(4, degree=0)
    write_ply(tmp_path / "a.ply", scene, drop=False)
    data = (tmp_path / "a.ply").read_bytes().replace(b"comment maquette frame: rdf\n", b"")
    (tmp_path / "b.ply").write_bytes(data)
    torch.testing.assert_close(read_ply(tmp_path / "b.ply").means, scene.means)
    assert not torch.equal(read_ply(tmp_path / "b.ply", frame="world").means, scene.means)


def test_unicode_names_and_text_paths(tmp_path: Path) -> None:
    path = tmp_path / "ein Krügchen 杯 🍵.ply"
    write_ply(path, some(3, degree=0), frame="world", drop=False)
    assert torch.equal(read_ply(path).means, some(3, degree=0).means)


# ------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("quat", [RDF_FROM_WORLD, GLTF_FROM_WORLD])
def test_frames_are_the_axes_they_say(quat: tuple[float, float, float, float]) -> None:
    rotation = rotation_from_quaternion(torch.tensor(quat, dtype=torch.float64))
    x, y, z = torch.eye(3, dtype=torch.float64)
    rows = [y, -z, -x] if quat == RDF_FROM_WORLD else [y, z, x]
    assert torch.equal(rotation, torch.stack(rows))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_turned_scene_seen_by_turned_cameras_is_the_same_picture(degree: int) -> None:
    """Any turn, about the vertical so that cameras on a sphere can follow it."""
    tensors = {name: value.double() for name, value in some(6, degree).tensors().items()}
    tensors["log_scales"] = tensors["log_scales"] * 0.4 - 1.5
    angle = math.radians(50.0)
    quat = (math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2))
    before, after = Gaussians(**tensors), Gaussians(**rotated(tensors, quat))
    white = torch.ones(2, 3)
    seen = before.render(Views.ring(2, size=12), white).colour
    turned = after.render(Views.ring(2, size=12, start_deg=50.0), white).colour
    torch.testing.assert_close(turned, seen, rtol=0, atol=1e-5)
    assert not torch.allclose(after.render(Views.ring(2, size=12), white).colour, seen, atol=1e-2)


def test_a_turn_and_its_inverse_cancel() -> None:
    tensors = {name: value.double() for name, value in some(9, 3).tensors().items()}
    back = rotated(rotated(tensors, RDF_FROM_WORLD), inverse(RDF_FROM_WORLD))
    for name, value in tensors.items():
        torch.testing.assert_close(back[name], value, rtol=1e-12, atol=1e-12)


# ----------------------------------------------------------------------------------- PLY, hostile


def refused(path: Path, data: bytes, message: str | None = None) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_ply(path)
    assert path.name in str(caught.value)


def good(tmp_path: Path) -> bytes:
    write_ply(tmp_path / "good.ply", some(6), drop=False)
    return (tmp_path / "good.ply").read_bytes()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = good(tmp_path)
    for length in range(len(data)):
        refused(tmp_path / "cut.ply", data[:length])


def test_trailing_bytes_and_later_elements_do_no_harm(tmp_path: Path) -> None:
    data = good(tmp_path)
    later = b"element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_bytes(data.replace(b"end_header\n", later) + b"rest")
    assert read_ply(tmp_path / "a.ply").count == 6


def test_earlier_elements_are_skipped_only_where_they_fit(tmp_path: Path) -> None:
    data = good(tmp_path)
    early = b"element camera 2\nproperty double w\nproperty uchar h\nelement vertex 6\n"
    changed = data.replace(b"element vertex 6\n", early)
    (tmp_path / "a.ply").write_bytes(changed.replace(b"end_header\n", b"end_header\n" + 18 * b"x"))
    assert torch.equal(read_ply(tmp_path / "a.ply").means, read_ply(tmp_path / "good.ply").means)
    refused(tmp_path / "b.ply", changed, "promises 6 vertices")
    bomb = changed.replace(b"element camera 2\n", b"element camera 9999999999999999\n")
    refused(tmp_path / "b.ply", bomb, "promises 6 vertices")
    hidden = changed.replace(b"property uchar h", b"property list uchar int h")
    refused(tmp_path / "b.ply", hidden, "hides where")


@pytest.mark.parametrize("count", [7, 10**6, 2**31, 2**32 + 6, 2**53, 9999999999999999])
def test_count_bombs_take_no_memory(tmp_path: Path, count: int) -> None:
    import tracemalloc

    data = good(tmp_path).replace(b"element vertex 6\n", b"element vertex %d\n" % count)
    tracemalloc.start()
    refused(tmp_path / "bomb.ply", data, "promises")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ply\n", b"obj\n", "no PLY"),
        (b"ply\n", b"\x00\xff\n", "no PLY"),
        (b"ply\n", b"", "no PLY"),
        (b"binary_little_endian", b"ascii", "as text"),
        (b"binary_little_endian", b"binary_middle_endian", "unknown"),
        (b"format binary_little_endian 1.0\n", b"", "no format"),
        (b"format binary_little_endian 1.0\n", b"format\n", "unknown"),
        (b"element vertex 6", b"element vertex -6", "no valid count"),
        (b"element vertex 6", b"element vertex 6.0", "no valid count"),
        (b"element vertex 6", b"element vertex", "no valid count"),
        (b"element vertex 6", b"element vertex " + 5000 * b"9", "no valid count"),
        (b"element vertex 6", b"element vertex \xb2", "no valid count"),
        (b"element vertex 6\n", b"", "before any element"),
        (b"element vertex 6", b"element point 6", "no vertices"),
        (b"element vertex 6", b"element chunk 1\nelement vertex 6", "compressed"),
        (b"property float opacity\n", b"", "opacity"),
        (b"property float scale_2\n", b"", "scale_2"),
        (b"property float x\n", b"property float x\nproperty float x\n", "twice"),
        (b"property float nx\n", b"property float nx\n" + 300 * b"property float q\n", "twice"),
        (b"property float x\n", b"property quad x\n", "no known type"),
        (b"property float x\n", b"property float\n", "no known type"),
        (b"property float x\n", b"property\n", "no known type"),
        (b"property float nx\n", b"property list uchar int nx\n", "is a list"),
        (b"property float nx\n", b"property list\n", "is a list"),
        (b"property float x\n", b"property int x\n", "no floating-point"),
        (b"property float f_rest_8\n", b"", "whole degree"),
        (b"property float f_rest_8\n", b"property float f_rest_9\n", "whole degree"),
        (b"property float f_rest_8\n", b"property float f_rest_x\n", "whole degree"),
        (b"frame: rdf", b"frame: sideways", "unknown here"),
        (b"end_header\n", b"nonsense here\nend_header\n", "means nothing"),
        (b"end_header\n", 70_000 * b"#", "no end"),
        (b"end_header\n", 9_000 * b"comment\n" + b"end_header\n", "no end"),
    ],
)
def test_malformed_headers_are_refused(
    tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    data = good(tmp_path)
    assert old in data
    refused(tmp_path / "bad.ply", data.replace(old, new, 1), message)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    data = bytearray(good(tmp_path))
    data[-4:] = struct.pack("<f", value)
    refused(tmp_path / "bad.ply", bytes(data), "not finite")


@settings(max_examples=400, deadline=None, suppress_health_check=SAME_FOLDER)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 1100), st.integers(0, 12), st.binary(max_size=12)),
        min_size=1,
        max_size=6,
    )
)
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path: Path, edits: list[tuple[int, int, bytes]]
) -> None:
    data = good(tmp_path)
    for place, length, new in edits:
        data = data[:place] + new + data[place + length :]
    path = tmp_path / "damaged.ply"
    path.write_bytes(data)
    try:
        scene = read_ply(path)
    except InputError:
        return
    assert all(bool(torch.isfinite(value).all()) for value in scene.tensors().values())


@settings(max_examples=150, deadline=None, suppress_health_check=SAME_FOLDER)
@given(st.binary(max_size=300), st.booleans())
def test_noise_is_refused(tmp_path: Path, noise: bytes, magic: bool) -> None:
    refused(tmp_path / "noise.ply", (b"ply\n" if magic else b"") + noise)


def test_other_number_types_and_orders_are_read(tmp_path: Path) -> None:
    scene = some(3, degree=0)
    write_ply(tmp_path / "a.ply", scene, frame="world", drop=False)
    seen = look(tmp_path / "a.ply")
    # Without normals, in another order, in double precision and big-endian, with foreign columns.
    names = ["red", *sorted(set(seen) - {"nx", "ny", "nz"}, reverse=True)]
    lines = ["ply", "comment maquette frame: world", "format binary_big_endian 1.0"]
    lines += ["obj_info ä", "", "element vertex 3", "property uchar red"]
    lines += [f"property double {name}" for name in names[1:]]
    head = ("\r\n".join([*lines, "end_header"]) + "\r\n").encode()
    body = b"".join(
        struct.pack(f">B{len(names) - 1}d", 7, *(seen[name][row] for name in names[1:]))
        for row in range(3)
    )
    (tmp_path / "b.ply").write_bytes(head + body)
    back = read_ply(tmp_path / "b.ply")
    assert all(torch.equal(value, back.tensors()[k]) for k, value in scene.tensors().items())


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ply")
    for path in (tmp_path / "none.ply", tmp_path, tmp_path / "pipe.ply", Path("a\0b.ply")):
        with pytest.raises(InputError):
            read_ply(path)


# --------------------------------------------------------------------------------- films and sheets


def coloured(count: int, height: int = 20, width: int = 16) -> np.ndarray:
    pictures = np.zeros((count, height, width, 3), np.uint8)
    for index, picture in enumerate(pictures):
        picture[..., index % 3] = 200
    return pictures


def test_a_turntable_goes_round_once_without_repeating_its_end() -> None:
    scene = Sphere(count=40, opacity=0.9).make("", Randomness(0))
    views = Views.ring(9, size=24)
    frames = list(turntable_frames(scene, views, (0.2, 0.4, 0.6)))
    assert len(frames) == 9
    colours = torch.tensor([[0.2, 0.4, 0.6]]).expand(9, 3)
    expected = scene.render(views, colours).colour.detach()
    for frame, picture in zip(frames, expected, strict=True):
        assert np.abs(frame.astype(int) - to_uint8(picture).astype(int)).max() <= 1
    assert views.azimuth_deg.tolist() == [40.0 * i for i in range(9)]
    assert not np.array_equal(frames[0], frames[-1])


def ball(colour: float | list[float]) -> Gaussians:
    """A ball of one colour, sRGB."""
    scene = Sphere(count=300, opacity=0.99).make("", Randomness(0))
    parameters = dict(scene.parameters())
    with torch.no_grad():
        shown = torch.as_tensor(colour).expand(3)
        parameters["sh"].zero_()
        parameters["sh"][:, 0] = (shown - 0.5) / SH_CONSTANT
    return scene


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ([0.9, 0.1, 0.1], "white"),
        (0.97, "grey"),
        ([0.1, 0.1, 0.1], "white"),
        (0.5, "white"),
        ([0.9, 0.92, 0.98], "grey"),
    ],
)
def test_a_thing_is_shown_on_white_or_else_where_it_can_be_seen(
    colour: float | list[float], name: str
) -> None:
    assert backdrop(ball(colour)) == BACKDROPS[name]


def test_a_scene_of_which_nothing_is_seen_is_shown_on_white() -> None:
    scene = ball(0.97)
    with torch.no_grad():
        scene.parameters()["logit_opacities"].fill_(-20)
    assert backdrop(scene) == BACKDROPS["white"]


def test_the_backgrounds_one_can_ask_for_are_those_there_are() -> None:
    assert get_args(Background) == ("clear", *BACKDROPS)


def test_a_thing_of_white_grey_and_black_is_shown_where_most_of_it_is_seen() -> None:
    scene = ball(0.97)
    height = scene.means[:, 2]
    with torch.no_grad():
        scene.parameters()["sh"][height < height.quantile(0.7), 0] = 0
        scene.parameters()["sh"][height < height.quantile(0.3), 0] = -0.5 / SH_CONSTANT
    assert backdrop(scene) == BACKDROPS["blue"]


@pytest.mark.parametrize("ending", ["mp4", "gif", "MP4"])
def test_films_can_be_played(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"film.{ending}"
    scene = Sphere(count=40, opacity=0.9).make("", Randomness(0))
    write_turntable(path, scene, frames=5, size=33)
    plugin = "pillow" if ending == "gif" else "FFMPEG"
    played = imageio.imread(path.read_bytes(), plugin=plugin, extension=f".{ending.lower()}")
    assert played.shape[:3] == ((5, 33, 33) if ending == "gif" else (5, 34, 34))
    expected = list(turntable_frames(scene, Views.ring(5, size=33)))
    for frame, picture in zip(played, expected, strict=True):
        difference = np.abs(frame[:33, :33, :3].astype(int) - picture.astype(int))
        assert difference.mean() < 6.0
    assert list(tmp_path.iterdir()) == [path]


def test_mp4_is_h264_with_half_colour_resolution_and_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, coloured(4), fps=10)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    facts = imageio.immeta(tmp_path / "a.mp4", plugin="FFMPEG")
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == 10


def test_gif_loops_with_its_pace(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", coloured(3), fps=10)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        assert film.info["duration"] == 100
        assert film.convert("RGB").getpixel((5, 5)) == (200, 0, 0)


@pytest.mark.parametrize("write", [write_mp4, write_gif])
def test_films_that_are_none_are_refused_and_leave_nothing(tmp_path: Path, write) -> None:
    path = tmp_path / "film.bin"
    mixed = [*coloured(2), *coloured(1, height=8)]
    wrong = [[], [np.zeros((4, 4), np.uint8)], [np.zeros((4, 4, 3))], mixed]
    for frames in wrong:
        with pytest.raises(InputError):
            write(path.with_suffix(".mp4" if write is write_mp4 else ".gif"), iter(frames))
    with pytest.raises(InputError):
        write(path, coloured(2), fps=0)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_while_rendering_leaves_no_film(tmp_path: Path) -> None:
    def frames():
        yield from coloured(2)
        raise NumericalError("render gave NaN")

    for ending, write in (("mp4", write_mp4), ("gif", write_gif)):
        with pytest.raises(NumericalError):
            write(tmp_path / f"film.{ending}", frames())
    assert list(tmp_path.iterdir()) == []


def test_a_turntable_needs_an_ending_and_frames(tmp_path: Path) -> None:
    scene = Sphere(count=3).make("", Randomness(0))
    for name, options in (("a.avi", {}), ("a.mp4", {"frames": 0}), ("a.gif", {"size": 1})):
        with pytest.raises(InputError):
            write_turntable(tmp_path / name, scene, **options)


def test_films_into_no_folder_are_a_disk_error(tmp_path: Path) -> None:
    for ending, write in (("mp4", write_mp4), ("gif", write_gif)):
        with pytest.raises(DiskError):
            write(tmp_path / "missing" / f"film.{ending}", coloured(2))


def test_to_uint8_rounds_and_cuts() -> None:
    values = torch.tensor([-1.0, 0.0, 0.5 / 255 + 1e-4, 0.5, 1.0, 3.0])
    assert to_uint8(values).tolist() == [0, 0, 1, 128, 255, 255]
    with pytest.raises(NumericalError):
        to_uint8(torch.tensor([math.nan]))


@settings(max_examples=30, deadline=None, suppress_health_check=SAME_FOLDER)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_comes_back_bitwise(tmp_path: Path, picture: np.ndarray) -> None:
    write_png(tmp_path / "a.png", picture)
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(InputError):
        write_png(tmp_path / "a.png", wrong)


def test_a_sheet_holds_its_pictures_in_reading_order() -> None:
    pictures = coloured(5)
    sheet = contact_sheet(pictures, 3)
    assert sheet.shape == (2 * 20 + 2, 3 * 16 + 4, 3)
    for index, picture in enumerate(pictures):
        y, x = 22 * (index // 3), 18 * (index % 3)
        np.testing.assert_array_equal(sheet[y : y + 20, x : x + 16], picture)
    assert (sheet[22:, 36:] == 255).all()


def test_captions_are_written_and_cover_no_picture() -> None:
    pictures = np.full((4, 30, 40, 3), 90, np.uint8)
    rows, columns = ["one\ntwo", "a very long caption 杯 🍵 that cannot fit at all"], ["left", ""]
    sheet = contact_sheet(pictures, 2, row_captions=rows, column_captions=columns)
    assert int((sheet == 90).all(-1).sum()) >= 4 * 30 * 40
    plain = contact_sheet(pictures, 2, row_captions=["", ""], column_captions=["", ""])
    assert plain.shape == sheet.shape
    assert (plain >= 90).all()
    assert (sheet[:16, :40] < 128).any()
    assert (sheet[:16, 42:] == 255).all()
    assert (sheet[16:32] < 80).any()


@pytest.mark.parametrize(
    ("pictures", "columns", "options"),
    [
        (coloured(4), 0, {}),
        (coloured(4), 2, {"row_captions": ["one"]}),
        (coloured(4), 2, {"column_captions": ["one"]}),
        (coloured(0), 2, {}),
        (coloured(2)[0], 2, {}),
        (coloured(2).astype(np.float32), 2, {}),
    ],
)
def test_sheets_that_do_not_fit_are_refused(pictures: np.ndarray, columns: int, options) -> None:
    with pytest.raises(InputError):
        contact_sheet(pictures, columns, **options)


def test_colours_in_a_ply_are_what_viewers_compute(tmp_path: Path) -> None:
    colours: Tensor = torch.tensor([[0.1, 0.5, 0.9]])
    write_ply(tmp_path / "a.ply", Gaussians.from_points(torch.zeros(1, 3), colours))
    seen = look(tmp_path / "a.ply")
    for channel in range(3):
        colour = 0.5 + 0.28209479177387814 * seen[f"f_dc_{channel}"][0]
        assert colour == pytest.approx(float(colours[0, channel]), abs=1e-6)
    assert pytest.approx(0.28209479177387814) == SH_CONSTANT


def test_frames_are_named_in_the_type() -> None:
    from typing import get_args

    assert get_args(Frame) == ("rdf", "world")
