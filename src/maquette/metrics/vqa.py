"""VQAScore: asked whether the picture shows the prompt, how probable is it that the model says yes?

Lin et al. 2024, with the question and the answer of their section 3. It works on any
vision-language model of transformers that is stored with its processor:

- an encoder-decoder (their own CLIP-FlanT5 is one, BLIP-2 with T5 another) is asked for the
  probability of the whole answer, the geometric mean over its tokens, the end of the text included
  where the tokenizer writes one: ``exp(-mean cross-entropy)``;
- a decoder alone is asked for the probability of the answer's first token after the question.

The two forms have different scales, and so have two models: state the model with the number.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.metrics.pictures import check_pictures
from maquette.priors.loading import FAULTS, cannot_load, load_module

__all__ = ["ANSWER", "CLIP_FLANT5", "QUESTION", "Asker", "vqa_score"]

QUESTION, ANSWER = 'Does this figure show "{}"? Please answer yes or no.', "Yes"

CLIP_FLANT5 = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. "
    "USER: <image>\n{} ASSISTANT: "
)
"""What CLIP-FlanT5 was trained to read around a question; for ``Asker.wrapping``."""


@dataclass(frozen=True, eq=False)
class Asker:
    """A vision-language model, and how it is asked."""

    model: Any
    """A transformers model that answers about pictures in text."""

    processor: Any
    """Its processor, of pictures and text together."""

    question: str = QUESTION
    """With ``{}`` where the prompt goes."""

    answer: str = ANSWER
    """What is hoped for."""

    wrapping: str = ""
    """What the model reads, with ``{}`` where the question goes and its own token for the picture;
    empty takes the processor's chat template, or the bare question where it has none."""

    batch: int = 4
    """Pictures at a time; it changes the memory that is needed and not the answers."""

    @staticmethod
    def load(
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        wrapping: str = "",
    ) -> Asker:
        """Load a folder in the transformers layout from disk; never from the network.

        Args:
            folder: with ``config.json``, safetensors weights, a tokenizer and the processor's
                files, as ``huggingface_hub`` or ``save_pretrained`` leaves it.
            device: where the model shall live.
            dtype: of its weights.
            wrapping: as the field.

        Raises:
            PriorError: it is missing, damaged, or no model that answers in text.
        """
        folder = Path(folder)
        kind = _kind(folder)
        model = load_module(kind, folder, dtype=dtype).to(device)
        from transformers import AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        except (*FAULTS, ImportError) as fault:
            raise cannot_load(folder, fault) from fault
        # Of an incomplete folder the library makes what is left: a tokenizer alone.
        if getattr(processor, "image_processor", None) is None:
            raise cannot_load(folder, "it has no files of a processor of pictures")
        return Asker(model.eval().requires_grad_(False), processor, wrapping=wrapping)

    def asked(self, prompt: str) -> str:
        """The whole text that the model reads about ``prompt``."""
        question = self.question.replace("{}", prompt)
        if self.wrapping:
            return self.wrapping.replace("{}", question)
        processor = self.processor
        if getattr(processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            talk = [{"role": "user", "content": content}]
            return processor.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
        token = getattr(processor, "image_token", None)
        # The processors of BLIP-2 and its kin put the picture's tokens in by themselves.
        if token is None or getattr(processor, "num_query_tokens", None) is not None:
            return question
        return f"{token}\n{question}"


@torch.no_grad()
def vqa_score(asker: Asker, pictures: Tensor, prompt: str) -> Tensor:
    """The probability that each picture shows the prompt, ``[B]`` float64 in [0, 1].

    CoGrad3D averages it over six views, 60 degrees apart (appendix A.2).

    Args:
        asker: the model.
        pictures: ``[B, H, W, 3]`` in [0, 1]; padded to squares as the paper does.
        prompt: what all of them should show.

    Raises:
        InputError: these are no pictures, or the tokenizer has no words for the answer.
    """
    check_pictures(pictures)
    text, images = asker.asked(prompt), _images(pictures, asker.processor)
    answer = _answer(asker)
    parts = [images[start : start + asker.batch] for start in range(0, len(images), asker.batch)]
    found = [_probability(asker, part, text, answer) for part in parts]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _probability(asker: Asker, images: Sequence[Any], text: str, answer: list[int]) -> Tensor:
    given = _inputs(asker, images, text)
    if not asker.model.config.is_encoder_decoder:
        if "logits_to_keep" in inspect.signature(asker.model.forward).parameters:
            given["logits_to_keep"] = 1  # Those of the long text before are never looked at.
        last = asker.model(**given).logits[:, -1].double()
        return last.softmax(dim=-1)[:, answer[0]].cpu()
    labels = torch.tensor(answer, device=asker.model.device).expand(len(images), -1)
    logits = asker.model(**given, labels=labels.contiguous()).logits.double()
    told = logits.log_softmax(dim=-1).gather(-1, labels[..., None])[..., 0]
    return told.mean(dim=1).exp().cpu()


def _inputs(asker: Asker, images: Sequence[Any], text: str) -> dict[str, Any]:
    """What the model takes, on its device and with pictures in its precision."""
    begin = getattr(asker.processor.tokenizer, "bos_token", None)
    # A chat template writes the beginning of the text itself; it must not stand there twice.
    twice = {"add_special_tokens": False} if begin and text.startswith(begin) else {}
    made = asker.processor(
        images=list(images), text=[text] * len(images), return_tensors="pt", **twice
    )
    made.pop("labels", None)  # Some processors write labels for a training that is none here.
    return dict(made.to(asker.model.device, asker.model.dtype))


def _answer(asker: Asker) -> list[int]:
    """The answer's tokens, with the end of the text for an encoder-decoder that writes one."""
    both = bool(asker.model.config.is_encoder_decoder)
    tokens = asker.processor.tokenizer(asker.answer, add_special_tokens=both).input_ids
    unknown = getattr(asker.processor.tokenizer, "unk_token_id", None)
    if not tokens or unknown in tokens:
        raise InputError(f"The model has no token for the answer {asker.answer!r}")
    return list(tokens)


def _images(pictures: Tensor, processor: Any) -> list[Any]:
    """Pillow pictures of 8 bits, padded to squares with the mean colour of the model's pictures."""
    from PIL import Image

    mean = getattr(processor.image_processor, "image_mean", None) or (0.5, 0.5, 0.5)
    colour = (int(255 * mean[0]), int(255 * mean[1]), int(255 * mean[2]))
    bytes_ = (pictures.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    made = []
    for picture in bytes_:
        image = Image.fromarray(picture)
        side = max(image.size)
        square = Image.new("RGB", (side, side), colour)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        made.append(square)
    return made


def _kind(folder: Path) -> Any:
    """The class of the model in ``folder``: one of those that transformers lists for this task."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    try:
        text = (folder / "config.json").read_text(encoding="utf-8")
        model_type = json.loads(text)["model_type"]
        return getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[model_type])
    except KeyError as fault:
        raise cannot_load(folder, "it is no model that answers about pictures in text") from fault
    except FAULTS as fault:
        raise cannot_load(folder, fault) from fault
