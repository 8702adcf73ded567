"""Training the embedded prior: resumed to the last bit, packed, and loaded by the usual code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import small_networks
from maquette.errors import InputError, PriorError
from maquette.priors.embedded import Worded, check_files
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.records import Views
from maquette.toybox import dataset, judge_stages, stages, trainer
from maquette.toybox.captions import VOCABULARY, caption, descriptions, parse
from maquette.toybox.judge import Judge
from maquette.toybox.networks import (
    LATENT_CHANNELS,
    SIZES,
    TOKENS,
    judge_clip,
    token_ids,
    tokenizer,
    write_vocabulary,
)
from maquette.toybox.train import train
from maquette.toybox.trainer import Plan, Team, train_stage
from maquette.toybox.wording import WORDING
from maquette.toybox.world import batch

NASTY = [
    *("a", "an", "and", "band", "banana", "ban", "nab", "nana", "anana", "abab", "ababab", "bab"),
    *("aa", "aaa", "aaaa", "aaaaa", "baab", "view", "viewer", "review", "vie", "ew", ","),
    *("teddy", "ted", "eddy", "bear", "beard", "ear", "mississippi", "issip", "sis", "missis"),
]
TINY = SIZES["tiny"]


def pictures(count: int = 32) -> dataset.Dataset:
    drawn = batch(9, 0, count, TINY.picture)
    views = np.arange(count) % 4
    return dataset.Dataset(drawn.pictures, drawn.captions, views, np.ones(count, bool))


def team(folder: Path) -> Team:
    folder.mkdir(parents=True, exist_ok=True)
    return Team(0, 1, "cpu", folder)


def plan(name: str, steps: int = 6) -> Plan:
    return Plan(name, steps, 4, 1e-3, warmup=2, every=2)


def train_vae(folder: Path) -> nn.Module:
    return stages.train_vae(TINY, pictures(), plan("vae"), team(folder), 5)


def train_unet(folder: Path) -> nn.Module:
    latents = torch.randn(
        32, LATENT_CHANNELS, 4, 4, generator=torch.Generator().manual_seed(3)
    ).half()
    ids = torch.arange(32 * 20).reshape(32, 20) % 50
    ids[:, -1] = 49
    muon = dataclasses.replace(plan("unet"), muon=True)
    seen = stages.Encoded(latents, ids)
    return stages.train_unet(TINY, seen, seen, muon, team(folder), 5)


def train_views(folder: Path) -> nn.Module:
    clip = judge_clip(TINY, 60)
    return judge_stages.train_views(TINY, clip, pictures(), plan("views"), team(folder), 5)


def train_clip(folder: Path) -> nn.Module:
    write_vocabulary(VOCABULARY, folder)
    words = tokenizer(folder)
    return judge_stages.train_clip(TINY, pictures(), words, plan("clip"), team(folder), 5)


class KilledError(Exception):
    """Stands for a signal that cannot be caught."""


@pytest.mark.parametrize("stage", [train_vae, train_unet, train_clip, train_views])
def test_killed_and_resumed_training_ends_in_the_same_bytes(
    stage: Callable[[Path], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = stage(tmp_path / "whole")
        draws = Team.draws

        def killed_in_step_5(self: Team, seed: int, step: int) -> np.random.Generator:
            if step == 5:
                raise KilledError
            return draws(self, seed, step)

        torch.manual_seed(0)
        with monkeypatch.context() as patch:
            patch.setattr(Team, "draws", killed_in_step_5)
            with pytest.raises(KilledError):
                stage(tmp_path / "killed")
        # Other first weights: everything must come from the checkpoint of step 4.
        torch.manual_seed(1)
        resumed = stage(tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    (first,), (second,) = (
        list((tmp_path / name).glob("*.safetensors")) for name in ("whole", "killed")
    )
    one, other = load_file(first), load_file(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    def refuse(_draws: np.random.Generator, _step: int) -> Tensor:
        raise AssertionError("it was trained again")

    def loss(_draws: np.random.Generator, _step: int) -> Tensor:
        return network.weight.square().sum()

    network = nn.Linear(2, 2)
    done = train_stage(plan("line"), network, loss, team(tmp_path), seed=0)
    weights = {name: value.clone() for name, value in done.state_dict().items()}
    again = train_stage(plan("line"), nn.Linear(2, 2), refuse, team(tmp_path), seed=0)
    assert all(torch.equal(weights[name], value) for name, value in again.state_dict().items())
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert [line["samples"] for line in lines] == [8, 16, 24]
    larger, network = dataclasses.replace(plan("line", 8), batch=10), nn.Linear(2, 2)
    train_stage(larger, network, loss, team(tmp_path), seed=0)
    last = (tmp_path / "training.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["samples"] == 24 + 2 * 10


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    seen: list[float] = []

    def loss(_draws: np.random.Generator, step: int) -> Tensor:
        if step:
            seen.append(float(network.weight.detach()))
        return network.weight.sum()

    network = nn.Linear(1, 1, bias=False)
    start = float(network.weight.detach())
    average = float(
        train_stage(plan("mean"), network, loss, team(tmp_path), seed=0).weight.detach()
    )
    seen.append(float(load_file(tmp_path / "mean.safetensors")["network.weight"]))
    expected = start
    for step, value in enumerate(seen, start=1):
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average == pytest.approx(expected, abs=1e-6)


def test_the_rate_rises_stays_and_falls() -> None:
    long = Plan("any", 1000, 1, 2.0, warmup=100, cooldown=0.3)
    rates = [long.rate_at(step) for step in range(1000)]
    assert rates[:100] == pytest.approx([2.0 * (step + 1) / 100 for step in range(100)])
    assert rates[100:701] == [2.0] * 601
    assert rates[850] == pytest.approx(1.0)
    assert rates[700:] == sorted(rates[700:], reverse=True)
    assert rates[999] == pytest.approx(0.02)
    assert min(rates) > 0


def test_draws_differ_between_steps_and_processes_and_not_between_calls(tmp_path: Path) -> None:
    teams = [Team(rank, 2, "cpu", tmp_path) for rank in range(2)]
    drawn = {(t.rank, step): t.draws(7, step).random() for t in teams for step in range(50)}
    assert len(set(drawn.values())) == 100
    assert drawn[1, 3] == teams[1].draws(7, 3).random()


@pytest.mark.parametrize("words", [NASTY, NASTY[::-1], sorted(NASTY), list(VOCABULARY)])
def test_every_word_is_one_token_whatever_other_words_hide_in_it(
    words: list[str], tmp_path: Path
) -> None:
    write_vocabulary(words, tmp_path)
    tokenize = tokenizer(tmp_path)
    tokens = {word: tokenize.tokenize(word) for word in words}
    assert {word: len(pieces) for word, pieces in tokens.items() if len(pieces) != 1} == {}
    ids = [tokenize.convert_tokens_to_ids(pieces[0]) for pieces in tokens.values()]
    assert len(set(ids)) == len(words)
    assert tokenize.unk_token_id not in ids


def test_sentences_become_their_words_and_come_back(tmp_path: Path) -> None:
    write_vocabulary(VOCABULARY, tmp_path)
    tokenize = tokenizer(tmp_path)
    for description in descriptions()[::97]:
        text = caption(description, "overhead")
        row = tokenize([text]).input_ids[0]
        assert row[0] == tokenize.bos_token_id
        assert row[-1] == tokenize.eos_token_id
        assert len(row) == 2 + len(text.replace(",", " ,").split())
        back = tokenize.decode(row, skip_special_tokens=True).replace(" ,", ",").strip()
        assert back == text
        assert parse(back) == description


def test_unknown_words_become_pieces_and_long_texts_are_cut(tmp_path: Path) -> None:
    write_vocabulary(VOCABULARY, tmp_path)
    tokenize = tokenizer(tmp_path)
    assert len(tokenize.tokenize("zxq")) == 3
    ids = token_ids(tokenize, ["a red mug", "a red mug " * 20, ""])
    assert ids.shape == (3, TOKENS)
    assert int(ids.max()) == len(tokenize) - 1
    assert ids[2].tolist() == [len(tokenize) - 2] + [len(tokenize) - 1] * (TOKENS - 1)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "BLOCK", 4)


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_cache_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(sentence: str) -> None:
        said.append(sentence)

    said: list[str] = []
    whole = dataset.draw(tmp_path / "whole", 3, 10, 8, say=say)
    assert len(whole) == 12
    assert said == ["world 3: 12 pictures"]
    whole_folder, broken_folder = (tmp_path / n / "world-3-8" for n in ("whole", "broken"))
    real, drawn = dataset._draw_block, []

    def killed_in_block_1(job: tuple[str, int, str, int]) -> None:
        drawn.append(job[2])
        if job[2] == "00001" and drawn.count("00001") == 1:
            # The pictures are there in part, and the captions are not.
            (broken_folder / "00001.raw").write_bytes(b"half")
            raise KilledError
        real(job)

    monkeypatch.setattr(dataset, "_draw_block", killed_in_block_1)
    with pytest.raises(KilledError):
        dataset.draw(tmp_path / "broken", 3, 10, 8, say=say)
    completed = dataset.draw(tmp_path / "broken", 3, 10, 8, say=say)
    assert drawn == ["00000", "00001", "00001", "00002"]
    assert np.array_equal(completed.pictures, whole.pictures)
    assert completed.captions == whole.captions
    assert np.array_equal(completed.views, whole.views)
    assert np.array_equal(completed.has_front, whole.has_front)
    assert sorted(p.name for p in broken_folder.iterdir()) == sorted(
        p.name for p in whole_folder.iterdir()
    )


@pytest.mark.usefixtures("small_blocks")
def test_a_block_that_was_cut_short_is_drawn_again(tmp_path: Path) -> None:
    whole = dataset.draw(tmp_path, 3, 4, 8)
    raw = tmp_path / "world-3-8" / "00000.raw"
    raw.write_bytes(raw.read_bytes()[:-1])
    assert np.array_equal(dataset.draw(tmp_path, 3, 4, 8).pictures, whole.pictures)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_two_objects_follow_the_worlds_own(tmp_path: Path) -> None:
    plain = dataset.draw(tmp_path, 3, 8, 8)
    both = dataset.draw(tmp_path, 3, 8, 8, pairs=6)
    assert len(both) == 16
    assert np.array_equal(both.pictures[:8], plain.pictures)
    told = [caption for caption in both.captions[8:] if caption]
    assert told
    assert all(parse(caption).other is not None for caption in told)
    assert len({picture.tobytes() for picture in both.pictures}) == 16


@pytest.mark.usefixtures("small_blocks")
def test_a_cache_holds_the_worlds_own_pictures(tmp_path: Path) -> None:
    cached, drawn = dataset.draw(tmp_path, 3, 8, 8), batch(3, 0, 8, 8)
    assert np.array_equal(cached.pictures, drawn.pictures)
    assert cached.captions == drawn.captions
    assert [["front", "side", "back", "overhead"][i] for i in cached.views] == drawn.views


@pytest.mark.parametrize("changes", [{"size": "65"}, {"stages": ("vae", "gan")}])
def test_unknown_sizes_and_stages_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict
) -> None:
    with pytest.raises(InputError, match="Choose"):
        train(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_training_leaves_its_checkpoints_samples_and_log() -> None:
    folder = small_networks.trained() / "training"
    names = {path.name for path in folder.iterdir()}
    assert names >= {f"{stage}.safetensors" for stage in ("vae", "unet", "clip", "views")}
    assert names >= {"samples-000002.png", "world-1-16", "world-2-16", "latents.json"}
    assert not [name for name in names if "part" in name]
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["vae", "unet", "clip", "views", "points"]
    assert all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize("name", ["prior-tiny", "judge-tiny"])
def test_the_card_names_every_file_by_its_sha256(name: str) -> None:
    folder = small_networks.trained() / name
    card = check_files(folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "card.json"]
    assert sorted(card["sha256"]) == sorted(str(path.relative_to(folder)) for path in files)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert card["sha256"][str(path.relative_to(folder))] == digest
    assert card["wording"] == WORDING.tables()
    assert not list(folder.parent.glob("*.part"))


def test_the_packed_prior_holds_the_averaged_weights() -> None:
    folder = small_networks.trained()
    prior = StableDiffusion.load(folder / "prior-tiny")
    average = load_file(folder / "training" / "unet.safetensors")
    for name, value in prior.unet.state_dict().items():
        assert torch.equal(value, average[f"average.unet.{name}"].half().float()), name
    for name, value in prior.text_encoder.state_dict().items():
        assert torch.equal(value, average[f"average.text.{name}"].half().float()), name
    factor = json.loads((folder / "training" / "latents.json").read_text())["factor"]
    assert prior.scaling_factor == factor
    assert prior.prediction_type == "v_prediction"
    assert prior.image_size == 16
    assert prior.latent_shape == (LATENT_CHANNELS, 4, 4)


def test_the_packed_prior_works_and_knows_its_words() -> None:
    inner = StableDiffusion.load(small_networks.trained() / "prior-tiny")
    prior = Worded(inner, WORDING)
    words = prior.condition(["a red mug, front view", "Front view of a RED cup"])
    assert torch.equal(words.embedding[0], words.embedding[1])
    eps = prior.predict(torch.ones(2, LATENT_CHANNELS, 4, 4), torch.tensor([1, 999]), [words])
    assert torch.isfinite(eps).all()
    assert prior.decode(prior.encode(torch.rand(1, 16, 16, 3))).shape == (1, 16, 16, 3)


def test_other_libraries_read_the_packed_prior() -> None:
    from diffusers import StableDiffusionPipeline

    folder = small_networks.trained() / "prior-tiny"
    options = {"local_files_only": True, "torch_dtype": torch.float32}
    pipeline = StableDiffusionPipeline.from_pretrained(folder, **options)
    size = {"height": 16, "width": 16}
    drawn = pipeline("a red mug", num_inference_steps=2, output_type="np", **size).images
    assert drawn.shape == (1, 16, 16, 3)
    assert np.isfinite(drawn).all()


def test_the_packed_judge_works() -> None:
    judge = Judge.load(small_networks.trained() / "judge-tiny")
    views = Views.ring(4, size=16)
    verdict = judge.verdict(torch.rand(4, 16, 16, 3), parse("a red and blue mug"), views)
    for name in ("prompt_right", "kind_right", "colour_right", "clip_score", "view_right"):
        values = getattr(verdict, name)
        assert values.shape == (4,)
        assert torch.isfinite(values).all()
    torch.testing.assert_close(
        judge.view_probabilities(torch.rand(3, 16, 16, 3)).sum(1), torch.ones(3)
    )
    assert judge.wording.tables() == WORDING.tables()


@pytest.mark.parametrize("name", ["card.json", "views/model.safetensors", "clip/vocab.json"])
def test_a_damaged_judge_is_refused(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_networks.trained() / "judge-tiny", tmp_path / "judge"))
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(PriorError):
        Judge.load(folder)
    (folder / name).unlink()
    with pytest.raises(PriorError):
        Judge.load(folder)


def test_checkpoints_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(2, 2)

    def loss(_draws: np.random.Generator, _step: int) -> Tensor:
        return network.weight.square().sum()

    train_stage(plan("line", 2), network, loss, team(tmp_path), seed=0)
    before = (tmp_path / "line.safetensors").read_bytes()

    def cut_short(_tensors: dict, path: Path, **_named: object) -> None:
        Path(path).write_bytes(b"half")
        raise KilledError

    monkeypatch.setattr(trainer, "save_file", cut_short)
    with pytest.raises(KilledError):
        train_stage(plan("line", 4), network, loss, team(tmp_path), seed=0)
    assert (tmp_path / "line.safetensors").read_bytes() == before


def test_broken_pictures_keep_colours_and_show_nothing() -> None:
    drawn = batch(5, 0, 24, 32).pictures
    true = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
    draws = np.random.Generator(np.random.Philox(1))
    broken = judge_stages.broken(true, draws)
    again = judge_stages.broken(true, np.random.Generator(np.random.Philox(1)))
    assert torch.equal(broken, again)
    assert broken.shape == true.shape
    assert float(broken.abs().max()) <= 1
    means = (broken.mean((2, 3)) - true.mean((2, 3))).abs().amax(dim=1)
    # Tiles and blobs only move the colours about; halves are of two pictures.
    assert 8 <= int((means < 0.01).sum()) < 24
    assert (broken - true).abs().mean((1, 2, 3)).min() > 0.01
