"""The scene of Gaussians: construction, validation, activations, checkpoints."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from scipy.spatial import cKDTree
from torch import Tensor

from maquette.errors import CheckpointError, InputError
from maquette.inits.sphere import Sphere
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.scenes.gaussians import (
    LONE_SCALE,
    MIN_SCALE,
    SH_CONSTANT,
    Gaussians,
    neighbour_distance,
)


def parts(count: int = 5, coefficients: int = 4, dtype: torch.dtype = torch.float32) -> dict:
    shapes = {
        "means": (count, 3),
        "log_scales": (count, 3),
        "quats": (count, 4),
        "logit_opacities": (count,),
        "sh": (count, coefficients, 3),
    }
    generator = torch.Generator().manual_seed(count)
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()
    }


def test_activations_are_exponential_and_sigmoid() -> None:
    given = parts(dtype=torch.float64)
    scene = Gaussians(**given)
    torch.testing.assert_close(scene.scales, given["log_scales"].exp())
    torch.testing.assert_close(scene.opacities, 1 / (1 + (-given["logit_opacities"]).exp()))
    assert scene.count == 5
    assert scene.sh_degree == 1
    assert scene.means.dtype == torch.float64


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_tensors_survive_safetensors_bitwise(coefficients: int) -> None:
    scene = Gaussians(**parts(coefficients=coefficients))
    again = Gaussians.from_tensors(load(save(scene.tensors())))
    for name, value in scene.parameters().items():
        assert torch.equal(value, again.parameters()[name])
        assert again.parameters()[name].requires_grad


def test_tensors_are_copies() -> None:
    scene = Gaussians(**parts())
    scene.tensors()["means"].fill_(7.0)
    assert not bool((scene.means == 7.0).any())


def test_a_scene_may_be_empty() -> None:
    scene = Gaussians(**parts(0))
    assert scene.count == 0
    assert Gaussians.from_tensors(scene.tensors()).count == 0


def test_the_arguments_stay_as_they_were() -> None:
    given = parts()
    scene = Gaussians(**given)
    with torch.no_grad():
        scene.means.add_(1.0)
    assert not torch.equal(given["means"], scene.means)
    assert not given["means"].requires_grad


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("means", torch.zeros(5, 2), "means has the shape"),
        ("means", torch.zeros(()), "has the shape"),
        ("log_scales", torch.zeros(4, 3), "log_scales has the shape"),
        ("quats", torch.zeros(5, 3), "quats has the shape"),
        ("logit_opacities", torch.zeros(5, 1), "logit_opacities has the shape"),
        ("sh", torch.zeros(5, 5, 3), "5 spherical harmonics"),
        ("sh", torch.zeros(5, 3), "sh has the shape"),
        ("sh", torch.zeros(5, 4, 3, dtype=torch.float64), "float64"),
        ("quats", torch.zeros(5, 4, dtype=torch.int64), "int64"),
        ("means", torch.full((5, 3), torch.nan), "not finite"),
        ("logit_opacities", torch.full((5,), torch.inf), "not finite"),
    ],
)
def test_what_is_no_scene_is_refused(name: str, wrong: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Gaussians(**{**parts(), name: wrong})
    with pytest.raises(CheckpointError, match=message):
        Gaussians.from_tensors({**parts(), name: wrong})


def test_a_checkpoint_needs_exactly_its_tensors() -> None:
    lacking = {name: value for name, value in parts().items() if name != "sh"}
    with pytest.raises(CheckpointError, match="sh"):
        Gaussians.from_tensors(lacking)
    with pytest.raises(CheckpointError, match="colour"):
        Gaussians.from_tensors({**parts(), "colour": torch.zeros(5, 3)})


def test_replace_changes_the_number_of_rows_but_no_width() -> None:
    scene = Gaussians(**parts(5))
    scene.replace(parts(8))
    assert scene.count == 8
    with pytest.raises(InputError, match="changed its width"):
        scene.replace(parts(8, coefficients=1))
    with pytest.raises(InputError, match="are not those"):
        scene.replace({"means": torch.zeros(8, 3)})
    assert scene.count == 8


def test_points_become_gaussians_of_their_colour_and_opacity() -> None:
    points = torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [0, 0.4, 0], [0, 0, 0.5]], dtype=torch.float64)
    colours = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64).expand(4, 3)
    scene = Gaussians.from_points(points, colours, opacity=0.2, sh_degree=2)
    torch.testing.assert_close(scene.opacities, torch.full((4,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(0.5 + SH_CONSTANT * scene.sh[:, 0], colours)
    assert scene.sh.shape == (4, 9, 3)
    assert not bool(scene.sh[:, 1:].any())
    expected = math.sqrt((0.3**2 + 0.4**2 + 0.5**2) / 3)
    torch.testing.assert_close(scene.scales[0], torch.full((3,), expected, dtype=torch.float64))


def test_a_picture_of_one_big_gaussian_has_its_colour() -> None:
    colour = torch.tensor([[0.2, 0.6, 0.8]])
    scene = Gaussians.from_points(torch.zeros(1, 3), colour, opacity=0.98)
    scene.replace({**scene.tensors(), "log_scales": torch.full((1, 3), 3.0)})
    render = scene.render(Views.ring(1, size=9), torch.zeros(1, 3))
    torch.testing.assert_close(render.colour[0, 4, 4], 0.98 * colour[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("points", "colours", "options"),
    [
        (torch.zeros(4, 2), torch.zeros(4, 2), {}),
        (torch.zeros(4, 3), torch.zeros(3, 3), {}),
        (torch.zeros(4, 3), torch.zeros(4, 3), {"opacity": 1.0}),
        (torch.zeros(4, 3), torch.zeros(4, 3), {"opacity": math.nan}),
        (torch.zeros(4, 3), torch.zeros(4, 3), {"sh_degree": 4}),
        (torch.full((4, 3), math.nan), torch.zeros(4, 3), {}),
    ],
)
def test_points_that_are_none_are_refused(points: Tensor, colours: Tensor, options: dict) -> None:
    with pytest.raises(InputError):
        Gaussians.from_points(points, colours, **options)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 700), st.integers(0, 9), st.sampled_from([0.0, 0.01, 1.0]))
def test_neighbour_distance_agrees_with_a_tree(count: int, seed: int, flatness: float) -> None:
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).double()
    points[:, 2] *= flatness
    neighbours = min(3, count - 1)
    distances, _ = cKDTree(points.numpy()).query(points.numpy(), neighbours + 1)
    expected = torch.from_numpy(distances[:, 1:]).square().mean(1).sqrt()
    torch.testing.assert_close(neighbour_distance(points), expected, rtol=1e-12, atol=1e-12)


def test_neighbour_distance_of_lone_and_equal_points() -> None:
    assert neighbour_distance(torch.zeros(0, 3)).shape == (0,)
    assert float(neighbour_distance(torch.ones(1, 3))) == pytest.approx(LONE_SCALE)
    assert not bool(neighbour_distance(torch.ones(300, 3)).any())
    scene = Gaussians.from_points(torch.ones(300, 3), torch.ones(300, 3))
    assert scene.scales.min().item() == pytest.approx(MIN_SCALE)


def test_screen_offsets_carry_the_gradient_of_the_centres() -> None:
    """Moving a centre on the screen and moving it in the world must agree by the focal length."""
    point = torch.tensor([[0.0, 0.05, 0.02]], dtype=torch.float64)
    scene = Gaussians.from_points(point, torch.rand(1, 3).double(), opacity=0.6)
    # A tiny Gaussian far from the edges: its footprint does not change as it moves.
    scene.replace({**scene.tensors(), "log_scales": torch.full((1, 3), -6.0).double()})
    views = Views.ring(1, size=32, elevation_deg=0.0)
    render = scene.render(views, torch.zeros(1, 3))
    weights = torch.linspace(0, 1, 32 * 32 * 3).reshape(1, 32, 32, 3).double()
    (render.colour * weights).sum().backward()
    assert render.screen_offsets is not None
    assert render.screen_offsets.grad is not None
    assert scene.means.grad is not None
    pixels_per_unit = float(views.intrinsics[0, 0, 0]) / float(views.distance[0])
    # Seen from the front, right is +y and down is -z.
    on_screen = render.screen_offsets.grad[0, 0]
    expected = torch.stack([on_screen[0], -on_screen[1]]) * pixels_per_unit
    torch.testing.assert_close(scene.means.grad[0, 1:], expected, rtol=1e-3, atol=0)


def test_gradients_through_the_whole_scene_match_finite_differences() -> None:
    tensors = {
        k: v.double()
        for k, v in Sphere(count=4, sh_degree=1, opacity=0.5)
        .make("", Randomness(3))
        .tensors()
        .items()
    }
    tensors["log_scales"] += torch.tensor([0.0, -0.3, 0.2])
    views = Views.ring(1, size=8)
    names = list(tensors)

    def picture(*values: Tensor) -> Tensor:
        scene = Gaussians(**tensors)
        # The scene owns copies; for a check of gradients the graph has to lead to the arguments.
        scene._parameters = dict(zip(names, values, strict=True))
        return scene.render(views, torch.ones(1, 3)).colour

    inputs = [tensors[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(picture, inputs, eps=1e-6, atol=1e-5, rtol=1e-3)
