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
from maquette.metrics.pictures import check_pictures
from maquette.priors.loading import FAULTS, cannot_load, load_module, load_tokenizer

__all__ = [
    "Clip",
    "clip_cosine",
    "clip_score",
    "deviation_over_prompts",
    "deviation_over_views",
    "mean_clip_score",
    "prepare",
]


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
    return 100 * clip_cosine(clip, pictures, prompt).clamp_min(0)


def clip_cosine(clip: Clip, pictures: Tensor, prompt: str) -> Tensor:
    """The bare cosine per picture, ``[B]``: what Dreamer XL's table calls its CLIP score."""
    return clip.picture_features(pictures) @ clip.text_features([prompt])[0]


def mean_clip_score(clip: Clip, pictures: Tensor, prompt: str) -> float:
    """The mean of :func:`clip_score` over the views of one asset (PTD and CoGrad3D, table 1).

    Papers print its mean over prompts. State the model, the views and the background with it.

    Raises:
        InputError: there are no pictures.
    """
    if len(pictures) == 0:
        raise InputError("There are no pictures to score")
    return clip_score(clip, pictures, prompt).double().mean().item()


def deviation_over_prompts(scores: Tensor) -> float:
    """How much scores of one angle differ between prompts, averaged over the angles.

    CoGrad3D (Tong et al. 2026), table 1, as its appendix A.2 tells it: the spread "on the same
    view", as a sign of stability "across different prompts". Divided by n - 1; the paper does not
    say by what.

    Args:
        scores: ``[P, V]``, one row per prompt, one column per angle.

    Raises:
        InputError: there are fewer than two prompts or no angle.
    """
    return _mean_deviation(scores, dim=0, what="prompts")


def deviation_over_views(scores: Tensor) -> float:
    """How much the scores of one asset differ between angles, averaged over the prompts.

    The other reading of the same column of CoGrad3D: section 4.1 speaks of results "rendered at
    each angle", and its values, 1.0 to 1.6, are of the size that angles of one asset differ by.

    Args:
        scores: ``[P, V]``, one row per prompt, one column per angle.

    Raises:
        InputError: there are fewer than two angles or no prompt.
    """
    return _mean_deviation(scores, dim=1, what="angles")


def _mean_deviation(scores: Tensor, dim: int, what: str) -> float:
    if scores.dim() != 2 or scores.shape[dim] < 2 or scores.numel() == 0:
        raise InputError(f"Scores of shape {list(scores.shape)} have no spread over {what}")
    return scores.double().std(dim=dim).mean().item()


def prepare(pictures: Tensor, preparation: Mapping[str, Any], side: int) -> Tensor:
    """``[B, 3, side, side]`` normalised pictures from ``[B, H, W, 3]`` in [0, 1].

    Args:
        pictures: of any size; resized with an antialiased bicubic filter where needed.
        preparation: ``image_mean`` and ``image_std``, three numbers each.
        side: of the pictures that the model takes.

    Raises:
        InputError: these are no pictures of three channels.
    """
    check_pictures(pictures)
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
