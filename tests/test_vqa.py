"""VQAScore: exact on logits that are known, and step by step on small models of both kinds."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import small_askers
import small_judges
from maquette.errors import InputError, PriorError
from maquette.metrics.vqa import CLIP_FLANT5, QUESTION, Asker, vqa_score

YES, END = 20, 1
TEMPLATE = (
    "<s>USER : {% for part in messages[0].content %}"
    "{% if part.type == 'image' %}<image>{% else %} {{ part.text }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def both() -> Asker:
    return Asker.load(small_askers.blip2())


@pytest.fixture(scope="module")
def decoder() -> Asker:
    return Asker.load(small_askers.llava())


def pictures(count: int, size: int = 8) -> Tensor:
    return small_judges.pictures(count, size)


class Fixed:
    """A model whose answers are known: logits by place, the same for every picture."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, probabilities: list[dict[int, float]], *, both: bool) -> None:
        self.config = SimpleNamespace(is_encoder_decoder=both)
        rows = torch.full((len(probabilities), 30), 1e-12)
        for row, known in enumerate(probabilities):
            for token, probability in known.items():
                rows[row, token] = probability
            rows[row, 29] = 1 - sum(known.values())
        # A constant on top changes no probability.
        self.logits = rows.log() + 3

    def __call__(self, **given: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits.expand(len(given["pixel_values"]), -1, -1))

    forward = __call__


def test_an_encoder_decoder_gives_the_geometric_mean_over_the_answer(both: Asker) -> None:
    yes = both.processor.tokenizer("Yes").input_ids
    assert len(yes) == 2
    assert yes[1] == END
    known = Fixed([{yes[0]: 0.5}, {END: 0.125}], both=True)
    found = vqa_score(Asker(known, both.processor), pictures(3), "a mug")
    np.testing.assert_allclose(found.numpy(), [0.25] * 3, rtol=1e-6)


def test_a_decoder_gives_the_probability_of_the_first_token(decoder: Asker) -> None:
    yes = decoder.processor.tokenizer("Yes", add_special_tokens=False).input_ids
    known = Fixed([{yes[0]: 0.9}, {yes[0]: 0.3, 7: 0.2}], both=False)
    found = vqa_score(Asker(known, decoder.processor), pictures(2), "a mug")
    np.testing.assert_allclose(found.numpy(), [0.3, 0.3], rtol=1e-6)


def inputs_by_hand(asker: Asker, picture: Tensor, text: str) -> dict[str, Any]:
    image = Image.fromarray((picture * 255).round().byte().numpy())
    made = asker.processor(images=[image], text=[text], return_tensors="pt")
    return {k: made[k] for k in ("pixel_values", "input_ids", "attention_mask")}


def log_probabilities(logits: Tensor) -> np.ndarray:
    values = logits.double().numpy()
    return values - np.log(np.exp(values - values.max()).sum()) - values.max()


def test_an_encoder_decoder_agrees_with_its_answer_step_by_step(both: Asker) -> None:
    prompt = "a red mug"
    text = f'Does this figure show "{prompt}"? Please answer yes or no.'
    assert both.asked(prompt) == text
    yes = both.processor.tokenizer.convert_tokens_to_ids("Yes")
    expected = []
    for picture in pictures(3):
        given, told, begun = inputs_by_hand(both, picture, text), [], [0]
        for token in (yes, END):
            with torch.no_grad():
                answer = both.model(**given, decoder_input_ids=torch.tensor([begun])).logits[0, -1]
            told.append(log_probabilities(answer)[token])
            begun.append(token)
        expected.append(np.exp(np.mean(told)))
    found = vqa_score(both, pictures(3), prompt)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert np.ptp(expected) > 1e-6


def test_a_decoder_agrees_with_the_whole_answer_of_the_model(decoder: Asker) -> None:
    prompt = "a blue mug"
    text = f'<image>\nDoes this figure show "{prompt}"? Please answer yes or no.'
    assert decoder.asked(prompt) == text
    yes = decoder.processor.tokenizer.convert_tokens_to_ids("Yes")
    expected = []
    for picture in pictures(3):
        given = inputs_by_hand(decoder, picture, text)
        assert given["input_ids"][0].tolist().count(4) == 4, "one token for each patch"
        with torch.no_grad():
            answer = decoder.model(**given).logits[0]
        expected.append(np.exp(log_probabilities(answer[-1])[yes]))
    found = vqa_score(decoder, pictures(3), prompt)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert np.ptp(expected) > 1e-6


@pytest.mark.parametrize("kind", ["both", "decoder"])
def test_neither_the_batch_nor_the_order_matters(kind: str, both: Asker, decoder: Asker) -> None:
    asker = {"both": both, "decoder": decoder}[kind]
    given = pictures(5)
    found = vqa_score(asker, given, "a mug")
    assert ((found > 0) & (found < 1)).all()
    for batch in (1, 2, 5, 9):
        again = Asker(asker.model, asker.processor, batch=batch)
        torch.testing.assert_close(vqa_score(again, given, "a mug"), found, rtol=1e-5, atol=1e-9)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = vqa_score(asker, given[order], "a mug")
    torch.testing.assert_close(turned, found[order], rtol=1e-5, atol=1e-9)
    other = vqa_score(asker, given, "a red mug")
    assert not torch.allclose(other, found, rtol=1e-4)
    assert vqa_score(asker, given[:0], "a mug").shape == (0,)


def test_a_chat_template_is_followed_and_begins_the_text_once() -> None:
    asker = Asker.load(small_askers.llava(TEMPLATE))
    text = asker.asked("a mug")
    assert text == f"<s>USER : <image> {QUESTION.replace('{}', 'a mug')}"
    seen: list[Tensor] = []

    class Watched(Fixed):
        def __call__(self, **given: Any) -> SimpleNamespace:
            seen.append(given["input_ids"])
            return super().__call__(**given)

        forward = __call__

    model = Watched([{YES: 0.5}], both=False)
    vqa_score(Asker(model, asker.processor), pictures(1), "a mug")
    assert seen[0][0].tolist().count(3) == 1


def test_a_wrapping_takes_the_question(both: Asker) -> None:
    asker = Asker(both.model, both.processor, wrapping=CLIP_FLANT5)
    text = asker.asked("a {} mug")
    question = 'Does this figure show "a {} mug"? Please answer yes or no.'
    assert text.endswith(f"USER: <image>\n{question} ASSISTANT: ")


def test_pictures_that_are_no_squares_are_padded_with_the_mean_colour(both: Asker) -> None:
    mean = [int(255 * each) for each in both.processor.image_processor.image_mean]
    wide = pictures(1)[:, :4]
    square = torch.tensor(mean).div(255).expand(1, 8, 8, 3).clone()
    square[:, 2:6] = wide
    found = vqa_score(both, wide, "a mug")
    torch.testing.assert_close(found, vqa_score(both, square, "a mug"))


def test_an_answer_without_a_token_is_refused(both: Asker) -> None:
    with pytest.raises(InputError, match="no token for the answer 'Sure'"):
        vqa_score(Asker(both.model, both.processor, answer="Sure"), pictures(1), "a mug")
    with pytest.raises(InputError, match="no pictures"):
        vqa_score(both, torch.zeros(1, 3, 8, 8), "a mug")


def broken(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_askers.llava(), tmp_path / "llava"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "processor_config.json"])
def test_a_missing_file_is_a_prior_error(name: str, tmp_path: Path) -> None:
    folder = broken(tmp_path)
    (folder / name).unlink()
    with pytest.raises(PriorError, match="cannot be loaded"):
        Asker.load(folder)


@pytest.mark.parametrize("text", ["{", "{}", '{"model_type": "clip"}', '{"model_type": 3}'])
def test_a_model_that_does_not_answer_is_refused(text: str, tmp_path: Path) -> None:
    folder = broken(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(PriorError, match="cannot be loaded"):
        Asker.load(folder)
