"""The point generator: what it learns from, what it answers, and the start that it gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import small_networks
from maquette.errors import InputError, PriorError
from maquette.inits.embedded import Embedded
from maquette.priors import embedded as packaged
from maquette.priors.points import PointDenoiser, PointGenerator, from_rows, to_rows
from maquette.randomness import Randomness
from maquette.toybox.captions import parse
from maquette.toybox.colours import COLOURS
from maquette.toybox.shapes import box, ellipsoid, pack
from maquette.toybox.surface import surface_points
from maquette.toybox.world import specimen


def draws() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(3))


def folder() -> Path:
    return small_networks.trained() / "points-tiny"


def test_points_lie_on_the_sphere_that_was_traced_as_even_as_its_area() -> None:
    ball = pack([ellipsoid((0.1, -0.05, 0.02), 0.7, (0.2, 0.4, 0.6))])
    points, colours = surface_points(ball, 2000, draws())
    away = points - np.array([0.1, -0.05, 0.02])
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), 0.7, atol=1e-4)
    np.testing.assert_allclose(colours, np.tile([[0.2, 0.4, 0.6]], (2000, 1)), atol=1e-6)
    # On a sphere each coordinate is uniform (Archimedes); cells cut the poles of the lattice a bit.
    for axis in range(3):
        shares = np.sort(away[:, axis] / 0.7 + 1) / 2
        assert np.abs(shares - (np.arange(2000) + 0.5) / 2000).max() < 0.05


def test_what_lies_inside_is_not_seen() -> None:
    hidden = box((0.0, 0.0, 0.0), 0.2, (1.0, 0.0, 0.0))
    points, colours = surface_points(
        pack([ellipsoid((0.0, 0.0, 0.0), 0.6, (0.0, 1.0, 0.0)), hidden]), 500, draws()
    )
    assert colours[:, 0].max() == 0
    assert np.linalg.norm(points, axis=1).min() > 0.59


def test_colours_have_no_light_and_no_highlight() -> None:
    words = "a shiny striped red and blue mug"
    _, colours = surface_points(specimen(parse(words)), 1024, draws())
    seen = np.unique(np.round(colours, 3), axis=0)
    for word in ("red", "blue"):
        assert np.abs(seen - np.array(COLOURS[word])).max(axis=1).min() < 0.002
    # Besides these the marks of the pattern, and nothing in between.
    assert len(seen) <= 4


def test_points_are_the_same_for_the_same_draws_and_repeated_where_there_are_few() -> None:
    small = pack([ellipsoid((0.0, 0.0, 0.0), 0.05, (0.0, 1.0, 0.0))])
    one, _ = surface_points(small, 300, draws())
    again, _ = surface_points(small, 300, draws())
    np.testing.assert_array_equal(one, again)
    assert 5 < len(np.unique(one, axis=0)) < 300


def test_rows_lead_back_to_points_and_colours() -> None:
    points, colours = torch.randn(2, 5, 3) * 0.4, torch.rand(2, 5, 3)
    back = from_rows(to_rows(points, colours))
    torch.testing.assert_close(back[0], points)
    torch.testing.assert_close(back[1], colours)


def test_the_denoiser_knows_no_order_and_takes_any_number_of_points() -> None:
    torch.manual_seed(0)
    denoiser = PointDenoiser(16, 8, 2, 1, 2, text_width=12)
    torch.nn.init.normal_(denoiser.unembed.weight)
    rows, states = torch.randn(2, 7, 6), torch.randn(2, 3, 12)
    t, order = torch.tensor([3, 900]), torch.tensor([4, 1, 6, 0, 2, 5, 3])
    answer = denoiser(rows, t, states)
    torch.testing.assert_close(denoiser(rows[:, order], t, states), answer[:, order])
    assert denoiser(rows[:, :2], t, states).shape == (2, 2, 6)
    # It hears the text and the time.
    assert not torch.allclose(denoiser(rows, t, states.flip(0)), answer, atol=1e-4)
    assert not torch.allclose(denoiser(rows, t.flip(0), states), answer, atol=1e-4)


def test_sampling_inverts_noise_where_the_answer_is_known() -> None:
    """With the exact v of one single cloud, whatever the noise, sampling returns that cloud."""
    generator = PointGenerator.load(folder())
    cloud = to_rows(torch.rand(1, 20, 3) - 0.5, torch.rand(1, 20, 3))

    class Exact(PointDenoiser):
        def forward(self, noised, t, states):
            from maquette.priors.points import SCHEDULE

            target = cloud.expand_as(noised)
            eps = SCHEDULE.eps_from_clean(noised, target, t)
            return SCHEDULE.v_target(target, eps, t)

    generator.denoiser = Exact(16, 8, 1, 1, 2)
    points, colours = generator.sample(["a mug"], Randomness(0), count=20, steps=5)
    expected = from_rows(cloud)
    torch.testing.assert_close(points, expected[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(colours, expected[1], atol=1e-4, rtol=0)


def test_guidance_is_that_of_diffusers() -> None:
    generator = PointGenerator.load(folder())

    def drawn(text: str, scale: float) -> torch.Tensor:
        kwargs = {"count": 30, "steps": 3, "guidance_scale": scale}
        return generator.sample([text], Randomness(1), **kwargs)[0]

    torch.testing.assert_close(drawn("a red mug", 0.0), drawn("", 1.0))
    torch.testing.assert_close(drawn("", 9.0), drawn("", 1.0), atol=1e-4, rtol=1e-4)


def test_the_packed_generator_is_the_trained_average() -> None:
    from safetensors.torch import load_file

    generator = PointGenerator.load(folder())
    average = load_file(small_networks.trained() / "training" / "points.safetensors")
    for name, value in generator.denoiser.state_dict().items():
        assert torch.equal(value, average[f"average.points.{name}"].half().float()), name


@pytest.mark.parametrize("name", ["denoiser/config.json", "denoiser/model.safetensors"])
def test_a_damaged_generator_is_refused(name: str, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder(), tmp_path / "points"))
    (broken / name).write_bytes((broken / name).read_bytes()[:-30])
    with pytest.raises((PriorError, InputError)):
        PointGenerator.load(broken)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder(), tmp_path / "points"))
    config = json.loads((broken / "denoiser" / "config.json").read_text())
    (broken / "denoiser" / "config.json").write_text(json.dumps(config | {"width": 32}))
    with pytest.raises(PriorError, match="denoiser"):
        PointGenerator.load(broken)


@pytest.fixture
def own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (packaged, __import__("maquette.inits.embedded", fromlist=["weights_folder"])):
        monkeypatch.setattr(place, "weights_folder", small_networks.trained)


@pytest.mark.usefixtures("own_weights")
def test_the_start_takes_ordinary_wording_and_depends_on_the_seed_alone() -> None:
    start = Embedded(count=70, points=32, steps=2, opacity=0.3, name="points-tiny")
    scene = start.make("a red and blue mug", Randomness(5))
    again = start.make("Mug, RED & blue!", Randomness(5))
    assert scene.count == 70
    assert torch.equal(scene.means, again.means)
    assert not torch.equal(scene.means, start.make("a red and blue mug", Randomness(6)).means)
    torch.testing.assert_close(scene.opacities.detach(), torch.full((70,), 0.3))
    assert float(scene.means.detach().norm(dim=-1).max()) <= 1 + 1e-6


@pytest.mark.usefixtures("own_weights")
def test_the_start_refuses_what_it_does_not_understand() -> None:
    with pytest.raises(InputError, match=r"does not know 'dragon'.*--init sphere"):
        Embedded(name="points-tiny").make("a red dragon", Randomness(0))


@pytest.mark.parametrize("change", [{"count": 0}, {"points": 0}, {"steps": 0}, {"opacity": 1.0}])
def test_starts_that_cannot_be_are_refused(change: dict) -> None:
    with pytest.raises(InputError, match="cannot be made"):
        Embedded(**change)
