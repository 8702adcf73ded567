"""Regularisers against their formulas, written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.inits.sphere import Sphere
from maquette.losses import (
    AlphaEntropy,
    AlphaVariation,
    ColourVariation,
    Loss,
    OpacityEntropy,
    Outside,
    ScalePenalty,
    Sparsity,
    ZVariance,
)
from maquette.ramps import linear, resolve
from maquette.randomness import Randomness
from maquette.records import Render, Views
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians

LOSSES = [
    AlphaEntropy,
    AlphaVariation,
    ColourVariation,
    OpacityEntropy,
    Outside,
    ScalePenalty,
    Sparsity,
    ZVariance,
]


def picture(values: Tensor) -> Render:
    """A render with this alpha ``[B, H, W]``, and the same in every colour channel and variance."""
    alpha = values.double()[..., None]
    return Render(alpha.expand(*alpha.shape[:-1], 3), alpha, depth_variance=alpha)


def two() -> Gaussians:
    scene = Gaussians.from_points(
        torch.tensor([[0.5, 0.0, 0.0], [0.0, 3.0, 4.0]]).double(), torch.rand(2, 3), opacity=0.25
    )
    scales = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], dtype=torch.float64)
    scene.replace({**scene.tensors(), "log_scales": scales.log()})
    return scene


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_values() -> None:
    scene = two()
    render = picture(torch.tensor([[[0.0, 0.5], [0.25, 1.0]]]))
    ends = entropy(0.001)
    expected = {
        AlphaEntropy(): (2 * ends + entropy(0.5) + entropy(0.25)) / 4,
        OpacityEntropy(): entropy(0.25),
        Sparsity(): sum(math.sqrt(a * a + 0.01) for a in (0, 0.5, 0.25, 1)) / 4,
        ScalePenalty(): 0.35,
        Outside(radius=2.0): 0.25 * 9.0 / 2,
        AlphaVariation(): 2 * ((0.25**2 + 0.5**2) / 2 + (0.5**2 + 0.75**2) / 2),
        ColourVariation(): 2 * ((0.25**2 + 0.5**2) / 2 + (0.5**2 + 0.75**2) / 2),
        ZVariance(): 1.0,
    }
    assert {type(loss) for loss in expected} == set(LOSSES)
    for loss, value in expected.items():
        assert loss(render, scene).item() == pytest.approx(value, abs=1e-12), loss.name


@pytest.mark.parametrize("kind", LOSSES)
def test_the_weight_is_a_factor_and_may_be_a_ramp(kind: type[Loss]) -> None:
    scene = two()
    render = picture(torch.rand(1, 4, 4))
    once, thrice = kind()(render, scene), kind(weight=3.0)(render, scene)
    torch.testing.assert_close(thrice, 3.0 * once)
    ramp = resolve(kind(weight=linear(0.0, 3.0)), 1.0)
    assert torch.equal(ramp(render, scene), thrice)


@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_are_finite_at_the_ends_and_reach_the_scene(kind: type[Loss]) -> None:
    scene = Sphere(count=30, radius=2.0, opacity=0.99).make("", Randomness(0))
    render = scene.render(Views.ring(2, size=16), torch.zeros(2, 3), geometry=True)
    loss = kind()(render, scene)
    assert loss.shape == ()
    loss.backward()
    gradients = [value.grad for value in scene.parameters().values() if value.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


def test_names_are_distinct() -> None:
    assert len({kind.name for kind in LOSSES}) == len(LOSSES)


def test_descending_does_what_the_name_says() -> None:
    alpha = torch.tensor([[[0.3, 0.7], [0.45, 0.55]]], dtype=torch.float64, requires_grad=True)
    AlphaEntropy()(picture(alpha), two()).backward()
    assert alpha.grad is not None
    # Below a half goes down, above goes up.
    assert torch.equal((-alpha.grad).sign(), (alpha.detach() - 0.5).sign())


def test_a_constant_picture_has_no_variation() -> None:
    flat = picture(torch.full((2, 5, 5), 0.4))
    assert AlphaVariation()(flat, two()).item() == 0.0
    assert ColourVariation()(flat, two()).item() == 0.0


def test_the_variance_of_depth_counts_rays_that_are_covered() -> None:
    alpha = torch.tensor([[[0.4, 0.6], [0.8, 0.5]]])
    assert ZVariance()(picture(alpha), two()).item() == pytest.approx(1.4)
    assert ZVariance(over_rays="mean")(picture(alpha), two()).item() == pytest.approx(0.7)
    assert ZVariance(over_rays="mean")(picture(0 * alpha), two()).item() == 0.0
    with pytest.raises(InputError, match="geometry=True"):
        ZVariance()(Render(alpha[..., None], alpha[..., None]), two())


def test_descending_the_variance_of_depth_brings_two_layers_together() -> None:
    scene = Gaussians.from_points(
        torch.tensor([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]]), torch.rand(2, 3), opacity=0.7
    )
    scene.replace({**scene.tensors(), "log_scales": torch.full((2, 3), math.log(0.3))})
    render = scene.render(
        Views.ring(1, elevation_deg=0.0, size=16), torch.zeros(1, 3), geometry=True
    )
    ZVariance()(render, scene).backward()
    assert scene.means.grad is not None
    near, far = scene.means.grad[:, 0].tolist()
    assert near > 0 > far


class Nothing(Scene):
    """A scene that is not made of Gaussians."""

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        raise NotImplementedError

    def parameters(self) -> dict[str, Tensor]:
        return {}

    def replace(self, parameters: dict[str, Tensor]) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [OpacityEntropy, Outside, ScalePenalty])
def test_losses_about_gaussians_refuse_other_scenes(kind: type[Loss]) -> None:
    with pytest.raises(InputError, match="Nothing"):
        kind()(picture(torch.rand(1, 2, 2)), Nothing())
