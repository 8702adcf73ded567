"""Backgrounds: keyed draws with the right shares."""

from __future__ import annotations

import pytest
import torch

from maquette.errors import InputError
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.scenes.background import Background, Mixed, Plain


def test_plain_is_its_colour() -> None:
    drawn = Plain((0.1, 0.2, 0.3)).draw(Views.ring(3), Randomness(0))
    torch.testing.assert_close(drawn, torch.tensor([[0.1, 0.2, 0.3]] * 3))


def test_mixed_has_its_shares() -> None:
    drawn = Mixed().draw(Views.ring(4000), Randomness(1))
    assert drawn.shape == (4000, 3)
    assert drawn.dtype == torch.float32
    assert 0.0 <= float(drawn.min()) <= float(drawn.max()) <= 1.0
    for level, share in ((1.0, 0.35), (0.5, 0.15), (0.0, 0.10)):
        assert float((drawn == level).all(1).double().mean()) == pytest.approx(share, abs=0.03)
    free = drawn[((drawn != 1.0) & (drawn != 0.5) & (drawn != 0.0)).all(1)].double()
    assert len(free) == pytest.approx(1600, abs=120)
    torch.testing.assert_close(free.mean(0), torch.full((3,), 0.5).double(), atol=0.03, rtol=0)
    assert abs(float(torch.corrcoef(free.T)[0, 1])) < 0.1


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (Mixed(white=2, grey=0, black=0, random=0), 1.0),
        (Mixed(white=0, grey=2, black=0, random=0), 0.5),
        (Mixed(white=0, grey=0, black=2, random=0), 0.0),
    ],
)
def test_weights_need_not_sum_to_one(kind: Mixed, level: float) -> None:
    assert bool((kind.draw(Views.ring(50), Randomness(0)) == level).all())


@pytest.mark.parametrize("background", [Plain(), Mixed()])
def test_a_batch_draws_as_its_parts(background: Background) -> None:
    views, random = Views.ring(6), Randomness(3, step=7)
    whole = background.draw(views, random)
    parts = [background.draw(views[i : i + 1], random.from_view(i)) for i in range(6)]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, background.draw(views, random))


def test_steps_and_seeds_draw_anew() -> None:
    views = Views.ring(20)
    first = Mixed().draw(views, Randomness(0))
    assert not torch.equal(first, Mixed().draw(views, Randomness(0).at(1)))
    assert not torch.equal(first, Mixed().draw(views, Randomness(1)))


def test_what_is_no_colour_and_no_mixture_is_refused() -> None:
    with pytest.raises(InputError, match="no colour"):
        Plain((0.0, 1.5, 0.0))
    with pytest.raises(InputError, match="no mixture"):
        Mixed(white=-0.1)
    with pytest.raises(InputError, match="no mixture"):
        Mixed(white=0, grey=0, black=0, random=0)
