"""The scene that is one picture."""

from __future__ import annotations

import pytest
import torch

from maquette.errors import CheckpointError, InputError
from maquette.records import Views
from maquette.scenes.image import Picture


def test_a_picture_of_its_own_size_is_shown_as_it_is_and_passes_gradients_on() -> None:
    scene = Picture(torch.rand(5, 7, 3) * 3 - 1)
    render = scene.render(Views.ring(2).sized(7, 5), torch.zeros(2, 3))
    assert torch.equal(render.colour[1], scene.pixels)
    assert torch.equal(render.alpha, torch.ones(2, 5, 7, 1))
    weights = torch.rand(2, 5, 7, 3)
    (render.colour * weights).sum().backward()
    assert scene.pixels.grad is not None
    torch.testing.assert_close(scene.pixels.grad, weights.sum(0))


def test_a_render_stays_when_the_pixels_move() -> None:
    scene = Picture(torch.zeros(4, 4, 3))
    shown = scene.render(Views.ring(1).sized(4, 4), torch.zeros(1, 3)).colour
    with torch.no_grad():
        scene.pixels.add_(1.0)
    assert float(shown.detach().max()) == 0.0


def test_a_smaller_view_averages_over_all_pixels() -> None:
    scene = Picture(torch.rand(12, 12, 3))
    small = scene.render(Views.ring(1).sized(4, 4), torch.zeros(1, 3)).colour
    torch.testing.assert_close(small.mean(), scene.pixels.mean(), atol=0.02, rtol=0)
    small.sum().backward()
    assert scene.pixels.grad is not None
    assert float(scene.pixels.grad.min()) > 0.0


def test_a_picture_comes_back_from_its_tensors() -> None:
    scene = Picture(torch.rand(4, 5, 3))
    assert torch.equal(Picture.from_tensors(scene.tensors()).pixels, scene.pixels)
    assert scene.tensors()["pixels"].data_ptr() != scene.pixels.data_ptr()
    for tensors in ({}, {"pixel": torch.rand(4, 4, 3)}, {"pixels": torch.rand(4, 4)}):
        with pytest.raises(CheckpointError):
            Picture.from_tensors(tensors)


@pytest.mark.parametrize(
    "pixels",
    [
        *(torch.rand(4, 4), torch.rand(4, 4, 4), torch.rand(0, 4, 3)),
        *(torch.full((2, 2, 3), torch.nan), torch.zeros(2, 2, 3, dtype=torch.uint8)),
    ],
)
def test_pixels_that_are_no_picture_are_refused(pixels: torch.Tensor) -> None:
    with pytest.raises(InputError, match="pixels"):
        Picture(pixels)


def test_a_picture_keeps_its_size() -> None:
    scene = Picture(torch.rand(4, 4, 3))
    with pytest.raises(InputError, match="changed its size"):
        scene.replace({"pixels": torch.rand(5, 4, 3)})
    with pytest.raises(InputError, match="not those of a picture"):
        scene.replace({"means": torch.rand(4, 4, 3)})
