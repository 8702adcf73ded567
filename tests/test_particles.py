"""Particles: views by turns, and each particle exactly what it would be alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from maquette.checkpoints import pack, unpack
from maquette.errors import InputError
from maquette.inits.several import Several
from maquette.inits.sphere import Sphere
from maquette.losses import AlphaEntropy, OpacityEntropy, ScalePenalty, Sparsity
from maquette.objectives.base import Objective
from maquette.objectives.sds import SDS
from maquette.objectives.vsd import VSD
from maquette.optimiser import Adam
from maquette.priors.analytic import GaussianMixture
from maquette.priors.students import GaussianFit
from maquette.ramps import Number
from maquette.randomness import Randomness
from maquette.records import Render, Views, Words
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import Gaussians
from maquette.scenes.growth import Growth
from maquette.scenes.particles import GrowthOfEach, Particles, apart, stream_of

SIZE, COUNT = 16, 40
RANDOM = Randomness(3)
RATES: dict[str, Number] = {
    **{"means": 5e-3, "log_scales": 5e-3, "quats": 1e-3},
    **{"logit_opacities": 5e-2, "sh": 1e-2},
}
GROWTH = {"gradient_threshold": 1e-6, "every": 3, "cap": 60, "floor": 20, "reset_every": 4}


class Flat(Scene):
    """One colour for every pixel of every view."""

    def __init__(self, colour: Tensor) -> None:
        self.replace({"colour": colour})

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        picture = self.colour.expand(len(views), views.height, views.width, 3)
        depth = torch.ones_like(picture[..., :1]) if geometry else None
        return Render(picture, torch.ones_like(picture[..., :1]), depth)

    def parameters(self) -> dict[str, Tensor]:
        return {"colour": self.colour}

    def replace(self, parameters: dict[str, Tensor]) -> None:
        self.colour = parameters["colour"].detach().clone().requires_grad_()


def ring(count: int) -> Views:
    return Views.ring(count, size=SIZE)


def grey(count: int) -> Tensor:
    return torch.linspace(0.2, 0.8, count)[:, None].expand(count, 3)


def several(count: int, seed: int = 3) -> Particles:
    return Several(Sphere(count=COUNT, opacity=0.5), count).make("", Randomness(seed))


def pull(colour: Tensor, step: int) -> Tensor:
    """A gradient on pictures that depends on them, on the view and on the step."""
    rows = torch.linspace(-1, 1, colour[0].numel()).reshape(colour.shape[1:]).roll(7 * step)
    return colour.detach() - rows


def test_each_particle_has_its_own_start_and_the_first_that_of_a_single_scene():
    start, scene = Sphere(count=COUNT), Several(Sphere(count=COUNT), 3).make("", RANDOM)
    alone = start.make("", RANDOM).tensors()
    first, second, third = (p.parameters()["means"] for p in scene.scenes)
    assert torch.equal(first, alone["means"])
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    again = Several(start, 5).make("", RANDOM)
    assert torch.equal(again.scenes[2].parameters()["means"], third)
    assert scene.count == 3 * COUNT


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_views_show_the_particles_by_turns(count):
    scene, views, background = several(count), ring(4), grey(4)
    shown = scene.shown(4, RANDOM)
    render = shown.render(views, background, geometry=True)
    turns = [[n for n, rows in shown.turns.items() if i in range(4)[rows]] for i in range(4)]
    assert all(len(own) == 1 for own in turns)
    assert [own[0] for own in turns] == [(turns[0][0] + i) % count for i in range(4)]
    for i, (own,) in enumerate(turns):
        alone = scene.scenes[own].render(views[i : i + 1], background[i : i + 1], geometry=True)
        for name in ("colour", "alpha", "depth", "depth_variance", "normals"):
            together, single = getattr(render, name), getattr(alone, name)
            assert (together is None) == (single is None)
            if single is not None:
                torch.testing.assert_close(together[i], single[0])
    seen = sorted(shown.turns)
    assert len(seen) == min(count, 4)
    scales = torch.cat([scene.scenes[n].scales for n in shown.turns])
    assert render.scales is not None
    assert torch.equal(render.scales, scales.detach())


def test_the_first_turn_is_drawn_keyed_and_even():
    scene = several(3)
    drawn = [tuple(scene.shown(4, RANDOM.at(step)).turns) for step in range(300)]
    assert drawn == [tuple(scene.shown(4, RANDOM.at(step)).turns) for step in range(300)]
    firsts = Counter(turns[0] for turns in drawn)
    assert all(70 < firsts[number] < 130 for number in range(3))


@pytest.mark.parametrize("step", range(6))
def test_a_batch_split_in_two_shows_the_same(step):
    scene, views, background, random = several(3), ring(5), grey(5), RANDOM.at(step)
    whole = scene.shown(5, random).render(views, background).colour
    parts = []
    for rows in (slice(0, 2), slice(2, 5)):
        shown = scene.shown(len(views[rows]), random.from_view(rows.start))
        parts.append(shown.render(views[rows], background[rows]).colour)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_outside_of_a_step_every_view_shows_the_first_particle():
    scene = several(3)
    render = scene.render(ring(3), grey(3))
    torch.testing.assert_close(render.colour, scene.scenes[0].render(ring(3), grey(3)).colour)


def test_parameters_carry_numbers_and_are_replaced_by_them():
    scene = several(2)
    names = [f"{n}.{name}" for n in (0, 1) for name in RATES]
    assert sorted(scene.parameters()) == sorted(names)
    assert scene.parameters()["1.sh"] is scene.scenes[1].parameters()["sh"]
    assert scene.rates({"sh": 0.5}) == {"0.sh": 0.5, "1.sh": 0.5}
    back = unpack({"scene.safetensors": pack(scene.parameters())}, "scene")
    other = several(2, seed=9)
    assert not torch.equal(other.parameters()["1.means"], scene.parameters()["1.means"])
    other.replace(back)
    assert all(torch.equal(v, other.parameters()[name]) for name, v in scene.parameters().items())
    with pytest.raises(InputError, match="not the parameters of 3 particles"):
        several(3).replace(back)
    # Eleven particles: a number is a name's whole beginning.
    many = Particles([Flat(torch.full((3,), i / 11)) for i in range(11)])
    many.replace({f"{i}.colour": torch.full((3,), float(i)) for i in range(11)})
    firsts = [value.tolist()[0] for value in many.parameters().values()]
    assert firsts == list(range(11))


def step(
    scene: Scene, optimiser: Adam, growth: Growth, state: dict, step: int, count: int
) -> dict[str, Tensor]:
    """One step by hand, as the corridor does it, with a given pull in the objective's place."""
    random, views = RANDOM.at(step), ring(count)
    rates: dict[str, Number] = RATES
    if isinstance(scene, Particles):
        scene = scene.shown(count, random)
        rates = scene.rates(RATES)
    render = scene.render(views, grey(count))
    losses = [
        loss.weight * share * loss.value(own, particle)
        for loss in (Sparsity(0.1), ScalePenalty(0.5), OpacityEntropy(0.1))
        for particle, own, share in apart(scene, render)
    ]
    gradients = [pull(render.colour, step), *[None] * len(losses)]
    torch.autograd.backward([render.colour, *losses], gradients)
    assert all(p.grad is not None for p in scene.parameters().values())
    optimiser.step(scene, rates)
    return growth.after_step(scene, optimiser, render, state, random)


def test_a_single_particle_is_the_scene_to_the_last_bit():
    plain, scene = Sphere(count=COUNT, opacity=0.5).make("", RANDOM), several(1)
    one, two = Adam(), Adam()
    growth, of_each = Growth(**GROWTH), GrowthOfEach(**GROWTH)
    first, second = growth.init(plain), of_each.init(scene)
    for number in range(10):
        first = step(plain, one, growth, first, number, 2)
        second = step(scene, two, of_each, second, number, 2)
        assert plain.count == scene.count
        for name, value in plain.parameters().items():
            assert torch.equal(value, scene.parameters()[f"0.{name}"]), (number, name)
    assert plain.count != COUNT
    for name, value in one.tensors().items():
        assert torch.equal(value, two.tensors()[f"0.{name}"])
    for name, value in first.items():
        assert torch.equal(value, second[f"0.{name}"])


def alone(number: int, steps: int, count: int) -> tuple[Gaussians, Adam]:
    """One of two particles optimised by itself on the views that showed it."""
    scene = several(2)
    own, optimiser, growth = scene.scenes[number], Adam(), Growth(**GROWTH)
    assert isinstance(own, Gaussians)
    state, done = growth.init(own), 0
    for place in range(steps):
        random = RANDOM.at(place)
        turns = scene.shown(count, random).turns
        assert turns is not None
        if number not in turns:
            continue
        rows = turns[number]
        render = own.render(ring(count)[rows], grey(count)[rows])
        share = len(render.colour) / count
        losses = [
            share * loss(render, own)
            for loss in (Sparsity(0.1), ScalePenalty(0.5), OpacityEntropy(0.1))
        ]
        gradients = [pull(render.colour, place), *[None] * len(losses)]
        torch.autograd.backward([render.colour, *losses], gradients)
        optimiser.step(own, RATES)
        stream = stream_of(random, number).at(done)
        state, done = growth.after_step(own, optimiser, render, state, stream), done + 1
    return own, optimiser


@pytest.mark.parametrize("count", [1, 3, 4])
def test_particles_move_and_grow_as_if_each_were_alone(count):
    scene, optimiser, growth = several(2), Adam(), GrowthOfEach(**GROWTH)
    state = growth.init(scene)
    for number in range(9):
        state = step(scene, optimiser, growth, state, number, count)
    counts = [particle.count for particle in scene.scenes]
    assert counts != [COUNT, COUNT]
    moments = optimiser.tensors()
    for number in range(2):
        expected, own = alone(number, 9, count)
        for name, value in expected.parameters().items():
            assert torch.equal(value, scene.parameters()[f"{number}.{name}"]), name
        for name, value in own.tensors().items():
            assert torch.equal(value, moments[f"{number}.{name}"]), name


def test_what_a_step_does_not_show_it_leaves_alone():
    scene, optimiser, growth = several(3), Adam(), GrowthOfEach(**GROWTH)
    state = growth.init(scene)
    for number in range(4):
        state = step(scene, optimiser, growth, state, number, 1)
    before = {name: value.detach().clone() for name, value in scene.parameters().items()}
    kept, moments = dict(state), optimiser.tensors()
    (shown,) = scene.shown(1, RANDOM.at(4)).turns or {}
    state = step(scene, optimiser, growth, state, 4, 1)
    assert state.keys() == kept.keys()
    after = optimiser.tensors()
    for name, value in scene.parameters().items():
        assert torch.equal(value, before[name]) == (not name.startswith(f"{shown}.")), name
    for name, value in moments.items():
        if not name.startswith(f"{shown}."):
            assert torch.equal(value, after[name])
    for name, value in kept.items():
        if not name.startswith(f"{shown}."):
            assert torch.equal(value, state[name])
    assert sum(int(state[f"{number}.steps"]) for number in range(3)) == 5


def test_a_run_is_resumed_from_its_tensors():
    growth = GrowthOfEach(**GROWTH)

    def walk(scene: Particles, optimiser: Adam, state: dict, steps: range) -> dict:
        for number in steps:
            state = step(scene, optimiser, growth, state, number, 2)
        return state

    scene, optimiser = several(2), Adam()
    state = walk(scene, optimiser, growth.init(scene), range(5))
    files = {"scene": scene.parameters(), "optimiser": optimiser.tensors(), "growth": state}
    saved = {f"{name}.safetensors": pack(tensors) for name, tensors in files.items()}
    back, moments = several(2), Adam()
    back.replace(unpack(saved, "scene"))
    moments.load_tensors(unpack(saved, "optimiser"), back)
    walk(scene, optimiser, state, range(5, 9))
    walk(back, moments, unpack(saved, "growth"), range(5, 9))
    for name, value in scene.parameters().items():
        assert torch.equal(value, back.parameters()[name])


def test_regularisers_of_pictures_keep_their_strength():
    scene = several(3).shown(4, RANDOM)
    render = scene.render(ring(4), grey(4))
    for loss in (Sparsity(), AlphaEntropy()):
        parts = [share * loss(own, particle) for particle, own, share in apart(scene, render)]
        torch.testing.assert_close(torch.stack(parts).sum(), loss(render, scene))
    assert sum(share for _, _, share in apart(scene, render)) == pytest.approx(1.0)
    plain = scene.scenes[0]
    alone_render = plain.render(ring(2), grey(2))
    assert apart(plain, alone_render) == [(plain, alone_render, 1.0)]


def test_any_scene_may_be_a_particle():
    scene = Particles([Flat(torch.tensor([r, 0.5, 0.5])) for r in (0.1, 0.9)])
    render = scene.shown(2, RANDOM).render(ring(2), grey(2))
    assert sorted(render.colour[:, 0, 0, 0].tolist()) == pytest.approx([0.1, 0.9])
    assert render.depth is None
    assert render.screen_offsets is None
    assert render.scales is None
    assert scene.count == 0


def descended(objective: Objective, law: GaussianMixture) -> Tensor:
    """The colours ``[8, 3]`` of eight flat particles after 400 steps of falling length."""
    start = 0.5 + 0.02 * torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    scene, state = Particles([Flat(c) for c in start.double()]), objective.init(law)
    text, t = law.condition(["grey"] * 8), torch.full((8,), 300)
    for number in range(400):
        random = RANDOM.at(number)
        shown = scene.shown(8, random)
        latent = law.encode(shown.render(Views.ring(8, size=1), grey(8)).colour)
        words = Words(text, text, text)
        answer = objective.gradient(law, latent.detach(), t, words, state, random)
        state = answer.state
        latent.backward(answer.gradient)
        rate = 0.5 if number < 300 else 0.5 * 0.95 ** (number - 300)
        for parameter in shown.parameters().values():
            assert parameter.grad is not None
            with torch.no_grad():
                parameter -= rate * parameter.grad
            parameter.grad = None
    return torch.stack([value.detach() for value in scene.parameters().values()])


def test_particles_spread_over_a_law_where_sds_gathers_them():
    """Flat pictures and a prior of greys: VSD ends with the law's width, and SDS without."""
    goal, spread = 0.4, 0.15
    law = GaussianMixture.from_pictures({"grey": torch.full((1, 1, 3), goal)}, variance=spread**2)
    vsd = descended(VSD(GaussianFit(memory=0.0), 1.0, "uniform"), law)
    assert float((vsd.mean(0) - goal).abs().max()) < 1e-6
    assert float((vsd.std(0, correction=0) - spread).abs().max()) < 1e-6
    sds = descended(SDS(1.0, "uniform"), law)
    assert float(sds.std(0, correction=0).max()) < 0.3 * spread
    assert float(sds.mean()) == pytest.approx(goal, abs=0.05)


def test_no_particles_and_starts_of_none_are_refused():
    with pytest.raises(InputError, match="no scene"):
        Particles([])
    with pytest.raises(InputError, match="0 particles"):
        Several(particles=0)
    scene = several(2)
    with pytest.raises(InputError, match="learning rates"):
        Adam().step(scene, scene.rates({"colour": 0.1}))
