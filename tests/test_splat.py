"""Splat renderers: the twin against closed forms, the CPU kernels against the twin."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from maquette.camera import camera_from_world, intrinsics_from_fov, orbit_pose
from maquette.errors import InputError
from maquette.render import splat_cpu, splat_torch
from maquette.render.splat import facing_normals, render_gaussians
from maquette.render.splat_torch import Splatted

NAMES = ("means", "quats", "scales", "opacities", "features", "screen_offsets")


@dataclass
class Scene:
    """Everything a rasteriser takes, in float64; the arguments in ``inputs`` are differentiable."""

    inputs: tuple[Tensor, ...]
    pose: Tensor
    pinhole: Tensor
    width: int
    height: int

    def inputs_in(self, dtype: torch.dtype) -> list[Tensor]:
        """Fresh leaves; both types hold the same numbers, since float32 is the coarser one."""
        return [x.float().to(dtype).requires_grad_() for x in self.inputs]

    def render(
        self, rasterize: Callable[..., Splatted], inputs: list[Tensor], **options
    ) -> Splatted:
        pose, pinhole = (x.float().to(inputs[0].dtype) for x in (self.pose, self.pinhole))
        return rasterize(
            *inputs[:5], pose, pinhole, self.width, self.height, screen_offsets=inputs[5], **options
        )


def make_scene(
    count: int = 200,
    *,
    views: int = 2,
    width: int = 64,
    height: int = 64,
    channels: int = 3,
    scale: float = 0.08,
    stretch: float = 0.4,
    opacity: tuple[float, float] = (0.1, 0.95),
    spread: float = 0.6,
    distance: float = 2.5,
    per_view: bool = False,
    seed: int = 0,
) -> Scene:
    """A cloud of random splats around the origin, seen from a ring of cameras."""
    torch.manual_seed(seed)
    options = {"dtype": torch.float64}
    azimuth = torch.arange(views, **options) * (360 / max(views, 1)) + 25
    pose = orbit_pose(azimuth, torch.full_like(azimuth, 20), torch.full_like(azimuth, distance))
    low, high = opacity
    inputs = (
        torch.randn(count, 3, **options) * spread,
        torch.randn(count, 4, **options) * 2,
        scale * torch.exp(stretch * torch.randn(count, 3, **options)),
        low + (high - low) * torch.rand(count, **options),
        torch.randn(*([views] if per_view else []), count, channels, **options),
        torch.randn(views, count, 2, **options),
    )
    pinhole = intrinsics_from_fov(torch.full_like(azimuth, 49), width, height)
    return Scene(inputs, camera_from_world(pose), pinhole, width, height)


def assert_alike(found: Tensor, expected: Tensor, relative: float, name: str = "") -> None:
    """Relative L2, cosine and signed bias: a small error may not even lean to one side."""
    found, expected = found.double().flatten(), expected.double().flatten()
    size = expected.norm()
    if size == 0:
        assert not found.any(), name
        return
    assert (found - expected).norm() / size <= relative, (name, (found - expected).norm() / size)
    assert found @ expected / (found.norm() * size) >= 1 - max(relative**2, 1e-12), name
    bias = (found - expected).sum() / (size * math.sqrt(len(found)))
    assert abs(bias) <= relative / 3, (name, bias)


SCENES = {
    "plain": make_scene(),
    "seven channels": make_scene(channels=7, seed=1),
    "one channel": make_scene(channels=1, views=1, seed=2),
    "features differ between views": make_scene(per_view=True, views=3, width=40, seed=3),
    "clamped alphas": make_scene(opacity=(0.98, 0.99999), scale=0.12, seed=4),
    "big splats": make_scene(60, scale=0.8, opacity=(0.05, 0.5), seed=5),
    "needles": make_scene(stretch=1.5, scale=0.1, views=1, seed=6),
    "behind and beside the camera": make_scene(300, spread=2.0, distance=1.0, seed=7),
    "translucent stack": make_scene(300, opacity=(0.005, 0.1), scale=0.3, views=1, seed=8),
    "many tiles": make_scene(150, width=133, height=97, views=1, seed=9),
    "narrow": make_scene(150, width=17, height=70, seed=10),
    "tiny splats": make_scene(300, scale=0.002, seed=11),
    "one splat": make_scene(1, seed=12),
    "thirty-two channels": make_scene(40, channels=32, views=1, width=32, height=20, seed=13),
}


@pytest.mark.parametrize("name", SCENES)
def test_cpu_equals_twin(name):
    """Values to 1e-5, gradients to 5e-6, on pixels where rounding crossed no threshold."""
    scene = SCENES[name]
    expected_inputs, found_inputs = scene.inputs_in(torch.float64), scene.inputs_in(torch.float32)
    expected = scene.render(splat_torch.rasterize, expected_inputs)
    found = scene.render(splat_cpu.rasterize, found_inputs)
    assert (found.radii - expected.radii).abs().max() <= 1
    assert (found.radii == expected.radii).double().mean() >= 0.999
    error = (found.features - expected.features).abs().amax(-1)
    inliers = (error < 1e-5) & ((found.alpha - expected.alpha).abs() < 1e-5)
    assert inliers.double().mean() >= 0.999
    torch.manual_seed(1)
    weights = torch.randn(expected.features.shape, dtype=torch.float64) * inliers[..., None]
    alpha_weights = torch.randn(expected.alpha.shape, dtype=torch.float64) * inliers
    ((expected.features * weights).sum() + (expected.alpha * alpha_weights).sum()).backward()
    loss = (found.features * weights.float()).sum() + (found.alpha * alpha_weights.float()).sum()
    loss.backward()
    for key, a, b in zip(NAMES, found_inputs, expected_inputs, strict=True):
        assert_alike(a.grad, b.grad, 5e-6, f"{name}: {key}")


def test_twin_gradients_by_finite_differences():
    scene = make_scene(5, width=9, height=7, scale=0.25, views=2, channels=2, seed=3)
    inputs = scene.inputs_in(torch.float64)

    def outputs(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        splatted = scene.render(splat_torch.rasterize, list(leaves))
        return splatted.features, splatted.alpha

    assert torch.autograd.gradcheck(outputs, inputs, eps=1e-6, atol=1e-8, rtol=1e-6)


def test_twin_camera_gradients_by_finite_differences():
    scene = make_scene(4, width=6, height=8, scale=0.25, views=1, channels=1, seed=4)

    def outputs(pose: Tensor, pinhole: Tensor) -> Tensor:
        return splat_torch.rasterize(*scene.inputs[:5], pose, pinhole, 6, 8).features

    cameras = (scene.pose.requires_grad_(), scene.pinhole.requires_grad_())
    assert torch.autograd.gradcheck(outputs, cameras, eps=1e-6, atol=1e-8, rtol=1e-6)


def one_splat(opacity: float, scales: tuple[float, float, float], size: int = 96) -> Scene:
    """A splat before the camera, off the axis, turned in the picture plane and out of it."""
    options = {"dtype": torch.float64}
    pose = torch.eye(4, **options)[None]
    pinhole = torch.tensor([[[100.0, 0, size / 2], [0, 110.0, size / 2], [0, 0, 1]]], **options)
    inputs = (
        torch.tensor([[0.07, -0.05, 2.0]], **options),
        torch.tensor([[0.9, 0.2, -0.3, 0.5]], **options),
        torch.tensor([scales], **options),
        torch.tensor([opacity], **options),
        torch.ones(1, 1, **options),
        torch.zeros(1, 1, 2, **options),
    )
    return Scene(inputs, pose, pinhole, size, size)


def area_of(scene: Scene) -> float:
    """2 pi sqrt(det) of the splat's screen covariance, from the definition in EWA splatting."""
    means, quats, scales = scene.inputs[:3]
    (x, y, z), pinhole = means[0], scene.pinhole[0]
    w, a, b, c = quats[0] / quats[0].norm()
    cross = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
    rotation = torch.eye(3, dtype=torch.float64) + 2 * (w * cross + cross @ cross)
    jacobian = torch.tensor(
        [
            [pinhole[0, 0] / z, 0, -pinhole[0, 0] * x / z**2],
            [0, pinhole[1, 1] / z, -pinhole[1, 1] * y / z**2],
        ],
        dtype=torch.float64,
    )
    root = jacobian @ rotation @ torch.diag(scales[0])
    covariance = root @ root.T + 0.3 * torch.eye(2, dtype=torch.float64)
    return 2 * math.pi * float(torch.linalg.det(covariance)) ** 0.5


@pytest.mark.oracles
def test_alpha_of_one_splat_sums_to_its_gaussian_integral(monkeypatch):
    monkeypatch.setattr(splat_torch, "MIN_ALPHA", 1e-30)
    scene = one_splat(0.7, (0.05, 0.03, 0.02))
    alpha = scene.render(splat_torch.rasterize, list(scene.inputs)).alpha
    assert abs(float(alpha.detach().sum()) / (0.7 * area_of(scene)) - 1) < 1e-13


@pytest.mark.oracles
@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_alpha_of_one_splat_with_the_threshold(rasterize):
    """Cut off at 1/255, the integral is that of the Gaussian less 1/255 times its ellipse."""
    scene = one_splat(0.7, (0.15, 0.12, 0.1))
    alpha = scene.render(rasterize, scene.inputs_in(torch.float32)).alpha
    assert abs(float(alpha.detach().sum()) / ((0.7 - 1 / 255) * area_of(scene)) - 1) < 1e-3


@pytest.mark.oracles
@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_weights_and_transmittance_add_up_to_one(rasterize):
    scene = make_scene(150, scale=0.2, channels=1, seed=5)
    inputs = scene.inputs_in(torch.float32)
    splatted = scene.render(rasterize, [*inputs[:4], torch.ones_like(inputs[4]), inputs[5]])
    assert torch.allclose(splatted.features[..., 0], splatted.alpha, rtol=0, atol=3e-6)
    assert splatted.alpha.max() > 0.99
    assert splatted.alpha.max() < 1 - splat_torch.MIN_TRANSMITTANCE + 1e-6


@pytest.mark.oracles
@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_transmittance_stops_before_the_splat_that_would_end_it(rasterize):
    """Three alphas of 0.99 in a row would leave 1e-6: the third and all after it are left out."""
    scene = one_splat(0.9999, (1.0, 1.0, 1.0), size=4)
    means = scene.inputs[0] + torch.tensor([[0, 0, 0.1 * k] for k in range(5)])
    inputs = [means.float(), *(x.expand(5, *x.shape[1:]).float() for x in scene.inputs[1:4])]
    features = torch.eye(5)
    weights = rasterize(*inputs, features, scene.pose.float(), scene.pinhole.float(), 4, 4).features
    expected = torch.tensor([0.99, 0, 0, 0, 0]).expand(1, 4, 4, 5)
    # 0.99 twice leaves 1e-4 up to rounding; at 0.98 it is clearly more, and the second one stays.
    assert torch.allclose(weights[..., [0, 2, 3, 4]], expected[..., [0, 2, 3, 4]], atol=1e-6)
    softer = rasterize(
        *inputs, features, scene.pose.float(), scene.pinhole.float(), 4, 4, max_alpha=0.98
    ).features
    expected = torch.tensor([0.98, 0.98 * 0.02, 0, 0, 0]).expand(1, 4, 4, 5)
    assert torch.allclose(softer, expected, atol=1e-6)


@pytest.mark.oracles
@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_depth_order_of_disjoint_splats_does_not_matter(rasterize):
    scene = one_splat(0.8, (0.02, 0.02, 0.02), size=64)
    pictures = []
    for left, right in ((1.9, 2.1), (2.1, 1.9)):
        # Slopes and sizes are kept, so that only the order of depths differs.
        depths = torch.tensor([[left], [right]], dtype=torch.float64)
        slopes = torch.tensor([[-0.15, 0.0, 1.0], [0.15, 0.02, 1.0]], dtype=torch.float64)
        splatted = rasterize(
            (slopes * depths).float(),
            scene.inputs[1].expand(2, 4).float(),
            (0.01 * depths).expand(2, 3).float(),
            scene.inputs[3].expand(2).float(),
            torch.eye(2),
            scene.pose.float(),
            scene.pinhole.float(),
            64,
            64,
        )
        pictures.append(splatted.features)
    assert pictures[0].sum() > 1
    assert torch.allclose(pictures[0], pictures[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_storage_order_does_not_matter(rasterize):
    """Pictures are the same bits, and gradients are permuted with the splats."""
    scene = make_scene(150, views=1, seed=6)
    order = torch.randperm(150)
    inputs = scene.inputs_in(torch.float32)
    shuffled = [x.detach()[order].requires_grad_() for x in inputs[:5]]
    shuffled.append(inputs[5].detach()[:, order].requires_grad_())
    first, second = scene.render(rasterize, inputs), scene.render(rasterize, shuffled)
    assert torch.equal(first.features, second.features)
    for splatted in (first, second):
        splatted.features.square().sum().backward()
    for name, a, b in zip(NAMES, inputs, shuffled, strict=True):
        expected = a.grad[:, order] if name == "screen_offsets" else a.grad[order]
        if rasterize is splat_cpu.rasterize:
            assert torch.equal(expected, b.grad), name
        else:
            assert_alike(b.grad, expected, 1e-5, name)


@pytest.mark.oracles
@pytest.mark.parametrize(
    ("rasterize", "dtype", "tolerance"),
    [(splat_torch.rasterize, torch.float64, 1e-12), (splat_cpu.rasterize, torch.float32, 3e-5)],
)
def test_turning_scene_and_camera_together_changes_nothing(rasterize, dtype, tolerance):
    scene = make_scene(100, seed=7)
    means, quats, *rest = scene.inputs
    w, x, y, z = turn = torch.nn.functional.normalize(torch.randn(4, dtype=torch.float64), dim=0)
    rotation = splat_torch.rotation_from_quaternion(turn)
    left = torch.stack(
        [torch.stack(row) for row in ((w, -x, -y, -z), (x, w, -z, y), (y, z, w, -x), (z, -y, x, w))]
    )
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3], motion[:3, 3] = rotation, torch.tensor([0.3, -0.2, 0.5])
    moved = Scene(
        (means @ rotation.T + motion[:3, 3], quats @ left.T, *rest),
        scene.pose @ torch.linalg.inv(motion),
        scene.pinhole,
        scene.width,
        scene.height,
    )

    def picture(scene: Scene) -> Tensor:
        inputs = [x.to(dtype) for x in scene.inputs]
        cameras = (scene.pose.to(dtype), scene.pinhole.to(dtype))
        return rasterize(
            *inputs[:5], *cameras, scene.width, scene.height, screen_offsets=inputs[5]
        ).features

    error = (picture(scene) - picture(moved)).abs().flatten()
    assert error.quantile(0.999) < tolerance
    assert error.median() < tolerance / 10


@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
@pytest.mark.parametrize("opacity", [0.0, 0.003])
def test_what_is_too_faint_has_no_gradient(rasterize, opacity):
    scene = make_scene(20, seed=8)
    inputs = scene.inputs_in(torch.float32)
    with torch.no_grad():
        inputs[3][:10] = opacity
    splatted = scene.render(rasterize, inputs)
    splatted.features.sum().backward()
    assert not splatted.radii[:, :10].any()
    for x in inputs[:5]:
        assert not x.grad[:10].any()
        assert x.grad[10:].any()


@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_a_clamped_alpha_moves_colours_only(rasterize):
    scene = one_splat(0.9999, (5.0, 5.0, 5.0), size=8)
    inputs = scene.inputs_in(torch.float32)
    scene.render(rasterize, inputs).features.sum().backward()
    assert torch.allclose(inputs[4].grad, torch.tensor([[64 * 0.99]]))
    for x in (*inputs[:4], inputs[5]):
        assert not x.grad.any()


@pytest.mark.parametrize("rasterize", [splat_torch.rasterize, splat_cpu.rasterize])
def test_nothing_to_see(rasterize):
    for scene in (make_scene(0), make_scene(10, spread=0.1)):
        scene.pose[:, 2, 3] -= 5  # Everything is behind the camera.
        inputs = scene.inputs_in(torch.float32)
        splatted = scene.render(rasterize, inputs)
        assert splatted.features.shape == (2, 64, 64, 3)
        assert not splatted.features.any()
        assert not splatted.alpha.any()
        assert splatted.radii.shape == (2, len(inputs[0]), 2)
        assert not splatted.radii.any()
        (splatted.features.sum() + splatted.alpha.sum()).backward()
        for x in inputs:
            assert x.grad is None or not x.grad.any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_cpu_gives_the_same_bits_for_any_number_of_threads(threads, monkeypatch):
    scene = make_scene(1500, width=150, height=110, views=3, seed=9)
    results = []
    for number in (1, threads, threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        inputs = scene.inputs_in(torch.float32)
        splatted = scene.render(splat_cpu.rasterize, inputs)
        (splatted.features.square().sum() + splatted.alpha.sum()).backward()
        results.append([*splatted, *(x.grad for x in inputs)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_cpu_leaves_out_gradients_that_are_not_wanted():
    scene = make_scene(20)
    inputs = [x.float() for x in scene.inputs]
    inputs[4].requires_grad_()
    scene.render(splat_cpu.rasterize, inputs).features.sum().backward()
    assert inputs[4].grad.any()
    assert all(x.grad is None for x in (*inputs[:4], inputs[5]))


def test_cpu_notices_parameters_that_changed_before_backward():
    scene = make_scene(20)
    inputs = scene.inputs_in(torch.float32)
    loss = scene.render(splat_cpu.rasterize, inputs).features.sum()
    with torch.no_grad():
        inputs[0].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_cpu_refuses_what_it_cannot_do():
    scene = make_scene(3, channels=33)
    with pytest.raises(InputError, match="33 channels"):
        scene.render(splat_cpu.rasterize, list(scene.inputs))


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
    facing = rendered.normals / rendered.alpha
    assert torch.allclose(facing, torch.tensor([1.0, 0, 0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(rendered.colour, 0.5 * rendered.alpha.expand(-1, -1, -1, 3))


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
