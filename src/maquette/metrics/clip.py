"""CLIP scores of any CLIP in the transformers layout: the embedded judge or OpenAI's, by one code.

Pictures are resized and normalised here in torch as the model's ``preprocessor_config.json`` says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from maquette.errors import PriorError

__all__ = ["Clip", "clip_score", "prepare"]


class Clip:
    """A CLIP model with its tokenizer and picture preparation."""

    def __init__(self, model: Any, tokenizer: Any, preparation: dict[str, Any]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.preparation = tokenizer, preparation
        self._texts: dict[str, Tensor] = {}

    @staticmethod
    def load(folder: Path | str) -> Clip:
        """Load a transformers-layout folder from disk; never from the network.

        Raises:
            PriorError: where it is missing or damaged.
        """
        from transformers import CLIPModel, CLIPTokenizer

        folder = Path(folder)
        options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
        try:
            preparation = json.loads((folder / "preprocessor_config.json").read_text())
            model = CLIPModel.from_pretrained(folder, **options)
            words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as fault:
            raise PriorError(
                f"The CLIP model in {folder} cannot be loaded: {str(fault).splitlines()[0]}",
                "Give a folder in the transformers layout with safetensors weights",
            ) from fault
        return Clip(model, words, preparation)

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
    """``100 max(cos, 0)`` per picture, ``[B]`` (Hessel et al. 2021, as torchmetrics scales it)."""
    cosine = clip.picture_features(pictures) @ clip.text_features([prompt])[0]
    return 100 * cosine.clamp_min(0)


def prepare(pictures: Tensor, preparation: dict[str, Any], side: int) -> Tensor:
    """``[B, 3, side, side]`` normalised pictures from ``[B, H, W, 3]`` in [0, 1]."""
    channels_first = pictures.permute(0, 3, 1, 2).float()
    if channels_first.shape[-2:] != (side, side):
        channels_first = interpolate(
            channels_first, (side, side), mode="bicubic", antialias=True
        ).clamp(0, 1)
    mean = channels_first.new_tensor(preparation["image_mean"])[:, None, None]
    return (channels_first - mean) / channels_first.new_tensor(preparation["image_std"])[:, None, None]


def _tensor(features: Any) -> Tensor:
    # Newer transformers wrap the projected features in an output record.
    return getattr(features, "pooler_output", features)
