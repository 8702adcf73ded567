"""Both splat renderers against closed forms and symmetries."""

import math

import pytest
import torch
from torch import Tensor

from maquette.render import splat_cpu, splat_torch
from splat_scenes import NAMES, Scene, assert_alike, make_scene


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
