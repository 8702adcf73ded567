"""Perp-Neg, rescaled guidance and interpolated prompts: identities and closed forms."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toys import (
    PROMPT,
    RANDOM,
    RandomNetwork,
    antithetic,
    at,
    close,
    gaussian,
    levels,
    numbers,
    tape,
)

from maquette import serial
from maquette.errors import InputError
from maquette.objectives.base import Objective
from maquette.objectives.guidance import (
    ask,
    classifier_free,
    ends,
    guided,
    perpendicular,
    rescaled,
    steered,
)
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.priors.analytic import GaussianMixture, Mixture
from maquette.priors.base import Counting, Prior
from maquette.priors.text import (
    Interpolated,
    PerpNeg,
    Prompting,
    Rescaled,
    Sectors,
    perp_neg_weights,
    words_for,
)
from maquette.ramps import linear, resolve
from maquette.records import Against, Condition, Views, Words

T = 400
C = 0.4
SIDES = ("front", "side", "back", "overhead")
PROMPTINGS: list[Prompting] = [
    Sectors(),
    Interpolated(60.0),
    PerpNeg(),
    PerpNeg(Interpolated(60.0), "threestudio", 0.5, 60.0),
    Rescaled(),
    Rescaled(PerpNeg(Sectors()), 0.5),
]

each_prompting = pytest.mark.parametrize("prompting", PROMPTINGS, ids=repr)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def views(azimuth_deg: list[float], elevation_deg: float = 10.0) -> Views:
    azimuths = torch.tensor(azimuth_deg)
    ones = torch.ones(len(azimuths))
    return Views(azimuths, elevation_deg * ones, 3 * ones, 40 * ones, 8, 8)


def sides_of_a_toy(dims: int = 4) -> tuple[GaussianMixture, dict[str, Tensor]]:
    """A prior with one Gaussian of variance C per side and for the empty prompt, and the means."""
    means = {side: numbers(dims, seed=10 + place) for place, side in enumerate(SIDES)}
    means |= {"null": numbers(dims, seed=20), "ugly": numbers(dims, seed=21)}
    laws = {f"{PROMPT}, {side} view": gaussian(means[side], C) for side in SIDES}
    laws |= {PROMPT: gaussian(numbers(dims, seed=30), C), "ugly": gaussian(means["ugly"], C)}
    prior = GaussianMixture(laws, (1, 1, dims), null=gaussian(means["null"], C))
    return prior, means


def steering_words(prior: Prior, weights: list[list[float]]) -> Words:
    """The front, kept away from side and back with ``weights`` ``[2][B]``."""
    count = len(weights[0])

    def told(text: str) -> Condition:
        return prior.condition([text] * count)

    against = tuple(
        Against(told(f"{PROMPT}, {side} view"), torch.tensor(weight, dtype=torch.float64))
        for side, weight in zip(("side", "back"), weights, strict=True)
    )
    return Words(told(f"{PROMPT}, front view"), told(""), told(""), against)


def gap(prior: Prior, means: dict[str, Tensor], side: str, t: int = T) -> Tensor:
    """``eps_side - eps_null`` of Gaussians with one variance: the same at every point."""
    alpha, sigma, _ = levels(prior.schedule, t)
    return sigma * alpha * (means["null"] - means[side]) / (alpha**2 * C + sigma**2)


def off_line(vector: Tensor, onto: Tensor) -> Tensor:
    """The part of one vector at right angles to another, by solving for its share."""
    share = torch.linalg.lstsq(onto[:, None], vector[:, None]).solution[0, 0]
    return vector - share * onto


# --- the perpendicular part ---------------------------------------------------------------------


@pytest.mark.parametrize("power", [-290, -150, -9, 0, 9, 150])
def test_the_rest_is_perpendicular_whatever_the_lengths(power):
    vector, onto = numbers(5, 4, 8, 8), 10.0**power * numbers(5, 4, 8, 8, seed=1)
    unit = onto / onto.flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)
    rest = perpendicular(vector, onto)
    lengths = (dot(vector, vector) * dot(unit, unit)).sqrt()
    close("5.10 orthogonal", dot(rest, unit) / lengths, torch.zeros(5), 1e-12)
    close("5.10 direction alone counts", rest, perpendicular(vector, unit), 1e-13)


def test_an_absolute_floor_would_not_be_perpendicular():
    vector, onto = numbers(3, 4, 8, 8), 1e-5 * numbers(3, 4, 8, 8, seed=1)
    floored = (dot(vector, onto) / dot(onto, onto).clamp(min=1e-6)).reshape(-1, 1, 1, 1)
    lengths = (dot(vector, vector) * dot(onto, onto)).sqrt()
    public = (dot(vector - floored * onto, onto) / lengths).abs()
    ours = (dot(perpendicular(vector, onto), onto) / lengths).abs()
    assert float(public.min()) > 1e4 * max(float(ours.max()), 1e-16)


def test_the_perpendicular_part_is_a_projection():
    vector, onto = numbers(4, 2, 3, 3), numbers(4, 2, 3, 3, seed=1)
    rest = perpendicular(vector, onto)
    close("5.10 idempotent", perpendicular(rest, onto), rest, 1e-15)
    shared = vector - rest
    pythagoras = dot(rest, rest) + dot(shared, shared)
    close("5.10 Pythagoras", pythagoras, dot(vector, vector), 1e-13)
    close("5.10 parallel", perpendicular(3.7 * onto, onto), torch.zeros(1), 1e-14)
    close("5.10 linear", perpendicular(-2 * vector, onto), -2 * rest, 1e-15)
    for row in range(4):
        expected = off_line(vector[row].flatten(), onto[row].flatten())
        close("5.10 least squares", rest[row].flatten(), expected, 1e-14)
        assert torch.equal(perpendicular(vector[row : row + 1], onto[row : row + 1])[0], rest[row])


def test_what_has_no_direction_takes_nothing_away():
    vector, onto = numbers(3, 4), numbers(3, 4, seed=1)
    onto[1] = 0
    rest = perpendicular(vector, onto)
    assert torch.equal(rest[1], vector[1])
    assert torch.isfinite(rest).all()
    assert not torch.equal(rest[0], vector[0])


def test_turning_all_turns_the_answer():
    vector, onto = numbers(3, 6), numbers(3, 6, seed=1)
    turn = torch.linalg.qr(numbers(6, 6, seed=2)).Q
    close(
        "5.10 rotation",
        perpendicular(vector @ turn, onto @ turn),
        perpendicular(vector, onto) @ turn,
        1e-14,
    )


# --- Perp-Neg -----------------------------------------------------------------------------------


def test_perp_neg_never_hurts_the_prompt():
    base, text, other, third = (numbers(3, 4, 4, 4, seed=seed) for seed in range(4))
    weights = torch.tensor([-2.0, -0.5, 0.0], dtype=torch.float64)
    one = steered(base, text, [(other, weights)])
    d = text - base
    close("5.10 <aim, d> = |d|^2", dot(one - base, d), dot(d, d), 1e-12)
    off = perpendicular(other - base, d)
    length = dot(d, d) + weights.square() * dot(off, off)
    close("5.10 |aim|^2", dot(one - base, one - base), length, 1e-12)
    both = steered(base, text, [(other, weights), (third, -weights)])
    close("5.10 with two texts", dot(both - base, d), dot(d, d), 1e-12)
    assert torch.equal(one[2], text[2])
    assert float(dot(one - text, other - base)[0]) < -0.1


def test_perp_neg_of_gaussians_in_closed_form():
    prior, means = sides_of_a_toy()
    weights = [[-2.0, -0.3, 0.0], [-1.0, 0.0, 0.0]]
    words, x = steering_words(prior, weights), numbers(3, 1, 1, 4)
    alpha, sigma, _ = levels(prior.schedule, T)
    base = sigma * (x - alpha * means["null"]) / (alpha**2 * C + sigma**2)
    along = gap(prior, means, "front")
    for row in range(3):
        aim = along + sum(
            weight[row] * off_line(gap(prior, means, side), along)
            for side, weight in zip(("side", "back"), weights, strict=True)
        )
        expected = base[row, 0, 0] + 7.5 * aim
        close("Perp-Neg", guided(prior, x, at(T, 3), words, 7.5)[row, 0, 0], expected, 1e-13)


@pytest.mark.parametrize("scale", [7.5, 100.0])
def test_perp_neg_moves_the_fixed_point_of_sds_away_from_the_other_text(scale):
    prior, means = sides_of_a_toy()
    words = steering_words(prior, [[-2.0], [0.0]])
    towards = means["front"] - means["null"]
    across = off_line(means["side"] - means["null"], towards)
    there = (means["null"] + scale * (towards - 2.0 * across)).reshape(1, 1, 1, 4)
    points, _ = antithetic(4)
    pair = [
        SDS(scale).gradient(prior, there, at(T), words, {}, tape(point)).gradient
        for point in points
    ]
    close("5.4 fixed point with Perp-Neg", (pair[0] + pair[1]) / scale, torch.zeros(1), 1e-13)
    plain = means["null"] + scale * towards
    apart = (there.flatten() - means["side"]) @ across
    assert float(apart) < float((plain - means["side"]) @ across) - 1.0


@pytest.mark.parametrize("objective", [SDS(7.5), ISM(7.5, convention="code")], ids=repr)
def test_objectives_ride_perp_neg_as_they_are(objective):
    prior = RandomNetwork()
    texts = [prior.condition([text] * 2) for text in ("a", "bb", "ccc")]
    weight = torch.tensor([-2.0, 0.0], dtype=torch.float64)
    plain = Words(texts[0], texts[1], texts[1])
    words = replace(plain, against=(Against(texts[2], weight),))
    x, t = numbers(2, 4, 8, 8), at(T, 2)
    g, without = (objective.gradient(prior, x, t, w, {}, RANDOM).gradient for w in (words, plain))
    assert float((g - without)[0].abs().max()) > 1e-2
    close("no weight, no change", g[1], without[1], 1e-13)
    for row in range(2):
        rows = slice(row, row + 1)
        told, base, other = (Condition(text.embedding[rows]) for text in texts)
        alone = Words(told, base, base, (Against(other, weight[rows]),))
        one = objective.gradient(prior, x[rows], t[rows], alone, {}, RANDOM.from_view(row))
        close("rows never mix", one.gradient, g[rows], 1e-12)


def test_guidance_stays_a_straight_line_in_the_scale():
    prior, x = RandomNetwork(), numbers(2, 4, 8, 8)
    texts = [prior.condition([text] * 2) for text in ("a", "bb", "ccc")]
    weight = torch.tensor([-2.0, -0.1], dtype=torch.float64)
    words = Words(texts[0], texts[1], texts[1], (Against(texts[2], weight),))
    line = {scale: guided(prior, x, at(T, 2), words, scale) for scale in (0.0, 1.0, 3.0, 5.0, 7.0)}
    base, aim = ends(prior, x, at(T, 2), words)
    assert torch.equal(line[0.0], base)
    close("5.3 A(1) = aim", line[1.0], aim, 1e-15)
    close("5.3 second difference", line[3.0] - 2 * line[5.0] + line[7.0], torch.zeros(1), 1e-13)
    close("5.3 slope", (line[7.0] - line[3.0]) / 4, aim - base, 1e-14)
    b_form = aim + 6.5 * (aim - base)
    close("5.3 A(1 + s) = B(s)", guided(prior, x, at(T, 2), words, 7.5), b_form, 1e-13)


def test_coefficients_of_perp_neg_sum_to_zero():
    base, text, other, common = (numbers(3, 4, 2, 2, seed=seed) for seed in range(4))
    weight = torch.tensor([-2.0, -1.0, 0.5], dtype=torch.float64)
    aim = steered(base, text, [(other, weight)])
    shifted = steered(base + common, text + common, [(other + common, weight)])
    close("5.3 a common field", shifted - common, aim, 1e-14)
    assert torch.equal(steered(base, base, [(base, weight)]), base)
    assert torch.equal(classifier_free(base, steered(base, base, [(base, weight)]), 100.0), base)
    close("a text against itself", steered(base, text, [(text, weight)]), text, 1e-14)


def test_without_texts_to_keep_away_from_nothing_changes_and_nothing_is_asked():
    prior = Counting(RandomNetwork())
    texts = [prior.condition([text] * 2) for text in ("a", "bb", "ccc")]
    plain, x = Words(texts[0], texts[1], texts[1]), numbers(2, 4, 8, 8)
    base, text = ask(prior, x, at(T, 2), texts[1], texts[0])
    prior.evaluations = 0
    expected = classifier_free(base, text, 7.5)
    assert torch.equal(guided(prior, x, at(T, 2), plain, 7.5), expected)
    assert prior.evaluations == 4
    idle = replace(plain, against=(Against(texts[2], torch.zeros(2)),) * 2)
    assert torch.equal(guided(prior, x, at(T, 2), idle, 7.5), expected)
    assert prior.evaluations == 8
    busy = replace(plain, against=(Against(texts[2], -torch.ones(2)),) * 2)
    guided(prior, x, at(T, 2), busy, 7.5)
    assert prior.evaluations == 16


# --- rescaling ----------------------------------------------------------------------------------


def test_rescaling_in_closed_form():
    wide, text = 9 * numbers(3, 4, 5, 5) + 2, numbers(3, 4, 5, 5, seed=1) - 1
    assert torch.equal(rescaled(wide, text, 0.0), wide)
    full = rescaled(wide, text, 1.0)
    close("std of the text", full.flatten(1).std(1), text.flatten(1).std(1), 1e-14)
    for share in (0.3, 0.7):
        # Both deviations count alike, so their quotient does not depend on the divisor N or N - 1.
        ratio = text.flatten(1).std(1) / wide.flatten(1).std(1)
        factor = (share * ratio + 1 - share).reshape(-1, 1, 1, 1)
        close("Lin et al., section 3.4", rescaled(wide, text, share), factor * wide, 1e-14)
        between = share * full + (1 - share) * wide
        close("straight in the share", rescaled(wide, text, share), between, 1e-14)
    close("scale 1 is left alone", rescaled(text, text, 0.7), text, 1e-15)
    close("any size", rescaled(1e6 * wide, text, 1.0), full, 1e-13)
    alone = rescaled(wide[1:2], text[1:2], 0.7)
    close("row by row", alone[0], rescaled(wide, text, 0.7)[1], 1e-14)


def test_a_prediction_without_spread_is_left_alone():
    flat, text = torch.ones(2, 1, 2, 2).double(), numbers(2, 1, 2, 2)
    flat[1, 0, 0, 0] = 3.0
    answer = rescaled(flat, text, 0.7)
    assert torch.equal(answer[0], flat[0])
    assert not torch.equal(answer[1], flat[1])
    single = numbers(2, 1, 1, 1)
    assert torch.equal(rescaled(single, 2 * single, 1.0), single)


def test_objectives_ride_rescaling_as_they_are():
    prior, x, t = RandomNetwork(), numbers(2, 4, 8, 8), at(T, 2)
    text, null = (prior.condition([words] * 2) for words in ("a", "bb"))
    words = Words(text, null, null, rescale=0.7)
    noise = RANDOM.normal("noise", x)
    noised = prior.schedule.add_noise(x, noise, t)
    base, own = ask(prior, noised, t, null, text)
    eps = classifier_free(base, own, 50.0)
    ratio = (own.flatten(1).std(1) / eps.flatten(1).std(1)).reshape(-1, 1, 1, 1)
    expected = (0.7 * ratio + 0.3) * eps - noise
    g = SDS(50.0, "uniform").gradient(prior, x, t, words, {}, RANDOM).gradient
    close("SDS with rescaled guidance", g, expected, 1e-13)
    assert float((g - (eps - noise)).abs().max()) > 1.0


def test_rescaling_measures_the_text_itself_under_perp_neg():
    prior, x = RandomNetwork(), numbers(2, 4, 8, 8)
    texts = [prior.condition([text] * 2) for text in ("a", "bb", "ccc")]
    against = (Against(texts[2], torch.tensor([-2.0, -2.0]).double()),)
    words = Words(texts[0], texts[1], texts[1], against, rescale=1.0)
    (own,) = ask(prior, x, at(T, 2), texts[0])
    eps = guided(prior, x, at(T, 2), words, 30.0)
    close("std of the text", eps.flatten(1).std(1), own.flatten(1).std(1), 1e-14)


# --- prompts ------------------------------------------------------------------------------------


def rows(prior: Prior, side: str, count: int) -> Tensor:
    return prior.condition([f"{PROMPT}, {side} view"] * count).embedding


@pytest.mark.parametrize(
    ("azimuth_deg", "near", "far", "share"),
    [
        (0.0, "front", "side", 1.0),
        (45.0, "front", "side", 0.5),
        (-60.0, "front", "side", 1 / 3),
        (90.0, "side", "back", 1.0),
        (-90.0, "side", "back", 1.0),
        (112.5, "side", "back", 0.75),
        (-135.0, "side", "back", 0.5),
        (180.0, "side", "back", 0.0),
        (-180.0, "side", "back", 0.0),
        (225.0, "side", "back", 0.5),
        (405.0, "front", "side", 0.5),
    ],
)
def test_embeddings_are_mixed_by_the_azimuth(azimuth_deg, near, far, share):
    prior, _ = sides_of_a_toy()
    words = Interpolated().words(prior, PROMPT, "", views([azimuth_deg]))
    expected = share * rows(prior, near, 1) + (1 - share) * rows(prior, far, 1)
    close("3.1 interpolation", words.positive.embedding, expected, 1e-15)
    assert words.against == ()
    assert words.rescale == 0


def test_a_mixed_condition_is_the_mixture_of_the_sides():
    prior, means = sides_of_a_toy()
    words = Interpolated().words(prior, PROMPT, "", views([30.0]))
    weights = torch.tensor([2 / 3, 1 / 3], dtype=torch.float64)
    law = Mixture(weights, torch.stack([means["front"], means["side"]]), 0 * weights + C)
    alone = GaussianMixture({PROMPT: law}, (1, 1, 4))
    x = numbers(1, 1, 1, 4)
    (mixed,) = ask(prior, x, at(T), words.positive)
    (expected,) = ask(alone, x, at(T), alone.condition([PROMPT]))
    close("3.1 a blend is a mixture", mixed, expected, 1e-14)


def test_no_view_word_switches_suddenly():
    prior, _ = sides_of_a_toy()
    for azimuth_deg in (0.0, 44.0, 89.99, 134.0, 179.99):
        pair = [azimuth_deg, azimuth_deg + 0.02]
        soft = Interpolated().words(prior, PROMPT, "", views(pair)).positive.embedding
        assert float((soft[1] - soft[0]).abs().max()) < 0.02 / 90 * 1.1
    hard = Sectors().words(prior, PROMPT, "", views([44.99, 45.01])).positive.embedding
    assert float((hard[1] - hard[0]).abs().max()) == 1.0


def test_overhead_is_a_word_of_its_own_only_where_asked_for():
    prior, _ = sides_of_a_toy()
    above = views([30.0, 200.0], 61.0)
    overhead = rows(prior, "overhead", 2)
    for prompting in (Interpolated(60.0), Sectors(60.0), Sectors()):
        embedding = prompting.words(prior, PROMPT, "", above).positive.embedding
        close("overhead", embedding, overhead, 1e-15)
    for prompting in (Interpolated(), Interpolated(61.5), Sectors(61.5)):
        embedding = prompting.words(prior, PROMPT, "", above).positive.embedding
        assert float((embedding - overhead).abs().amin(0).max()) > 0.1


def test_pooled_forms_are_mixed_too():
    class Pooled(RandomNetwork):
        def condition(self, texts, views=None, render=None):
            plain = super().condition(texts)
            return Condition(plain.embedding, -2 * plain.embedding[:, 0])

    words = Interpolated().words(Pooled(), "toy", "", views([20.0, 160.0]))
    assert words.positive.pooled is not None
    close("pooled", words.positive.pooled, -2 * words.positive.embedding[:, 0], 1e-15)


def test_sectors_are_the_words_as_before():
    prior, _ = sides_of_a_toy()
    ring = views([0.0, 50.0, 140.0, -100.0])
    one, other = (
        Sectors().words(prior, PROMPT, "ugly", ring),
        words_for(prior, PROMPT, "ugly", ring),
    )
    for name in ("positive", "negative", "null"):
        assert torch.equal(getattr(one, name).embedding, getattr(other, name).embedding)
    expected = [rows(prior, side, 1) for side in ("front", "side", "back", "side")]
    assert torch.equal(one.positive.embedding, torch.cat(expected))


E = math.exp
LUCID_DREAMER = {
    0: (0, -2),
    17: (0, -2 * E(-10 * 17 / 90)),
    19: (-2 * E(-2 * 71 / 90), -2 * E(-10 * 19 / 90)),
    45: (-2 * E(-1), -2 * E(-5)),
    71: (-2 * E(-2 * 19 / 90), -2 * E(-10 * 71 / 90)),
    73: (-2 * E(-2 * 17 / 90), 0),
    90: (-2, 0),
    107: (-2, 0),
    109: (-2, -E(-10 * 71 / 90)),
    135: (-2, -E(-5)),
    180: (-2, -1),
}
THREESTUDIO = {
    0: (-(4 * E(-0.5) - 2.426), -(4 - 2.426)),
    45: (-(4 * E(-0.25) - 2.426), -(4 * E(-0.25) - 2.426)),
    60: (-(4 * E(-1 / 6) - 2.426), -(4 * E(-1 / 3) - 2.426)),
    90: (-(E(-0.5) + 0.967), -(E(-0.5) - 0.606)),
    120: (-(E(-1 / 3) + 0.967), -(E(-1 / 3) - 0.606)),
    180: (-1.967, -0.394),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("name", "table"), [("lucid_dreamer", LUCID_DREAMER), ("threestudio", THREESTUDIO)]
)
def test_weights_of_perp_neg(name, table, sign):
    azimuths = torch.tensor([sign * azimuth for azimuth in table], dtype=torch.float64)
    expected = torch.tensor(list(table.values()), dtype=torch.float64).T
    close("3.1 Perp-Neg weights", perp_neg_weights(azimuths, name), expected, 1e-14)
    close("3.1 full turns", perp_neg_weights(azimuths + 720, name), expected, 1e-12)
    everywhere = perp_neg_weights(torch.linspace(-180, 180, 721), name)
    assert everywhere.shape == (2, 721)
    assert float(everywhere.max()) <= 0
    with pytest.raises(InputError, match="lucid_dreamer or threestudio"):
        perp_neg_weights(azimuths, "mine")  # pyright: ignore[reportArgumentType]


def test_perp_neg_tells_what_to_keep_away_from():
    prior, _ = sides_of_a_toy()
    ring = views([0.0, 100.0, 180.0])
    words = PerpNeg().words(prior, PROMPT, "ugly", ring)
    inner = Interpolated().words(prior, PROMPT, "ugly", ring)
    for name in ("positive", "negative", "null"):
        assert torch.equal(getattr(words, name).embedding, getattr(inner, name).embedding)
    front, side = words.against
    assert torch.equal(front.condition.embedding, rows(prior, "front", 3))
    assert torch.equal(side.condition.embedding, rows(prior, "side", 3))
    weights = perp_neg_weights(ring.azimuth_deg)
    assert torch.equal(torch.stack([front.weight, side.weight]), weights)
    half = PerpNeg(strength=0.5).words(prior, PROMPT, "", ring).against
    assert torch.equal(half[0].weight, weights[0] / 2)
    mixed = replace(ring, elevation_deg=torch.tensor([10.0, 61.0, 60.0]))
    above = PerpNeg(overhead_above_deg=60.0).words(prior, PROMPT, "", mixed).against
    assert torch.equal(above[0].weight != 0, torch.tensor([False, False, True]))
    twice = PerpNeg(PerpNeg()).words(prior, PROMPT, "", ring)
    assert len(twice.against) == 4


def test_wrappers_go_around_each_other():
    prior, _ = sides_of_a_toy()
    ring, x = views([0.0, 100.0, 180.0]), numbers(3, 1, 1, 4)
    one = Rescaled(PerpNeg(), 0.5).words(prior, PROMPT, "", ring)
    other = PerpNeg(Rescaled(Interpolated(), 0.5)).words(prior, PROMPT, "", ring)
    first, second = (guided(prior, x, at(T, 3), words, 7.5) for words in (one, other))
    assert torch.equal(first, second)
    plain = guided(prior, x, at(T, 3), Interpolated().words(prior, PROMPT, "", ring), 7.5)
    assert float((first - plain).abs().amin(-1).min()) > 1e-4


@each_prompting
def test_every_prompting_fills_all_words(prompting):
    prior, _ = sides_of_a_toy()
    ring = views([0.0, 45.0, 100.0, 180.0])
    words = prompting.words(prior, PROMPT, "ugly", ring)
    null = prior.condition([""] * 4).embedding
    assert words.positive.embedding.shape == null.shape
    assert torch.equal(words.null.embedding, null)
    assert torch.equal(words.negative.embedding, prior.condition(["ugly"] * 4).embedding)
    assert prompting.words(prior, PROMPT, "", ring).negative.embedding.equal(null)
    empty = prompting.words(prior, "", "", ring)
    close("an empty prompt stays empty", empty.positive.embedding, null, 1e-15)
    for other in empty.against:
        assert torch.equal(other.condition.embedding, null)
        assert other.weight.shape == (4,)
    x = numbers(4, 1, 1, 4)
    objectives: list[Objective] = [SDS(7.5), ISM(7.5)]
    for objective in objectives:
        g = objective.gradient(prior, x, at(T, 4), words, {}, RANDOM).gradient
        assert torch.isfinite(g).all()


@each_prompting
def test_every_prompting_is_its_own_configuration(prompting):
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompting.share = 0.1
    kinds = (Sectors, Interpolated, PerpNeg, Rescaled)
    known = {(kind.__name__, kind.__module__): kind for kind in kinds}
    data = json.loads(json.dumps(serial.encode(prompting)))
    assert serial.decode(data, Prompting, "prompting", known) == prompting


def test_numbers_of_a_prompting_may_be_ramps():
    prior, _ = sides_of_a_toy()
    prompting = Rescaled(PerpNeg(strength=linear(1.0, 0.0)), linear(0.0, 0.8))
    words = resolve(prompting, 0.5).words(prior, PROMPT, "", views([180.0]))
    assert words.rescale == pytest.approx(0.4)
    close("strength", words.against[0].weight, torch.tensor([-1.0]), 1e-15)
    with pytest.raises(InputError, match="not resolved"):
        prompting.words(prior, PROMPT, "", views([180.0]))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    prior, _ = sides_of_a_toy()
    with pytest.raises(InputError, match="inside"):
        Rescaled(share=share).words(prior, PROMPT, "", views([0.0]))
