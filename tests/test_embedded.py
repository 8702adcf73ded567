"""The packaged weights: whole, small, as good as they have to be; and what they refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

import small_networks
from maquette.cli_prior import sample
from maquette.errors import InputError, PriorError
from maquette.priors import embedded as module
from maquette.priors.embedded import (
    Worded,
    check_files,
    embedded,
    show,
    weights_folder,
)
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.priors.text import view_texts
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.sampling import sample_latents
from maquette.toybox.captions import caption, descriptions
from maquette.toybox.judge import Judge, Verdict, true_pictures
from maquette.toybox.kinds import KINDS
from maquette.toybox.wording import WORDING

PACKAGED = ("embedded-64", "judge-64")
LARGEST_FILE_BYTES, LARGEST_SUM_BYTES = 16 << 20, 48 << 20


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def prior() -> Worded:
    return embedded()


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(weights_folder() / "judge-64")


@pytest.fixture(scope="module")
def verdicts(judge: Judge) -> list[Verdict]:
    """Of true pictures that no training saw: 16 objects of four views each, on white."""
    every = descriptions()
    chosen = [every[place * len(every) // 16 + place] for place in range(16)]
    assert len({description.kind for description in chosen}) >= 14
    found = []
    for place, description in enumerate(chosen):
        views = Views.ring(4, start_deg=10.0 * (place % 3))
        pictures = true_pictures(description, views, variation=10_000 + place)
        found.append(judge.verdict(pictures, description, views))
    return found


def mean(verdicts: list[Verdict], name: str) -> float:
    values = torch.cat([getattr(verdict, name) for verdict in verdicts])
    return float(values[torch.isfinite(values)].mean())


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_files_are_those_that_the_card_names(name: str) -> None:
    folder = weights_folder() / name
    card = json.loads((folder / "card.json").read_text())
    assert card["wording"] == WORDING.tables()
    named = {str(path.relative_to(folder)) for path in files_of(folder)} - {"card.json"}
    assert set(card["sha256"]) == named
    for file, digest in card["sha256"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest, file
    assert check_files(folder) == card


def test_packaged_weights_are_small_and_hold_no_pickle() -> None:
    files = files_of(weights_folder())
    assert len(files) >= 12
    sizes = {path: path.stat().st_size for path in files}
    assert max(sizes.values()) <= LARGEST_FILE_BYTES
    assert sum(sizes.values()) <= LARGEST_SUM_BYTES
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_the_packaged_prior_loads_as_what_it_is(prior: Worded) -> None:
    assert prior.image_size == 64
    assert prior.latent_shape == (8, 16, 16)
    assert prior.wording.tables() == WORDING.tables()
    assert prior.name == "embedded-64"
    for description in descriptions()[::499]:
        prior.check(caption(description, "side"))


def test_the_packaged_prior_has_one_fingerprint(prior: Worded) -> None:
    assert prior.fingerprint() == prior.fingerprint() == embedded().fingerprint()


def test_the_packaged_prior_draws_finite_pictures_that_differ(prior: Worded) -> None:
    texts = [*view_texts("a red and blue mug", Views.ring(2)), "a yellow ball", ""]
    pictures = prior.decode(sample_latents(prior, texts, Randomness(0), steps=12))
    assert pictures.shape == (4, 64, 64, 3)
    assert torch.isfinite(pictures).all()
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    assert (pictures.flatten(1).std(dim=1) > 0.02).all()
    assert float((pictures[0] - pictures[2]).abs().mean()) > 0.02


def test_the_packaged_autoencoder_keeps_true_pictures(prior: Worded) -> None:
    views = Views.ring(4)
    pictures = true_pictures(descriptions()[1000], views, variation=10_000)
    error = (prior.decode(prior.encode(pictures)) - pictures).square().mean()
    # 20 dB, below which kinds would be hard to tell apart.
    assert float(error) <= 10 ** (-20 / 10)


@pytest.mark.parametrize(
    ("measure", "least"),
    [("prompt_right", 0.95), ("kind_right", 0.85), ("colour_right", 0.93), ("view_right", 0.88)],
)
def test_the_packaged_judge_is_right_about_true_pictures(
    verdicts: list[Verdict], measure: str, least: float
) -> None:
    assert mean(verdicts, measure) >= least


def test_a_mirror_image_is_judged_as_the_picture_is(judge: Judge) -> None:
    shown = descriptions()[700]
    views = Views.ring(4, start_deg=20.0)
    pictures = true_pictures(shown, views, variation=10_000)
    for name in ("prompt_right", "kind_right", "colour_right", "pattern_right", "view_right"):
        own, mirrored = (
            getattr(judge.verdict(seen, shown, views), name)
            for seen in (pictures, pictures.flip(2))
        )
        torch.testing.assert_close(own, mirrored, equal_nan=True)
    torch.testing.assert_close(
        judge.view_probabilities(pictures), judge.view_probabilities(pictures.flip(2))
    )


def test_the_packaged_judge_is_not_right_about_everything(judge: Judge) -> None:
    every = [d for d in descriptions() if KINDS[d.kind].slots == 2]
    seen, asked = every[100], every[-100]
    views = Views.ring(4)
    verdict = judge.verdict(true_pictures(seen, views, variation=10_000), asked, views)
    assert mean([verdict], "prompt_right") <= 0.25
    assert mean([verdict], "kind_right") <= 0.25


class _Silent(StableDiffusion):
    """Loads nothing and answers nothing."""

    def __init__(self) -> None:
        self.schedule = self.text_encoder = self.unet = None  # pyright: ignore
        self.image_size, self.latent_shape, self.name = 64, (4, 16, 16), "small"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a red dragon", r"does not know 'dragon'\. .*It knows these words: small, big"),
        ("a red dukc", r"does not know 'dukc'\. Did you mean 'duck'\?"),
        ("a transparent metal duck", r"does not know 'transparent', 'metal'\."),
        ("ein roter Becher", r"does not know 'ein', 'roter', 'becher'\."),
        ("a red mug and a duck", r"mug and duck"),
        ("blue and red", r"one of these belongs"),
        ("x " * 400, r"does not know 'x'\."),
    ],
)
def test_what_is_not_understood_is_refused_with_the_known_words(prompt: str, message: str) -> None:
    prior = Worded(_Silent(), WORDING)
    with pytest.raises(InputError, match=message) as fault:
        prior.check(prompt)
    sentence = str(fault.value)
    assert "--prior FOLDER" in sentence
    assert ".." not in sentence
    assert "teddy bear" in sentence


@pytest.mark.parametrize("prompt", ["a red and blue mug", "A Yellow DUCK, side view", "Duck!", ""])
def test_known_words_are_welcome_as_people_write_them(prompt: str) -> None:
    Worded(_Silent(), WORDING).check(prompt)


@pytest.fixture
def own_weights(monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = small_networks.trained()
    monkeypatch.setattr(module, "weights_folder", lambda: folder)
    return folder


def test_packaged_weights_of_any_name_are_loaded_by_the_same_code(own_weights: Path) -> None:
    prior = embedded("prior-tiny")
    assert prior.name == "prior-tiny"
    assert prior.fingerprint() == StableDiffusion.load(own_weights / "prior-tiny").fingerprint()
    pictures = prior.decode(sample_latents(prior, ["a red mug"], Randomness(0), steps=2))
    assert pictures.shape == (1, 16, 16, 3)


@pytest.mark.usefixtures("own_weights")
def test_missing_weights_are_a_prior_error() -> None:
    for ask in (embedded, show):
        with pytest.raises(PriorError, match="Install maquette3d again"):
            ask("nothing")


@pytest.mark.usefixtures("own_weights")
def test_show_tells_words_training_and_files() -> None:
    text = show("judge-tiny")
    assert "teddy bear" in text
    assert "clip: 128 samples" in text
    assert "views/model.safetensors" in text


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_networks.trained() / "prior-tiny", tmp_path / "copy"))
    file = folder / "vae" / "config.json"
    file.write_text(file.read_text() + " ")
    with pytest.raises(PriorError, match=r"vae.config\.json is damaged"):
        check_files(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": 3, "words": []}', '{"sha256": {}}'])
def test_a_card_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(PriorError, match="cannot be read"):
        check_files(tmp_path)


def test_the_sheet_of_samples_has_a_picture_for_each_count(tmp_path: Path) -> None:
    from PIL import Image

    folder = str(small_networks.trained() / "prior-tiny")
    options = {"prior": folder, "count": 3, "steps": 2, "seed": 3, "scale": 1}
    sample("a red mug", tmp_path / "sheet.png", **options)
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size[0] >= 3 * 16
        assert picture.size[1] >= 16
    sample("a red mug", tmp_path / "again.png", **options)
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    with pytest.raises(InputError):
        sample("a red mug", tmp_path / "none.png", prior=folder, count=0)


def test_samples_are_keyed_by_seed_and_row() -> None:
    prior = StableDiffusion.load(small_networks.trained() / "prior-tiny")

    def drawn(texts: list[str], seed: int) -> Tensor:
        return sample_latents(prior, texts, Randomness(seed), steps=3)

    one, two = drawn(["a red mug"], 0), drawn(["a red mug", "a duck"], 0)
    # Large steps from pure noise magnify the rounding of another batch size.
    assert float((one - two[:1]).abs().max()) < 1e-2 * float(one.abs().max())
    assert not torch.allclose(one, drawn(["a red mug"], 1))
