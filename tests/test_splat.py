"""Splat renderers: the CPU kernels against their twin, the twin against finite differences."""

import pytest
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.render import splat_cpu, splat_torch
from splat_scenes import NAMES, assert_alike, make_scene

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
    """Values and gradients to 1e-5, on pixels where rounding crossed no threshold."""
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
        assert_alike(a.grad, b.grad, 1e-5, f"{name}: {key}")


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
