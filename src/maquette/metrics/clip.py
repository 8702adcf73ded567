"""CLIP scores of any CLIP in the transformers layout: the embedded judge or OpenAI's, by one code.

Pictures are resized and normalised here in torch as the model's ``preprocessor_config.json`` says.
Renders are square, so that no cropping is needed; other pictures are squeezed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from maquette.errors import InputError
from maquette.priors.loading import FAULTS, cannot_load, load_module, load_tokenizer

__all__ = ["Clip", "clip_score", "prepare"]


class Clip:
    """A CLIP model with its tokenizer and picture preparation.

    Args:
        model: a transformers ``CLIPModel`` or ``VisionTextDualEncoderModel``.
        tokenizer: its ``CLIPTokenizer``.
        preparation: ``image_mean`` and ``image_std``, three numbers each.
    """

    def __init__(self, model: Any, tokenizer: Any, preparation: Mapping[str, Any]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.preparation = tokenizer, preparation
        self._texts: dict[str, Tensor] = {}

    @staticmethod
    def load(folder: Path | str) -> Clip:
        """Load a folder in the transformers layout from disk; never from the network.

        Args:
            folder: with ``config.json``, safetensors weights, a tokenizer and
                ``preprocessor_config.json``.

        Raises:
            PriorError: where it is missing or damaged.
        """
        from transformers import CLIPModel, VisionTextDualEncoderModel

        folder = Path(folder)
        forms = {"clip": CLIPModel, "vision-text-dual-encoder": VisionTextDualEncoderModel}
        try:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
            form = forms[kind]
            text = (folder / "preprocessor_config.json").read_text(encoding="utf-8")
            config = json.loads(text)
            preparation = {
                key: [float(config[key][c]) for c in range(3)]
                for key in ("image_mean", "image_std")
            }
        except (*FAULTS, IndexError) as fault:
            raise cannot_load(folder, fault) from fault
        model = load_module(form, folder, dtype=torch.float32)
        return Clip(model, load_tokenizer(folder), preparation)

    @torch.no_grad()
    def picture_features(self, pictures: Tensor) -> Tensor:
        """Unit vectors ``[B, E]`` of pictures ``[B, H, W, 3]`` in [0, 1]."""
        prepared = prepare(pictures, self.preparation, self.model.config.vision_config.image_size)
        return normalize(_tensor(self.model.get_image_features(pixel_values=prepared)), dim=-1)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors ``[B, E]`` of texts; each text is encoded once."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if fresh:
            ids = self.tokenizer(
                fresh,
                padding="max_length",
                max_length=self.model.config.text_config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            features = normalize(_tensor(self.model.get_text_features(input_ids=ids)), dim=-1)
            self._texts.update(zip(fresh, features, strict=True))
        return torch.stack([self._texts[text] for text in texts])


def clip_score(clip: Clip, pictures: Tensor, prompt: str) -> Tensor:
    """``100 max(cos, 0)`` per picture, ``[B]`` (Hessel et al. 2021, as torchmetrics scales it).

    Args:
        clip: the model.
        pictures: ``[B, H, W, 3]`` in [0, 1].
        prompt: what all of them should show.
    """
    cosine = clip.picture_features(pictures) @ clip.text_features([prompt])[0]
    return 100 * cosine.clamp_min(0)


def prepare(pictures: Tensor, preparation: Mapping[str, Any], side: int) -> Tensor:
    """``[B, 3, side, side]`` normalised pictures from ``[B, H, W, 3]`` in [0, 1].

    Args:
        pictures: of any size; resized with an antialiased bicubic filter where needed.
        preparation: ``image_mean`` and ``image_std``, three numbers each.
        side: of the pictures that the model takes.

    Raises:
        InputError: these are no pictures of three channels.
    """
    if pictures.dim() != 4 or pictures.shape[-1] != 3:
        raise InputError(f"A tensor of shape {list(pictures.shape)} holds no pictures [B, H, W, 3]")
    channels_first = pictures.permute(0, 3, 1, 2).float()
    if channels_first.shape[-2:] != (side, side):
        resized = interpolate(channels_first, (side, side), mode="bicubic", antialias=True)
        channels_first = resized.clamp(0, 1)
    mean, deviation = (
        channels_first.new_tensor(preparation[key])[:, None, None]
        for key in ("image_mean", "image_std")
    )
    return (channels_first - mean) / deviation


def _tensor(features: Any) -> Tensor:
    # Newer transformers wrap the projected features in an output record.
    return getattr(features, "pooler_output", features)
