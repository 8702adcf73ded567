"""The path of PTD: formed by training, traced by two schedules, ridden by any objective."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import pytest
import torch
from torch import Tensor

from adapters import T, attending, bent, latents_of, numbers, words_of
from maquette.checkpoints import pack, unpack
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.objectives.base import Objective
from maquette.objectives.csd import CSD
from maquette.objectives.hifa import HiFA
from maquette.objectives.ism import ISM
from maquette.objectives.sds import SDS
from maquette.objectives.tsm import TSM
from maquette.objectives.vsd import VSD
from maquette.priors.base import Counting
from maquette.priors.lora import Adapter, LoRA
from maquette.priors.low_rank import DOWN, UP, Adapted
from maquette.priors.path import (
    Fading,
    Forming,
    Path,
    Retracing,
    Tracing,
    form,
    kept,
    load,
    save,
)
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.ramps import linear, resolve
from maquette.randomness import Randomness

RANDOM = Randomness(11)
SHORT = Forming(Adapter(learning_rate=0.02), steps=8, batch=2, keep_every=2)
STEPS = 5000


def formed_for(prior: StableDiffusion, forming: Forming = SHORT) -> dict[str, Tensor]:
    return form(prior, latents_of(prior), words_of(prior), forming, RANDOM)


def at(tracing: Tracing, progress: float) -> Tracing:
    return resolve(tracing, progress)


def answer(prior: StableDiffusion | Adapted) -> Tensor:
    words, latent = words_of(prior), numbers(4, *prior.latent_shape, seed=4)
    return prior.predict(latent, T, [words.positive, words.null])


@pytest.mark.oracles
@pytest.mark.parametrize(
    ("iteration", "weight"),
    [(1, 1.0), (2, 0.874), (11, 0.749), (101, 0.499), (201, 0.383), (501, 0.188), (1000, 0.000)],
)
def test_the_weight_fades_as_in_the_papers_algorithm(iteration, weight):
    tracing = Fading(progress=linear(0.0, 1.0, finish=1000 / (STEPS - 1)))
    checkpoint, found = at(tracing, (iteration - 1) / (STEPS - 1)).place(7)
    assert checkpoint == 7
    assert found == pytest.approx(weight, abs=5e-4)
    assert found == pytest.approx(1 - ((iteration - 1) / 1000) ** 0.3, abs=1e-9)


@pytest.mark.oracles
def test_the_fading_path_begins_at_one_and_ends_at_zero():
    assert at(Fading(), 0.0).place(1) == (1, 1.0)
    for progress in (0.2, 0.7, 1.0):
        assert at(Fading(), progress).place(1) == (1, 0.0)
    weights = [at(Fading(), 0.2 * i / 50).place(1)[1] for i in range(51)]
    assert weights == sorted(weights, reverse=True)
    assert at(Fading(power=1.0), 0.05).place(1)[1] == pytest.approx(0.75)


@pytest.mark.oracles
@pytest.mark.parametrize(("passed_over", "first"), [(1, 9), (0, 10), (4, 6)])
def test_checkpoints_follow_in_reverse_for_equal_parts_of_the_path(passed_over, first):
    tracing = Retracing(progress=linear(0.0, 1.0), passed_over=passed_over)
    parts = 90
    places = [at(tracing, i / parts).place(10) for i in range(parts)]
    assert places[0] == (first, 1.0)
    checkpoints = [checkpoint for checkpoint, _ in places]
    assert checkpoints == sorted(checkpoints, reverse=True)
    for checkpoint in range(1, first + 1):
        assert checkpoints.count(checkpoint) == pytest.approx(parts / first, abs=1)
    assert at(tracing, 1.0).place(10) == (0, 0.0)
    assert at(Retracing(), 0.2).place(10) == at(Retracing(), 1.0).place(10) == (0, 0.0)


@pytest.mark.oracles
@pytest.mark.parametrize("tracing", [Fading(), Retracing()], ids=type)
def test_at_its_end_the_path_is_the_prior_to_the_last_bit(tracing):
    prior = attending()
    for progress in (0.2, 0.6, 1.0):
        path = Path(prior, formed_for(prior), at(tracing, progress))
        assert torch.equal(answer(path), answer(prior))


@pytest.mark.oracles
@pytest.mark.parametrize("tracing", [Fading(), Retracing(passed_over=0)], ids=type)
def test_at_its_start_the_path_is_the_formed_adapter(tracing):
    prior = attending()
    formed = formed_for(prior)
    path = Path(prior, formed, at(tracing, 0.0))
    last = {n.partition("/")[2]: v for n, v in formed.items() if n.startswith("000008/")}
    assert torch.equal(answer(path), answer(Adapted(prior, last)))
    assert float((answer(path) - answer(prior)).abs().max()) > 1e-4


@pytest.mark.oracles
def test_between_the_adapter_has_its_weight_and_a_checkpoint_its_turn():
    prior = attending()
    formed = formed_for(prior)
    adapters = kept(formed)
    assert len(adapters) == 4
    weight = 1 - 0.5**0.3
    fading = Path(prior, formed, at(Fading(), 0.1))
    torch.testing.assert_close(
        answer(fading), answer(Adapted(prior, adapters[3], weight)), rtol=1e-12, atol=1e-12
    )
    for progress, checkpoint in ((0.0, 3), (0.05, 3), (0.08, 2), (0.15, 1)):
        stepping = Path(prior, formed, at(Retracing(), progress))
        assert torch.equal(answer(stepping), answer(Adapted(prior, adapters[checkpoint - 1])))


def test_forming_lowers_the_loss_on_the_renders_and_not_by_chance():
    prior = attending(torch.float32)
    forming = Forming(Adapter(learning_rate=0.01), steps=120, batch=4)
    latents, words = 0.3 * latents_of(prior), words_of(prior)
    formed = form(prior, latents, words, forming, RANDOM)
    assert formed["losses"].shape == (120,)
    path = Path(prior, formed, at(Fading(forming), 0.0))

    def loss(asked: StableDiffusion | Path) -> float:
        noise = numbers(4, *prior.latent_shape, seed=9, dtype=torch.float32)
        errors = []
        for t in range(50, 1000, 100):
            noised = prior.schedule.add_noise(latents, noise, torch.full((4,), t))
            eps = asked.predict(noised, torch.full((4,), t), [words.positive])[0]
            errors.append(float((eps - noise).square().mean()))
        return sum(errors) / len(errors)

    assert loss(path) < 0.97 * loss(prior)


def test_forming_is_keyed_and_leaves_the_prior_alone():
    prior = attending(torch.float32)
    before = {name: value.clone() for name, value in prior.unet.state_dict().items()}
    stream = torch.get_rng_state()
    one, two = formed_for(prior), formed_for(prior)
    assert torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(before[n], v) for n, v in prior.unet.state_dict().items())
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    other = form(prior, latents_of(prior), words_of(prior), SHORT, Randomness(12))
    assert not torch.equal(one["losses"], other["losses"])
    # The step of the run at which it is formed does not matter.
    later = form(prior, latents_of(prior), words_of(prior), SHORT, RANDOM.at(3))
    assert torch.equal(one["losses"], later["losses"])


def test_checkpoints_are_kept_on_request_and_always_the_last():
    prior = attending(torch.float32)
    names = {n.partition("/")[0] for n in formed_for(prior, replace(SHORT, keep_every=3))}
    assert names == {"000003", "000006", "000008", "losses"}
    alone = formed_for(prior, replace(SHORT, keep_every=0))
    assert {n.partition("/")[0] for n in alone} == {"000008", "losses"}
    # A shorter formation is the beginning of a longer one.
    short, long = formed_for(prior, replace(SHORT, steps=4)), formed_for(prior)
    for name, value in short.items():
        if name != "losses":
            assert torch.equal(value, long[name])
    assert torch.equal(short["losses"], long["losses"][:4])


def test_a_ramp_in_the_adapter_runs_over_the_formation():
    prior = attending(torch.float32)
    still = replace(SHORT, adapter=Adapter(learning_rate=linear(0.02, 0.0)), keep_every=1)
    formed = formed_for(prior, still)
    adapters = kept(formed)
    ups = [name for name in adapters[0] if name.endswith(UP)]
    assert all(torch.equal(adapters[6][name], adapters[7][name]) for name in ups)
    assert not torch.equal(adapters[5][ups[0]], adapters[6][ups[0]])


@dataclass(frozen=True)
class Noting(Adapter):
    """An adapter that notes what it is given to learn."""

    given: list = field(default_factory=list, compare=False)

    def learn(self, prior, state, latent, condition, random, poses=None):
        self.given.append((latent.clone(), condition.embedding.clone()))
        return dict(state)


def test_each_render_is_learnt_with_its_own_view_word():
    prior = attending()
    noting, words, latents = Noting(), words_of(prior), latents_of(prior)
    forming = Forming(noting, steps=30, batch=3)
    form(prior, latents, words, forming, RANDOM)
    seen = set()
    for latent, embedding in noting.given:
        assert len(latent) == 3
        for row, told in zip(latent, embedding, strict=True):
            number = next(i for i in range(4) if torch.equal(row, latents[i]))
            assert torch.equal(told, words.positive.embedding[number])
            seen.add(number)
    assert seen == {0, 1, 2, 3}


def merged(prior: StableDiffusion, path: Path) -> StableDiffusion:
    """A fresh prior with the path's adapter added to its weights for good."""
    for name, layer in prior.unet.named_modules():
        if name + UP in path.weights:
            layer.weight += path.scale * path.weights[name + UP] @ path.weights[name + DOWN]
    return prior


@pytest.mark.parametrize(
    "objective", [SDS(), CSD(), ISM(), TSM(), HiFA(), VSD(LoRA())], ids=lambda part: type(part)
)
def test_any_objective_rides_it(objective: Objective):
    prior = attending()
    path = Path(prior, formed_for(prior), at(Fading(), 0.01))
    bare, words = merged(attending(), path), words_of(prior)
    latent, t = numbers(4, *prior.latent_shape, seed=6), torch.tensor([100, 300, 500, 900])
    results = []
    for asked in (path, bare, attending()):
        state = objective.init(asked)
        first = objective.gradient(asked, latent, t, words, state, RANDOM)
        second = objective.gradient(asked, latent, t, words, first.state, RANDOM.at(1))
        results.append(second.gradient)
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-8)
    assert float((results[0] - results[2]).abs().max()) > 1e-4


@pytest.mark.oracles
def test_both_terms_of_ism_ask_the_bent_prior():
    prior = attending()
    counting = Counting(prior)
    path = Path(counting, formed_for(prior), at(Fading(), 0.0))
    words, latent = words_of(prior), numbers(4, *prior.latent_shape)
    ISM().gradient(path, latent, torch.full((4,), 300), words, {}, RANDOM)
    plain = Counting(attending())
    ISM().gradient(plain, latent, torch.full((4,), 300), words, {}, RANDOM)
    assert counting.evaluations == plain.evaluations > 8


def test_a_formed_path_is_kept_on_disk(tmp_path: FilePath):
    prior = attending(torch.float32)
    formed = formed_for(prior)
    save(formed, tmp_path / "path", prior)
    back = load(tmp_path / "path", prior)
    assert back.keys() == formed.keys()
    assert all(torch.equal(value, back[name]) for name, value in formed.items())
    again = unpack({"path.safetensors": pack(formed)}, "path")
    assert all(torch.equal(value, again[name]) for name, value in formed.items())
    assert [p.name for p in tmp_path.iterdir()] == ["path"]


def test_another_priors_or_a_damaged_path_is_refused(tmp_path: FilePath):
    prior = attending(torch.float32)
    folder = tmp_path / "path"
    save(formed_for(prior), folder, prior)
    other = attending(torch.float32)
    other.unet.conv_out.weight *= 1.5
    with pytest.raises(PriorError, match="another prior"):
        load(folder, other)
    file = folder / "path.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load(folder, prior)


def test_its_fingerprint_does_not_change_on_the_way():
    prior = attending(torch.float32)
    formed, other = formed_for(prior), formed_for(prior, replace(SHORT, steps=6))
    places = [at(tracing, p) for tracing in (Fading(), Retracing()) for p in (0.0, 0.1, 1.0)]
    prints = [Path(prior, formed, place).fingerprint() for place in places]
    assert all(p == prints[0] for p in prints)
    assert prior.fingerprint().items() < prints[0].items()
    assert Path(prior, other, at(Fading(), 0.0)).fingerprint() != prints[0]
    assert bent().fingerprint() != bent().prior.fingerprint()


def test_a_path_that_leads_nowhere_is_refused():
    prior = attending(torch.float32)
    formed = formed_for(prior, replace(SHORT, keep_every=0))
    with pytest.raises(InputError, match="not resolved"):
        Path(prior, formed, Fading())
    with pytest.raises(InputError, match="nowhere"):
        Path(prior, formed, at(Retracing(), 0.0))
    with pytest.raises(CheckpointError, match="no adapter"):
        Path(prior, {"losses": torch.zeros(1)}, at(Fading(), 0.0))
    with pytest.raises(InputError, match="0 latents"):
        form(prior, latents_of(prior)[:0], words_of(prior), SHORT, RANDOM)
    with pytest.raises(InputError, match="3 rows of words"):
        form(prior, latents_of(prior), words_of(prior, slice(3)), SHORT, RANDOM)
    for wrong in ({"steps": 0}, {"batch": 0}, {"keep_every": -1}):
        with pytest.raises(InputError, match="No path"):
            Forming(**wrong)
