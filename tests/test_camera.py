"""Cameras: the one frame convention, seen from every side."""

import pytest
import torch
from torch import Tensor

from maquette.camera import (
    camera_from_world,
    intrinsics_from_fov,
    orbit_pose,
    pixel_rays,
    view_word,
)
from maquette.records import Views


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def pose(azimuth: float, elevation: float, distance: float = 3.0) -> Tensor:
    return orbit_pose(tensor(azimuth), tensor(elevation), tensor(distance))[0]


AROUND = [(0, 0), (90, 0), (-90, 30), (180, -20), (37, 80), (-123, 89)]


@pytest.mark.parametrize(
    ("azimuth", "elevation", "centre"),
    [(0, 0, (3, 0, 0)), (90, 0, (0, 3, 0)), (180, 0, (-3, 0, 0)), (0, 90, (0, 0, 3))],
)
def test_where_the_camera_stands(azimuth, elevation, centre):
    torch.testing.assert_close(pose(azimuth, elevation)[:3, 3], tensor(*centre), atol=1e-15, rtol=0)


def test_the_axes_at_the_front():
    right, down, forward = pose(0, 0)[:3, :3].T
    torch.testing.assert_close(right, tensor(0, 1, 0))
    torch.testing.assert_close(down, tensor(0, 0, -1))
    torch.testing.assert_close(forward, tensor(-1, 0, 0))


@pytest.mark.parametrize(("azimuth", "elevation"), AROUND)
def test_poses_are_rigid_and_look_at_the_origin_without_roll(azimuth, elevation):
    matrix = pose(azimuth, elevation)
    rotation, centre = matrix[:3, :3], matrix[:3, 3]
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(rotation @ rotation.T, eye, atol=1e-14, rtol=0)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
    torch.testing.assert_close(rotation[:, 2], -centre / centre.norm(), atol=1e-14, rtol=0)
    assert abs(float(rotation[2, 0])) < 1e-15
    assert float(rotation[2, 1]) < 0 or elevation > 89


@pytest.mark.parametrize(("azimuth", "elevation"), AROUND)
def test_the_inverse_is_exact(azimuth, elevation):
    matrix = pose(azimuth, elevation)[None]
    eye = torch.eye(4, dtype=torch.float64)[None]
    torch.testing.assert_close(camera_from_world(matrix) @ matrix, eye, atol=1e-14, rtol=0)


def test_intrinsics_frame_the_field_of_view():
    matrix = intrinsics_from_fov(tensor(90.0), 64, 32)[0]
    # At 90 degrees the upper edge of the picture lies as high as it is far.
    torch.testing.assert_close(matrix, tensor(16, 0, 32, 0, 16, 16, 0, 0, 1).reshape(3, 3))


@pytest.mark.parametrize(("azimuth", "elevation"), AROUND)
def test_rays_go_through_the_pixels_they_belong_to(azimuth, elevation):
    width, height = 6, 4
    world_from_camera = pose(azimuth, elevation)[None]
    intrinsics = intrinsics_from_fov(tensor(50.0), width, height)
    rays = pixel_rays(world_from_camera, intrinsics, width, height)
    assert rays.shape == (1, height, width, 3)
    points = world_from_camera[0, :3, 3] + 2.5 * rays[0]
    view = camera_from_world(world_from_camera)[0]
    local = points @ view[:3, :3].T + view[:3, 3]
    torch.testing.assert_close(local[..., 2], torch.full_like(local[..., 2], 2.5))
    pixels = (local / local[..., 2:]) @ intrinsics[0].T
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    torch.testing.assert_close(pixels[..., 0], xs.double())
    torch.testing.assert_close(pixels[..., 1], ys.double())


def test_up_in_the_world_is_up_in_the_picture():
    world_from_camera = pose(20, 15)[None]
    rays = pixel_rays(world_from_camera, intrinsics_from_fov(tensor(40.0), 8, 8), 8, 8)[0]
    assert bool((rays[0, :, 2] > rays[-1, :, 2]).all())


@pytest.mark.parametrize(
    ("azimuth", "elevation", "word"),
    [
        (0, 0, "front"),
        (44.9, 0, "front"),
        (-44.9, 0, "front"),
        (359, 0, "front"),
        (45, 0, "side"),
        (-90, 0, "side"),
        (135, 0, "side"),
        (270, 0, "side"),
        (135.1, 0, "back"),
        (180, 0, "back"),
        (-180, 0, "back"),
        (540, 0, "back"),
        (0, 50, "front"),
        (180, 50.1, "overhead"),
    ],
)
def test_view_words(azimuth, elevation, word):
    assert view_word(azimuth, elevation) == word


def test_a_ring_of_views():
    views = Views.ring(4, size=16)
    assert len(views) == 4
    assert views.azimuth_deg.tolist() == [0, 90, 180, 270]
    assert views.world_from_camera.shape == (4, 4, 4)
    part = views[1:3]
    assert len(part) == 2
    torch.testing.assert_close(part.camera_from_world, views.camera_from_world[1:3])
    torch.testing.assert_close(
        views.sized(32, 32).intrinsics[:, 0, 0], 2 * views.intrinsics[:, 0, 0]
    )
