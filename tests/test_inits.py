"""Starts: the ball of Gaussians, and the canvas of a picture."""

from __future__ import annotations

import pytest
import torch

from maquette.errors import InputError
from maquette.inits.canvas import Canvas
from maquette.inits.embedded import Embedded
from maquette.inits.several import Several
from maquette.inits.sphere import Sphere
from maquette.randomness import Randomness


def test_sphere_is_uniform_in_its_ball() -> None:
    scene = Sphere(count=4000, radius=0.7).make("", Randomness(0))
    distance = scene.means.detach().norm(dim=-1)
    assert scene.count == 4000
    assert float(distance.max()) <= 0.7 * (1 + 1e-6)
    # The cube of the relative distance of a uniform ball is uniform.
    shares = (distance / 0.7).double().pow(3).sort().values
    even = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    assert float((shares - even).abs().max()) < 0.03
    assert float(scene.means.detach().mean(0).norm()) < 0.03


def test_sphere_has_its_opacity_and_colours_and_touching_sizes() -> None:
    sphere = Sphere(count=1000, opacity=0.1, sh_degree=2, grey=0.4, colour_spread=0.05)
    scene = sphere.make("", Randomness(0))
    torch.testing.assert_close(scene.opacities.detach(), torch.full((1000,), 0.1))
    assert scene.sh_degree == 2
    colours = 0.5 + 0.28209479 * scene.sh.detach()[:, 0]
    torch.testing.assert_close(colours.mean(0), torch.full((3,), 0.4), atol=0.01, rtol=0)
    torch.testing.assert_close(colours.std(0), torch.full((3,), 0.05), atol=0.01, rtol=0)
    spacing = 0.7 * (4.19 / 1000) ** (1 / 3)
    assert 0.5 * spacing < float(scene.scales.detach().mean()) < spacing


def test_sphere_depends_on_the_seed_alone() -> None:
    sphere = Sphere(count=50)
    first, again = sphere.make("a", Randomness(0)), sphere.make("b", Randomness(0))
    other = sphere.make("a", Randomness(1))
    assert all(torch.equal(v, again.parameters()[k]) for k, v in first.parameters().items())
    assert not torch.equal(first.means, other.means)


def test_sphere_leaves_the_global_random_stream_alone() -> None:
    before = torch.get_rng_state()
    Sphere(count=50).make("", Randomness(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("options", [{"count": 0}, {"radius": 0.0}, {"opacity": 1.0}])
def test_a_sphere_that_cannot_be_made_is_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Sphere(**options)


def test_canvas_is_grey_with_its_noise_and_cut_to_colours() -> None:
    pixels = Canvas(size=80, grey=0.4, noise=0.05).make("", Randomness(0)).pixels.detach()
    assert pixels.shape == (80, 80, 3)
    # Four standard errors of 19 200 numbers.
    assert float((pixels.mean() - 0.4).abs()) < 4 * 0.05 / 19_200**0.5
    assert float((pixels.std() - 0.05).abs()) < 4 * 0.05 / (2 * 19_200) ** 0.5
    # Neither rows nor channels are copies of each other.
    assert float(torch.corrcoef(pixels.reshape(-1, 3).T).fill_diagonal_(0).abs().max()) < 0.05
    loud = Canvas(size=80, noise=2.0).make("", Randomness(0)).pixels.detach()
    assert (float(loud.min()), float(loud.max())) == (0.0, 1.0)


def test_canvas_depends_on_the_seed_alone_and_leaves_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (
        Canvas(size=9).make(prompt, Randomness(seed)).pixels
        for prompt, seed in (("a", 0), ("b", 0), ("a", 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"grey": 1.5}, {"noise": -0.1}, {"noise": float("inf")}]
)
def test_a_canvas_that_cannot_be_made_is_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Canvas(**options)


def test_tiny_starts_are_small_and_ask_no_network() -> None:
    assert Sphere(count=5000, radius=0.6).tiny() == Sphere(count=64, radius=0.6)
    assert Several(Sphere(count=500), 4).tiny() == Several(Sphere(count=64), 2)
    assert Several(Sphere(count=500), 1).tiny().particles == 1
    assert Embedded().tiny() == Sphere(count=64)
    assert Canvas(size=9).tiny() == Canvas(size=9)
