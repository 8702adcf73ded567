"""CoGrad3D's fusion: equation 10 against plain numbers, and what it may never do."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from regions import distance, views_in
from toys import RANDOM, close, numbers

from maquette.errors import InputError
from maquette.gradients.fusion import OrthogonalFusion
from maquette.history import Regions
from maquette.inits.sphere import Sphere
from maquette.optimiser import Adam
from maquette.ramps import resolve
from maquette.records import Outcome, Render
from maquette.scenes.growth import Growth

FUSION = OrthogonalFusion(strength=1.0, recorded=1.0)
SHAPES = {"means": (5, 3), "sh": (5, 1, 3), "logit_opacities": (5,)}
CENTRE, BESIDE, ABOVE, FAR = 90, 92, 150, 94


def random_gradients(count, seed=0, scale=1.0):
    return {
        name: scale * numbers(count, *shape, seed=seed + place)
        for place, (name, shape) in enumerate(SHAPES.items())
    }


def outcome(step, regions, gradients, t: int | list[int] = 500):
    times = torch.full((len(regions),), t) if isinstance(t, int) else torch.tensor(t)
    return Outcome(step, views_in(regions), times, torch.ones(len(regions)), gradients)


def flat(gradients, view=0):
    """The gradient of one view as one vector."""
    return torch.cat([value[view].double().flatten() for value in gradients.values()])


def stored(*entries, fusion=FUSION):
    """The state after these ``(step, region, t, gradients)``, one view each."""
    state = fusion.init()
    for step, region, t, gradients in entries:
        state = fusion.learn(state, outcome(step, [region], gradients, t))
    return state


def kept(state):
    """The regions of which a gradient is kept."""
    return sorted({int(name.partition(".")[0]) for name in state if "." in name})


def fused_by_hand(own, entries, step, region, t):
    """Equation 10, neighbour by neighbour, on vectors of numpy; of a region the newest counts."""
    main, total = own, own.copy()
    newest = {entry[1]: entry for entry in sorted(entries, key=lambda entry: entry[0])}
    for other_step, other, other_t, gradient in newest.values():
        apart = distance(region, other)
        if apart >= 2 or step - other_step >= 0.1 * step or abs(t - other_t) >= 50:
            continue
        aux = 2.0**-apart * gradient
        total = total + aux - np.dot(aux, main) / np.dot(main, main) * main
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_fused_gradient_by_hand(seed):
    generator, entries = np.random.default_rng(seed), []
    for step in range(60, 100):
        region = int(generator.choice([CENTRE, BESIDE, ABOVE, FAR, 88, 91, 30, 0]))
        t = int(generator.integers(440, 560))
        entries.append((step, region, t, random_gradients(1, seed=1000 * seed + 10 * step)))
    state, own = stored(*entries), random_gradients(2, seed=5000 + seed)
    fused = FUSION.fuse(state, outcome(100, [CENTRE, BESIDE], own, [500, 480]))
    vectors = [(s, r, t, flat(g).numpy()) for s, r, t, g in entries]
    for view, (region, t) in enumerate([(CENTRE, 500), (BESIDE, 480)]):
        wanted = fused_by_hand(flat(own, view).numpy(), vectors, 100, region, t)
        close("fused", flat(fused, view), torch.from_numpy(wanted), 1e-13)
        assert not np.allclose(wanted, flat(own, view).numpy(), atol=0.1)
    assert {name: value.shape for name, value in fused.items()} == {
        name: value.shape for name, value in own.items()
    }


@pytest.mark.parametrize("factor", [1.0, 3.7, -1.0, -0.2, 1e-9, 1e9])
def test_gradients_along_the_same_line_change_nothing(factor):
    """Identical ones are returned as they are; opposing ones are projected away."""
    own = random_gradients(1)
    other = {name: factor * value for name, value in own.items()}
    state = stored((99, BESIDE, 500, other), (99, CENTRE, 500, other))
    fused = FUSION.fuse(state, outcome(100, [CENTRE], own))
    close("own", flat(fused), flat(own), 1e-15 * max(1.0, 10 * abs(factor)))


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_in_single_precision_they_do_not_change_a_bit(factor):
    own = {name: value.float() for name, value in random_gradients(1).items()}
    other = {name: factor * value for name, value in own.items()}
    fused = FUSION.fuse(stored((99, BESIDE, 500, other)), outcome(100, [CENTRE], own))
    for name, value in own.items():
        assert fused[name].dtype == torch.float32
        assert torch.equal(fused[name], value)


@pytest.mark.parametrize("own_scale", [1e-30, 1e-6, 1.0, 1e12])
@pytest.mark.parametrize("other_scale", [1e-12, 1.0, 1e20])
def test_what_is_added_is_perpendicular_and_never_hurts_the_view(own_scale, other_scale):
    own, other = random_gradients(1, 1, own_scale), random_gradients(1, 50, other_scale)
    fused = flat(FUSION.fuse(stored((99, BESIDE, 500, other)), outcome(100, [CENTRE], own)))
    main, aux = flat(own), 0.5 * flat(other)
    own_length, sizes = float(main.norm()), float(main.norm() + aux.norm())
    # Relative to the lengths of the two, whose own rounding no formula can undo.
    along = float((fused - main) @ main) / own_length
    close("residual", along / sizes, 0.0, 1e-12)
    taken = float(aux @ main) / own_length
    wanted = own_length**2 + float(aux @ aux) - taken**2
    close("length", float(fused @ fused) / wanted, 1.0, 1e-12)


def test_the_order_of_storing_does_not_enter_a_single_bit():
    entries = [
        (95 + n, region, 500, random_gradients(1, 7 * n))
        for n, region in enumerate([BESIDE, ABOVE, CENTRE, 91])
    ]
    own, results = random_gradients(1, 99), []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        fused = FUSION.fuse(stored(*[entries[n] for n in order]), outcome(100, [CENTRE], own))
        results.append(flat(fused))
    assert all(torch.equal(result, results[0]) for result in results)


def test_gradients_of_length_zero():
    nothing = {name: torch.zeros_like(value) for name, value in random_gradients(1).items()}
    some = random_gradients(1, 3)
    state = stored((99, BESIDE, 500, some), (99, CENTRE, 500, nothing))
    fused = FUSION.fuse(state, outcome(100, [CENTRE], nothing))
    assert torch.equal(flat(fused), 0.5 * flat(some))
    only_nothing = stored((99, BESIDE, 500, nothing))
    own = random_gradients(1, 4)
    assert torch.equal(flat(FUSION.fuse(only_nothing, outcome(100, [CENTRE], own))), flat(own))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"region": CENTRE}, True),  # The view's own region.
        ({"region": BESIDE}, True),
        ({"region": ABOVE}, True),
        ({"region": 91}, True),  # The other distance.
        ({"region": FAR}, False),  # Two steps to the side.
        ({"region": ABOVE + 2}, False),  # One up and one to the side.
        ({"t": 549}, True),
        ({"t": 550}, False),
        ({"t": 451}, True),
        ({"t": 450}, False),
        ({"step": 91}, True),
        ({"step": 90}, False),  # Ten steps of a hundred are not fewer than 10 %.
    ],
)
def test_who_is_a_neighbour(change, counts):
    entry = {"step": 99, "region": BESIDE, "t": 500, **change}
    state = replace(FUSION, step_gap=1.0).learn(
        FUSION.init(), outcome(entry["step"], [entry["region"]], random_gradients(1), entry["t"])
    )
    own = random_gradients(1, 60)
    fused = FUSION.fuse(state, outcome(100, [CENTRE], own))
    assert torch.equal(flat(fused), flat(own)) != counts


def test_the_first_and_the_last_azimuth_are_neighbours():
    own = random_gradients(1, 60)
    fused = FUSION.fuse(stored((99, 119, 500, random_gradients(1))), outcome(100, [61], own))
    assert not torch.equal(flat(fused), flat(own))


def test_views_of_a_step_do_not_see_each_other_and_rows_never_mix():
    state, own = stored((99, BESIDE, 500, random_gradients(1))), random_gradients(3, 20)
    regions = [CENTRE, BESIDE, ABOVE]
    whole = FUSION.fuse(state, outcome(100, regions, own))
    assert torch.equal(flat(whole, 2), flat(own, 2))
    for view, region in enumerate(regions):
        alone = {name: value[view : view + 1] for name, value in own.items()}
        one = FUSION.fuse(state, outcome(100, [region], alone))
        close("row", flat(one), flat(whole, view), 1e-14)


def test_the_unfused_gradient_is_what_is_stored():
    state, own = stored((99, BESIDE, 500, random_gradients(1))), random_gradients(1, 20)
    heard = outcome(100, [CENTRE], own)
    fused, after = FUSION.fuse(state, heard), FUSION.learn(state, heard)
    for name, value in own.items():
        assert torch.equal(after[f"{CENTRE:03d}.{name}"], value[0])
        assert not torch.equal(fused[name], value)
    assert (int(after["step"][CENTRE]), int(after["t"][CENTRE])) == (100, 500)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_scales_what_is_added(strength):
    state, own = stored((99, BESIDE, 500, random_gradients(1))), random_gradients(1, 20)
    heard = outcome(100, [CENTRE], own)
    full = flat(FUSION.fuse(state, heard)) - flat(own)
    part = flat(replace(FUSION, strength=strength).fuse(state, heard)) - flat(own)
    close("added", part, strength * full, 1e-14)


def test_gradients_are_asked_for_in_the_papers_window_and_as_far_before_as_it_looks_back():
    def at(progress):
        return resolve(OrthogonalFusion(), progress)

    asked = [step / 1000 for step in range(1001) if at(step / 1000).asks]
    fused = [step / 1000 for step in range(1001) if at(step / 1000).strength == 1]
    assert (asked[0], asked[-1]) == (0.18, 0.749)
    assert (fused[0], fused[-1]) == (0.2, 0.749)
    # An older one is out of the window when fusion begins: 0.2 - 0.18 is 10 % of 0.2.
    assert math.isclose(0.18, 0.2 * (1 - 0.1))


@pytest.mark.parametrize("views", [1, 3])
def test_memory_stays_below_its_bound_and_what_is_dropped_could_not_count(views):
    generator, state, everything = np.random.default_rng(views), FUSION.init(), []
    fullest = 0
    for step in range(20, 500):
        regions = [int(region) for region in generator.integers(0, 180, views)]
        own = random_gradients(views, seed=step)
        if step % 29 == 0:
            fused = FUSION.fuse(state, outcome(step, regions, own))
            for view, region in enumerate(regions):
                wanted = fused_by_hand(flat(own, view).numpy(), everything, step, region, 500)
                close("fused", flat(fused, view), torch.from_numpy(wanted), 1e-12)
        state = FUSION.learn(state, outcome(step, regions, own))
        everything += [(step, r, 500, flat(own, v).numpy()) for v, r in enumerate(regions)]
        bound = min(180, views * math.ceil(0.1 * (step + 1)))
        numbers_kept = sum(value.numel() for name, value in state.items() if "." in name)
        assert len(kept(state)) <= bound
        assert numbers_kept <= bound * 35
        newest = {region: when for when, region, _, _ in everything}
        young = sorted(r for r, s in newest.items() if step + 1 - s < 0.1 * (step + 1))
        assert kept(state) == young == torch.nonzero(state["step"])[:, 0].tolist()
        fullest = max(fullest, len(kept(state)))
    assert fullest > 40


def test_few_regions_keep_few_gradients_however_long_the_window():
    two = Regions(elevations=1, azimuths=2, distances=1)
    fusion = replace(FUSION, regions=two, step_gap=1.0)
    state = fusion.init()
    for step in range(1, 60):
        state = fusion.learn(state, outcome(step, [step % 180], random_gradients(1, step)))
    assert len(kept(state)) == 2


def test_memory_is_given_back_when_the_fusion_is_over():
    state = stored((99, BESIDE, 500, random_gradients(1)))
    assert kept(state) == [BESIDE]
    after = FUSION.learn(state, outcome(100, [CENTRE], {}))
    assert kept(after) == []
    assert not bool(after["step"].any())


def test_gradients_follow_their_gaussians_through_growth():
    """Survivors keep their rows, clones and children inherit, pruned ones vanish."""
    scene = Sphere(count=6, radius=0.5).make("", RANDOM)
    with torch.no_grad():
        scene.parameters()["log_scales"][:4] = math.log(0.005)
        scene.parameters()["log_scales"][4:] = math.log(0.2)
        scene.parameters()["logit_opacities"][1] = -9.0  # Will be pruned.
        scene.parameters()["sh"][:] = torch.arange(6.0)[:, None, None]
    pulled = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])[..., None].expand(1, 6, 2)
    offsets = torch.zeros(1, 6, 2, requires_grad=True)
    offsets.grad = pulled.clone()
    picture = torch.zeros(1, 8, 8, 3)
    radii = torch.ones(1, 6, 2, dtype=torch.int32)
    render = Render(picture, picture[..., :1], screen_offsets=offsets, radii=radii)
    growth, told = Growth(gradient_threshold=1e-3, split_scale=0.05, every=1, floor=1), []
    growth.after_step(scene, Adam(), render, growth.init(scene), RANDOM, told.append)
    # Rows 0, 2, 3, 5 survive, 2 is cloned, 4 is split in two.
    assert [parents.tolist() for parents in told] == [[0, 2, 3, 5, 2, 4, 4]]
    assert scene.parameters()["sh"][:, 0, 0].tolist() == [0, 2, 3, 5, 2, 4, 4]
    gradients = {"means": numbers(1, 6, 3), "logit_opacities": numbers(1, 6, seed=1)}
    state = stored((99, BESIDE, 500, gradients))
    after = FUSION.follow(state, told[0])
    for name, value in gradients.items():
        assert torch.equal(after[f"{BESIDE:03d}.{name}"], value[0, told[0]])
        assert torch.equal(state[f"{BESIDE:03d}.{name}"], value[0])
    assert torch.equal(after["step"], state["step"])
    # And it can be fused with the gradients of the scene as it now is.
    own = {"means": numbers(1, 7, 3, seed=2), "logit_opacities": numbers(1, 7, seed=3)}
    assert FUSION.fuse(after, outcome(100, [CENTRE], own))["means"].shape == (1, 7, 3)


def test_a_gradient_of_another_scene_is_refused():
    state, own = stored((99, BESIDE, 500, random_gradients(1))), random_gradients(1, 20)
    fewer = {**own, "means": own["means"][:, :4]}
    renamed = {f"1.{name}": value for name, value in own.items()}
    for other in (fewer, renamed):
        with pytest.raises(InputError, match="not of the scene's own parameters"):
            FUSION.fuse(state, outcome(100, [CENTRE], other))


def test_growth_that_changes_nothing_tells_nothing():
    scene = Sphere(count=6, radius=0.5).make("", RANDOM)
    picture, offsets = torch.zeros(1, 8, 8, 3), torch.zeros(1, 6, 2, requires_grad=True)
    radii = torch.ones(1, 6, 2, dtype=torch.int32)
    render = Render(picture, picture[..., :1], screen_offsets=offsets, radii=radii)
    told = []
    growth = Growth(every=1, floor=1)
    growth.after_step(scene, Adam(), render, growth.init(scene), RANDOM, told.append)
    assert told == []
