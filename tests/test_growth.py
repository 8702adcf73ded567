"""Growth: what is cloned, split and pruned, and bounds that hold whatever the gradients do."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from maquette.errors import InputError
from maquette.inits.sphere import Sphere
from maquette.optimiser import Adam
from maquette.ramps import resolve
from maquette.randomness import Randomness
from maquette.records import Render, Views
from maquette.scenes.base import Scene
from maquette.scenes.gaussians import MAX_SCALE, MIN_SCALE, Gaussians
from maquette.scenes.growth import SPLIT_FACTOR, Growth, bytes_per_gaussian, during

SIZE = 32
RANDOM = Randomness(5)
GROWTH = Growth(gradient_threshold=1.0, split_scale=0.05, every=1, floor=1, cap=1000)


def ball(count: int, scale: float = 0.02, opacity: float = 0.5) -> Gaussians:
    scene = Sphere(count=count, opacity=opacity).make("", Randomness(0))
    scene.replace({**scene.tensors(), "log_scales": torch.full((count, 3), math.log(scale))})
    return scene


def seen(gradient: Tensor, radii: Tensor | None = None, size: int = SIZE) -> Render:
    """A render whose backward pass left ``gradient`` ``[B, N, 2]`` on the screen."""
    offsets = torch.zeros_like(gradient, requires_grad=True)
    offsets.grad = gradient
    if radii is None:
        radii = torch.ones(gradient.shape, dtype=torch.int32)
    picture = torch.zeros(len(gradient), size, size, 3)
    return Render(picture, picture[..., :1], screen_offsets=offsets, radii=radii)


def pull(norms_ndc: list[float]) -> Tensor:
    """One view's gradient in pixels with these norms in normalised device coordinates."""
    gradient = torch.zeros(1, len(norms_ndc), 2)
    gradient[0, :, 0] = torch.tensor(norms_ndc) / (SIZE / 2)
    return gradient


def trained(scene: Gaussians, steps: int = 2) -> Adam:
    """An optimiser with moments that are all different."""
    optimiser = Adam()
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in scene.parameters().values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step(scene, dict.fromkeys(scene.parameters(), 0.0))
    return optimiser


def test_hard_pulled_small_ones_are_cloned_and_large_ones_split() -> None:
    scene = ball(4)
    with torch.no_grad():
        scene.parameters()["log_scales"][2:] = math.log(0.2)
    before, optimiser = scene.tensors(), trained(scene)
    moments = optimiser.tensors()
    render = seen(pull([2.0, 0.5, 2.0, 0.5]))
    state = GROWTH.after_step(scene, optimiser, render, GROWTH.init(scene), RANDOM)
    after = scene.tensors()
    # Survivors 0, 1, 3 in their order, the clone of 0, two children of 2.
    assert scene.count == 6
    for name, value in after.items():
        assert torch.equal(value[:3], before[name][[0, 1, 3]])
        assert torch.equal(value[3], before[name][0])
    for child in (4, 5):
        assert float((after["means"][child] - before["means"][2]).norm()) < 5 * 0.2
        expected = before["log_scales"][2] - math.log(SPLIT_FACTOR)
        torch.testing.assert_close(after["log_scales"][child], expected)
        for name in ("quats", "logit_opacities", "sh"):
            assert torch.equal(after[name][child], before[name][2])
    assert not torch.equal(after["means"][4], after["means"][5])
    for key, value in optimiser.tensors().items():
        if not key.endswith(".steps"):
            assert torch.equal(value[:3], moments[key][[0, 1, 3]])
            assert not bool(value[3:].any())
        else:
            assert torch.equal(value, moments[key])
    assert len(state["seen"]) == 6
    assert not any(bool(value.any()) for value in state.values())


def test_children_are_drawn_from_their_parent_along_its_axes() -> None:
    scene = Gaussians(
        torch.zeros(400, 3),
        torch.tensor([0.5, 0.05, 0.005]).log().expand(400, 3),
        # A quarter turn about z takes the long axis from x to y.
        torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(400, 4),
        torch.zeros(400),
        torch.zeros(400, 1, 3),
    )
    GROWTH.after_step(scene, Adam(), seen(pull([2.0] * 400)), GROWTH.init(scene), RANDOM)
    spread = scene.means.detach().std(0)
    assert scene.count == 800
    torch.testing.assert_close(spread, torch.tensor([0.05, 0.5, 0.005]), rtol=0.1, atol=0)


def test_statistics_are_ndc_norms_over_all_views_that_see() -> None:
    scene = ball(2)
    gradient = torch.tensor([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 2.0], [9.0, 9.0]]])
    radii = torch.ones(2, 2, 2, dtype=torch.int32)
    radii[1, 1] = 0
    radii[0, 0, 1] = 8
    growth = Growth(every=100)
    state = growth.after_step(scene, Adam(), seen(gradient, radii), growth.init(scene), RANDOM)
    half = SIZE / 2
    torch.testing.assert_close(state["gradient"], torch.tensor([7.0 * half, half]).double())
    assert state["seen"].tolist() == [2, 1]
    torch.testing.assert_close(state["extent"], torch.tensor([8 / SIZE, 1 / SIZE]))
    assert int(state["views"]) == 2
    again = growth.after_step(scene, Adam(), seen(gradient, radii), state, RANDOM.at(1))
    torch.testing.assert_close(again["gradient"], 2 * state["gradient"])
    assert state["seen"].tolist() == [2, 1]


def test_the_unit_of_the_threshold_does_not_depend_on_the_resolution() -> None:
    """A loss summed over pixels of the same shapes: twice the pixels pull half as hard each."""
    small, large = ball(1), ball(1)
    growth = Growth(every=100)
    coarse = growth.after_step(
        small, Adam(), seen(torch.full((1, 1, 2), 1.0), size=32), growth.init(small), RANDOM
    )
    fine = growth.after_step(
        large, Adam(), seen(torch.full((1, 1, 2), 0.5), size=64), growth.init(large), RANDOM
    )
    assert torch.equal(coarse["gradient"], fine["gradient"])


def test_a_view_that_sees_nothing_does_not_dilute_the_mean() -> None:
    scene = ball(1)
    gradient = torch.cat([pull([1.5]), pull([0.0])])
    radii = torch.ones(2, 1, 2, dtype=torch.int32)
    radii[1] = 0
    GROWTH.after_step(scene, Adam(), seen(gradient, radii), GROWTH.init(scene), RANDOM)
    assert scene.count == 2


@pytest.mark.parametrize(
    ("growth", "doomed"),
    [
        ({"prune_opacity": 0.1}, "faint"),
        ({"prune_scale": 1.0}, "large"),
        ({"prune_extent": 0.5}, "wide"),
        ({"prune_unseen_views": 1}, "unseen"),
    ],
)
def test_pruning(growth: dict, doomed: str) -> None:
    names = ["plain", "faint", "large", "wide", "unseen"]
    scene = ball(5)
    with torch.no_grad():
        scene.parameters()["logit_opacities"][1] = -4.0
        scene.parameters()["log_scales"][2, 1] = math.log(2.0)
    radii = torch.ones(1, 5, 2, dtype=torch.int32)
    radii[0, 3, 0], radii[0, 4] = SIZE, 0
    before = scene.tensors()["means"]
    options = {"prune_opacity": 0.0, "prune_unseen_views": 0, "every": 1, "floor": 1, **growth}
    rule = Growth(gradient_threshold=math.inf, **options)
    optimiser = trained(scene)
    moments = optimiser.tensors()
    rule.after_step(scene, optimiser, seen(torch.zeros(1, 5, 2), radii), rule.init(scene), RANDOM)
    kept = [row for row, name in enumerate(names) if name != doomed]
    assert torch.equal(scene.means, before[kept])
    assert torch.equal(optimiser.tensors()["means.second"], moments["means.second"][kept])


def test_the_floor_keeps_the_most_opaque() -> None:
    scene = ball(6)
    with torch.no_grad():
        scene.parameters()["logit_opacities"].copy_(torch.tensor([-9.0, -7, -8, -6, -5, -9]))
    before = scene.tensors()["means"]
    rule = Growth(every=1, floor=3)
    rule.after_step(scene, Adam(), seen(torch.zeros(1, 6, 2)), rule.init(scene), RANDOM)
    assert torch.equal(scene.means, before[[1, 3, 4]])


def test_the_cap_lets_the_hardest_pulled_multiply() -> None:
    scene = ball(4)
    before = scene.tensors()["means"]
    rule = Growth(gradient_threshold=1.0, split_scale=1.0, every=1, floor=1, cap=6)
    rule.after_step(scene, Adam(), seen(pull([2.0, 5.0, 3.0, 4.0])), rule.init(scene), RANDOM)
    assert torch.equal(scene.means, before[[0, 1, 2, 3, 1, 3]])


def test_a_scene_above_the_cap_is_brought_down_to_it() -> None:
    scene = ball(9)
    rule = Growth(every=1, floor=1, cap=4)
    rule.after_step(scene, Adam(), seen(torch.zeros(1, 9, 2)), rule.init(scene), RANDOM)
    assert scene.count == 4


def test_memory_lowers_the_cap_and_the_estimate_is_what_is_held() -> None:
    scene = ball(10)
    optimiser = trained(scene)
    state = Growth().init(scene)
    held = sum(value.nbytes for value in scene.tensors().values()) * 2  # With the gradients.
    held += sum(v.nbytes for k, v in optimiser.tensors().items() if not k.endswith(".steps"))
    held += sum(value.nbytes for name, value in state.items() if name != "views")
    assert held == 10 * bytes_per_gaussian(1)
    rule = Growth(gradient_threshold=1.0, every=1, floor=1, memory_bytes=12 * held // 10)
    rule.after_step(scene, optimiser, seen(pull([9.0] * 10)), rule.init(scene), RANDOM)
    assert scene.count == 12


def test_schedule_by_steps_counts_from_one() -> None:
    rule = Growth(gradient_threshold=0.0, every=3, begin=4, end=9, floor=1)
    scene, optimiser = ball(1), Adam()
    state, counts = rule.init(scene), []
    for step in range(12):
        render = seen(torch.ones(1, scene.count, 2))
        state = rule.after_step(scene, optimiser, render, state, RANDOM.at(step))
        counts.append(scene.count)
    assert counts == [1, 1, 1, 1, 1, 2, 2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize(("begin", "end"), [(0.0, 0.5), (0.25, 0.75)])
def test_schedule_by_progress_is_a_ramp(begin: float, end: float) -> None:
    window = during(begin, end)
    active = [window(progress / 100) for progress in range(100)]
    assert active == [float(begin <= progress / 100 < end) for progress in range(100)]
    rule = Growth(gradient_threshold=0.0, every=1, active=window, floor=1)
    scene = ball(1)
    outside, inside = resolve(rule, end), resolve(rule, begin)
    render = seen(torch.ones(1, 1, 2))
    state = outside.after_step(scene, Adam(), render, rule.init(scene), RANDOM)
    assert scene.count == 1
    inside.after_step(scene, Adam(), render, state, RANDOM)
    assert scene.count == 2


def test_opacity_reset_lowers_and_never_raises() -> None:
    rule = Growth(every=1000, reset_every=2, reset_opacity=0.2, floor=1)
    scene = ball(2)
    with torch.no_grad():
        scene.parameters()["logit_opacities"].copy_(torch.tensor([2.0, -4.0]))
    optimiser, before = trained(scene), scene.tensors()["logit_opacities"]
    state = rule.init(scene)
    render = seen(torch.zeros(1, 2, 2))
    state = rule.after_step(scene, optimiser, render, state, RANDOM.at(0))
    assert torch.equal(scene.tensors()["logit_opacities"], before)
    rule.after_step(scene, optimiser, render, state, RANDOM.at(1))
    after = scene.tensors()["logit_opacities"]
    assert after[0].sigmoid().item() == pytest.approx(0.2)
    assert after[1] == before[1]
    assert not bool(optimiser.tensors()["logit_opacities.second"].any())
    assert bool(optimiser.tensors()["means.second"].all())


def test_state_survives_a_file_and_growth_goes_on_bitwise() -> None:
    rule = Growth(gradient_threshold=20.0, split_scale=0.02, every=4, floor=1, cap=60)

    def run(cut: int | None) -> tuple[Gaussians, dict[str, Tensor]]:
        scene, optimiser = ball(20), Adam()
        state = rule.init(scene)
        for step in range(12):
            if step == cut:
                state = load(save(state))
                scene = Gaussians.from_tensors(load(save(scene.tensors())))
            generator = torch.Generator().manual_seed(step)
            gradient = torch.randn(2, scene.count, 2, generator=generator)
            state = rule.after_step(scene, optimiser, seen(gradient), state, RANDOM.at(step))
        return scene, state

    whole, state = run(None)
    again, resumed = run(6)
    assert whole.count > 20
    for name, value in whole.parameters().items():
        assert torch.equal(value, again.parameters()[name])
    assert all(torch.equal(value, resumed[name]) for name, value in state.items())


def test_another_seed_or_step_splits_elsewhere_and_the_same_one_alike() -> None:
    def children(random: Randomness) -> Tensor:
        scene = ball(3, scale=0.2)
        GROWTH.after_step(scene, Adam(), seen(pull([2.0] * 3)), GROWTH.init(scene), random)
        return scene.tensors()["means"]

    assert torch.equal(children(RANDOM), children(RANDOM))
    assert not torch.equal(children(RANDOM), children(RANDOM.at(1)))
    assert not torch.equal(children(RANDOM), children(Randomness(6)))


FIELDS = ["normal", "huge", "infinite", "nan", "constant", "one-hot", "alternating", "denormal"]


def field(kind: str, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    if kind == "huge":
        return noise * 1e38
    if kind == "denormal":
        return noise * 1e-42
    if kind in ("infinite", "nan"):
        worst = math.inf if kind == "infinite" else math.nan
        return torch.where(noise > 1.0, worst, noise)
    if kind == "constant":
        return torch.full(shape, 3.0)
    if kind == "one-hot":
        return torch.zeros(shape).index_fill(1, torch.tensor([0]), 1e30)
    if kind == "alternating":
        return torch.tensor([1e20, -1e20]).expand(shape) * noise.sign()
    return noise


@settings(max_examples=500, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(FIELDS), min_size=1, max_size=8),
    start=st.integers(1, 40),
    floor=st.integers(1, 30),
    room=st.integers(0, 60),
    threshold=st.sampled_from([0.0, 1e-30, 1.0, 1e30, math.inf]),
    prune=st.sampled_from([0.0, 0.005, 0.5, 1.1]),
    prune_scale=st.sampled_from([1e-3, 0.05, math.inf]),
    log_scale=st.sampled_from([-80.0, -17.0, -3.0, 4.0, 80.0]),
    unseen=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_bounds_hold_for_any_gradient(
    kinds: list[str],
    start: int,
    floor: int,
    room: int,
    threshold: float,
    prune: float,
    prune_scale: float,
    log_scale: float,
    unseen: int,
    seed: int,
) -> None:
    cap = floor + room
    rule = Growth(
        gradient_threshold=threshold,
        every=1,
        prune_opacity=prune,
        prune_scale=prune_scale,
        prune_extent=0.9,
        prune_unseen_views=unseen,
        floor=floor,
        cap=cap,
    )
    scene = ball(start)
    scene.replace({**scene.tensors(), "log_scales": torch.full((start, 3), log_scale)})
    optimiser, state = trained(scene), rule.init(scene)
    generator = torch.Generator().manual_seed(seed)
    for step, kind in enumerate(kinds):
        before = scene.count
        shape = (2, before, 2)
        radii = torch.randint(-1, SIZE, shape, generator=generator).clamp(min=0).int()
        # Survivors drift between the steps, as an optimiser makes them.
        with torch.no_grad():
            for name in ("log_scales", "logit_opacities"):
                parameter = scene.parameters()[name]
                parameter.add_(9.0 * torch.randn(parameter.shape, generator=generator))
        render = seen(field(kind, shape, generator), radii)
        state = rule.after_step(scene, optimiser, render, state, RANDOM.at(step))
        assert min(before, floor) <= scene.count <= cap
        for parameter in scene.parameters().values():
            assert len(parameter) == scene.count
            assert bool(torch.isfinite(parameter).all())
        assert scene.scales.min().item() >= MIN_SCALE * 0.999
        assert scene.scales.max().item() <= MAX_SCALE * 1.001
        for key, value in optimiser.tensors().items():
            assert key.endswith(".steps") or len(value) == scene.count
        assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_growth_follows_a_real_render() -> None:
    scene = Sphere(count=50, opacity=0.5).make("", Randomness(0))
    rule = Growth(gradient_threshold=1e-3, split_scale=0.2, every=1, floor=1, cap=80)
    render = scene.render(Views.ring(2, size=SIZE), torch.zeros(2, 3))
    (render.colour - 1.0).square().mean().backward()
    rule.after_step(scene, Adam(), render, rule.init(scene), RANDOM)
    assert 50 < scene.count <= 80
    assert bool(torch.isfinite(scene.render(Views.ring(1, size=8), torch.zeros(1, 3)).colour).all())


class Nothing(Scene):
    """A scene that is not made of Gaussians."""

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        raise NotImplementedError

    def parameters(self) -> dict[str, Tensor]:
        return {}

    def replace(self, parameters: dict[str, Tensor]) -> None:
        raise NotImplementedError


def test_what_growth_cannot_work_on_is_refused() -> None:
    scene = ball(3)
    state = GROWTH.init(scene)
    with pytest.raises(InputError, match="Nothing"):
        GROWTH.init(Nothing())
    with torch.no_grad():
        blind = scene.render(Views.ring(1, size=8), torch.zeros(1, 3))
    with pytest.raises(InputError, match="does not carry"):
        GROWTH.after_step(scene, Adam(), blind, state, RANDOM)
    with pytest.raises(InputError, match="statistics of 3"):
        GROWTH.after_step(scene, Adam(), seen(torch.zeros(1, 4, 2)), state, RANDOM)


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"reset_every": -1},
        {"floor": 0},
        {"floor": 10, "cap": 9},
        {"reset_every": 5, "reset_opacity": 0.001},
        {"reset_every": 5, "reset_opacity": 1.0},
    ],
)
def test_bounds_that_contradict_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Growth(**options)
