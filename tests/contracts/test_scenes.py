"""The contract of a scene, over every kind of scene."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from maquette.inits.canvas import Canvas
from maquette.inits.sphere import Sphere
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians
from maquette.scenes.image import Picture

SCENES: dict[str, Callable[[], Scene]] = {
    "gaussians": lambda: Sphere(count=60).make("a ball", Randomness(0)),
    "gaussians degree 3": lambda: Sphere(count=60, sh_degree=3).make("a ball", Randomness(0)),
    "picture": lambda: Canvas(size=16).make("a ball", Randomness(0)),
    "picture of another size": lambda: Canvas(size=23).make("a ball", Randomness(0)),
}
VIEWS = Views.ring(2, size=16)
GREY = torch.full((2, 3), 0.5)


@pytest.fixture(params=SCENES, ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    return SCENES[request.param]()


def test_renders_one_picture_per_view(scene: Scene) -> None:
    render = scene.render(VIEWS, GREY)
    assert render.colour.shape == (2, 16, 16, 3)
    assert render.alpha.shape == (2, 16, 16, 1)
    assert torch.isfinite(render.colour).all()
    assert 0.0 <= float(render.alpha.detach().min()) <= float(render.alpha.detach().max()) <= 1.0
    assert float(render.alpha.detach().max()) > 0.1


def test_geometry_comes_on_request_only(scene: Scene) -> None:
    plain, full = scene.render(VIEWS, GREY), scene.render(VIEWS, GREY, geometry=True)
    assert plain.depth is None
    assert plain.normals is None
    torch.testing.assert_close(full.colour, plain.colour)
    if isinstance(scene, Picture):
        # It is flat: there is no geometry, whoever asks.
        assert full.depth is None
        assert full.normals is None
        return
    assert full.depth is not None
    assert full.normals is not None
    assert full.depth.shape == (2, 16, 16, 1)
    assert full.normals.shape == (2, 16, 16, 3)


def test_each_view_is_rendered_alone(scene: Scene) -> None:
    both = scene.render(VIEWS, GREY).colour
    alone = [scene.render(VIEWS[view : view + 1], GREY[:1]).colour[0] for view in range(2)]
    torch.testing.assert_close(both, torch.stack(alone))


def test_the_background_shows_where_nothing_is(scene: Scene) -> None:
    colours = torch.tensor([[0.2, 0.4, 0.6], [0.9, 0.1, 0.3]])
    render = scene.render(VIEWS, colours)
    black = scene.render(VIEWS, torch.zeros(2, 3))
    expected = black.colour + (1.0 - black.alpha) * colours[:, None, None]
    torch.testing.assert_close(render.colour, expected)


def test_parameters_are_the_same_leaf_tensors_at_every_call(scene: Scene) -> None:
    first, second = scene.parameters(), scene.parameters()
    assert list(first) == list(second)
    for name, parameter in first.items():
        assert parameter is second[name]
        assert parameter.is_leaf
        assert parameter.requires_grad


def test_gradients_reach_every_parameter(scene: Scene) -> None:
    # A target that is not symmetric, so that no gradient cancels.
    target = torch.linspace(0.0, 1.0, 2 * 16 * 16 * 3).reshape(2, 16, 16, 3).roll(7)
    # Round Gaussians do not feel a turn.
    if isinstance(scene, Gaussians):
        with torch.no_grad():
            scene.parameters()["log_scales"][:, 0] += 0.7
    scene.render(VIEWS, GREY).colour.sub(target).square().sum().backward()
    for name, parameter in scene.parameters().items():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert float(parameter.grad.abs().max()) > 0.0, name


def test_replace_puts_equal_new_leaves_in_place(scene: Scene) -> None:
    before = scene.render(VIEWS, GREY).colour.detach()
    old = scene.parameters()
    given = {name: value.detach().clone() for name, value in old.items()}
    scene.replace(given)
    for name, parameter in scene.parameters().items():
        assert parameter.is_leaf
        assert parameter.requires_grad
        assert parameter is not old[name]
        assert torch.equal(parameter, old[name])
        assert parameter.data_ptr() != given[name].data_ptr()
    assert torch.equal(scene.render(VIEWS, GREY).colour, before)


def test_rendering_without_a_graph_gives_the_same_picture(scene: Scene) -> None:
    with torch.no_grad():
        free = scene.render(VIEWS, GREY)
    assert not free.colour.requires_grad
    assert torch.equal(free.colour, scene.render(VIEWS, GREY).colour)


def test_rendering_changes_no_parameter(scene: Scene) -> None:
    before = {name: value.detach().clone() for name, value in scene.parameters().items()}
    scene.render(VIEWS, GREY, geometry=True)
    assert all(torch.equal(before[name], value) for name, value in scene.parameters().items())
