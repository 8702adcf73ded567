"""What scenes call to be rendered: backends, background, depth and normals."""

import pytest
import torch
from torch import Tensor

from maquette.camera import camera_from_world, intrinsics_from_fov, orbit_pose
from maquette.errors import InputError
from maquette.render.splat import facing_normals, render_gaussians
from splat_scenes import Scene, assert_alike, make_scene


def front_end(scene: Scene, sh: Tensor, **options):
    pose = camera_from_world(scene.pose)
    size = (scene.width, scene.height)
    return render_gaussians(*scene.inputs[:4], sh, pose, scene.pinhole, *size, **options)


@pytest.mark.parametrize("coefficients", [1, 16])
def test_front_end_is_the_same_through_both_backends(coefficients):
    scene = make_scene(100, seed=10)
    sh = torch.randn(100, coefficients, 3, dtype=torch.float64) * 0.5
    options = {"background": torch.rand(2, 3), "depth": True, "normals": True}
    twin = front_end(scene, sh, **options)
    fast = front_end(scene, sh, backend="cpu", **options)
    assert twin.colour.dtype == torch.float64
    for name in ("colour", "alpha", "normals"):
        assert_alike(getattr(fast, name), getattr(twin, name), 1e-5, name)
    seen = twin.alpha > 0.01
    assert_alike(fast.depth[seen], twin.depth[seen], 1e-5, "depth")
    assert_alike(fast.depth_variance[seen], twin.depth_variance[seen], 1e-4, "depth variance")
    plain = front_end(scene, sh, background=options["background"], backend="cpu")
    assert torch.equal(plain.colour, fast.colour)
    assert plain.depth is None
    assert plain.normals is None


def test_front_end_lays_the_picture_over_the_background():
    scene = make_scene(50, seed=11)
    sh = torch.randn(50, 1, 3, dtype=torch.float64)
    black = front_end(scene, sh)
    rows = torch.rand(2, 3, dtype=torch.float64)
    picture = rows[:, None, None, :].expand(2, 64, 64, 3)
    for background in (rows, picture):
        over = front_end(scene, sh, background=background)
        assert torch.allclose(over.colour, black.colour + (1 - black.alpha) * picture, atol=1e-14)
    one = front_end(scene, sh, background=rows[0])
    assert torch.equal(one.colour[0], over.colour[0])
    assert black.colour.min() >= 0


@pytest.mark.oracles
def test_front_end_depth_and_normal_of_a_wall():
    """A wall of flat splats across the optical axis: its depth, and a normal towards the camera."""
    ys, zs = torch.meshgrid(*(torch.linspace(-1, 1, 21, dtype=torch.float64),) * 2, indexing="ij")
    means = torch.stack([torch.full_like(ys, 0.5), ys, zs], dim=-1).reshape(-1, 3)
    count = len(means)
    zero = torch.zeros(1, dtype=torch.float64)
    pose = orbit_pose(zero, zero, zero + 3)
    rendered = render_gaussians(
        means,
        torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).expand(count, 4),
        torch.tensor([[0.01, 0.1, 0.1]], dtype=torch.float64).expand(count, 3),
        torch.full((count,), 0.6, dtype=torch.float64),
        torch.zeros(count, 1, 3, dtype=torch.float64),
        pose,
        intrinsics_from_fov(zero + 30, 24, 24),
        24,
        24,
        depth=True,
        normals=True,
    )
    assert torch.allclose(rendered.depth, torch.full_like(rendered.depth, 2.5), atol=1e-12)
    assert rendered.depth_variance.max() < 1e-12
    facing = rendered.normals / rendered.alpha
    assert torch.allclose(facing, torch.tensor([1.0, 0, 0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(rendered.colour, 0.5 * rendered.alpha.expand(-1, -1, -1, 3))


@pytest.mark.oracles
def test_front_end_depth_of_two_walls():
    """Alphas 0.6 and 0.4 x 0.6 at depths 2 and 4, on the axis: mean 18/7, variance 40/49."""
    zero = torch.zeros(1, dtype=torch.float64)
    means = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]], dtype=torch.float64)
    rendered = render_gaussians(
        means,
        torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).expand(2, 4),
        torch.full((2, 3), 100.0, dtype=torch.float64),
        torch.full((2,), 0.6, dtype=torch.float64),
        torch.zeros(2, 1, 3, dtype=torch.float64),
        orbit_pose(zero, zero, zero + 3),
        intrinsics_from_fov(zero + 30, 3, 3),
        3,
        3,
        depth=True,
    )
    middle = (0, 1, 1, 0)
    assert rendered.depth[middle].item() == pytest.approx(18 / 7, abs=1e-9)
    assert rendered.depth_variance[middle].item() == pytest.approx(40 / 49, abs=1e-9)


def test_normals_face_the_camera():
    torch.manual_seed(0)
    quats, scales = torch.randn(30, 4), torch.rand(30, 3) + 0.1
    directions = torch.randn(2, 30, 3)
    normals = facing_normals(quats, scales, directions)
    assert ((normals * directions).sum(-1) <= 0).all()
    assert torch.allclose(normals.norm(dim=-1), torch.ones(2, 30), atol=1e-6)


def test_front_end_refuses_an_unknown_backend():
    scene = make_scene(3)
    with pytest.raises(InputError, match="choose"):
        front_end(scene, torch.zeros(3, 1, 3).double(), backend="vulkan")  # type: ignore[arg-type]
