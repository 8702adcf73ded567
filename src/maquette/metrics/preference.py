"""What people would prefer: ImageReward, PickScore and the aesthetic predictor.

Three networks that were trained on human choices or ratings of pictures. Each is read from a
folder of safetensors; each folder's layout stands at its loader. The published files of the first
and the third are pickled: the error about a missing file shows the command that turns them over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maquette.errors import PriorError
from maquette.metrics.clip import Clip, clip_cosine, prepare
from maquette.metrics.weights import Source, fill, read_config, read_weights
from maquette.priors.loading import FAULTS

__all__ = [
    "AESTHETIC",
    "IMAGE_REWARD",
    "PICK_SCORE",
    "Aesthetic",
    "ImageReward",
    "aesthetic_score",
    "image_reward",
    "load_pick_score",
    "pick_score",
]

_HUB = "https://huggingface.co"
IMAGE_REWARD = Source(
    (
        f"{_HUB}/THUDM/ImageReward/resolve/main/ImageReward.pt",
        f"{_HUB}/google-bert/bert-base-uncased/resolve/main/vocab.txt",
    ),
    ("blip.visual_encoder.", "blip.text_encoder.", "mlp."),
    {
        "vision": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
        | {"num_attention_heads": 16, "image_size": 224, "patch_size": 16},
        "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
        | {"num_attention_heads": 12, "vocab_size": 30524, "max_position_embeddings": 512},
    },
)
AESTHETIC = Source(
    (
        "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
        "sac+logos+ava1-l14-linearMSE.pth",
    ),
    ("layers.",),
)
PICK_SCORE = "hf download yuvalkirstain/PickScore_v1 --exclude '*.bin' --local-dir {}"
"""The command that makes its folder; its files are safetensors as they are."""

REWARD_MEAN, REWARD_DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Of the rewards that the authors' validation pictures got: these are subtracted and divided by."""

PROMPT_TOKENS = 35
"""Longer prompts are cut, as in training."""

CLIP_PREPARATION = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
"""What BLIP's pictures are normalised with: the same numbers as CLIP's."""


class ImageReward:
    """The reward model of Xu et al. 2023: BLIP reads the prompt while it looks at the picture.

    Args:
        vision: a transformers ``BlipVisionModel``.
        text: a transformers ``BlipTextModel`` with cross-attention.
        head: from the first token's state to one number.
        tokenizer: a ``BertTokenizer``.
    """

    def __init__(self, vision: Any, text: Any, head: nn.Module, tokenizer: Any) -> None:
        self.vision, self.text, self.head, self.tokenizer = vision, text, head, tokenizer

    @staticmethod
    def load(folder: Path | str, device: torch.device | str = "cpu") -> ImageReward:
        """Read a folder from disk; never from the network.

        Args:
            folder: with ``model.safetensors``, which has the names of the published
                ``ImageReward.pt``; ``config.json`` with the maps ``vision`` and ``text``, the
                fields of ``BlipVisionConfig`` and ``BlipTextConfig``; and ``vocab.txt`` of
                ``bert-base-uncased``.
            device: where it shall live.

        Raises:
            PriorError: it is missing or damaged; with the command that makes it.
        """
        folder = Path(folder)
        config = read_config(folder, IMAGE_REWARD)
        tokenizer = _bert_tokenizer(folder)
        weights = _in_our_names(read_weights(folder, IMAGE_REWARD))
        whole = nn.ModuleDict(_blip(folder, config))
        whole["head"] = _linear_chain(_under(weights, "head."), folder, IMAGE_REWARD)
        fill(whole, weights, folder, IMAGE_REWARD)
        whole.to(device)
        return ImageReward(whole["vision"], whole["text"], whole["head"], tokenizer)

    @torch.no_grad()
    def rewards(self, pictures: Tensor, prompt: str) -> Tensor:
        """``[B]`` rewards before normalisation; arguments as those of ``image_reward``."""
        at = self.text.device
        side = self.vision.config.image_size
        seen = self.vision(pixel_values=prepare(pictures.to(at), CLIP_PREPARATION, side))
        words = self.tokenizer(
            [prompt] * len(pictures),
            padding="max_length",
            truncation=True,
            max_length=PROMPT_TOKENS,
            return_tensors="pt",
        ).to(at)
        read = self.text(
            input_ids=words.input_ids,
            attention_mask=words.attention_mask,
            encoder_hidden_states=seen.last_hidden_state,
        )
        return self.head(read.last_hidden_state[:, 0])[:, 0]


class Aesthetic:
    """LAION's aesthetic predictor, version 2: a linear probe on CLIP's picture features.

    Args:
        clip: OpenAI's ViT-L/14; its head fits no other.
        head: from a picture's unit vector to one number.
    """

    def __init__(self, clip: Clip, head: nn.Module) -> None:
        self.clip, self.head = clip, head

    @staticmethod
    def load(folder: Path | str, clip: Clip) -> Aesthetic:
        """Read the head from disk; never from the network.

        Args:
            folder: with ``model.safetensors``, which has the names of the published file,
                ``layers.0.weight`` to ``layers.7.bias``.
            clip: what it judges the features of.

        Raises:
            PriorError: it is missing, damaged or of another CLIP; with the command that makes it.
        """
        folder = Path(folder)
        layers = _under(read_weights(folder, AESTHETIC), "layers.")
        head = _linear_chain(layers, folder, AESTHETIC)
        fill(head, layers, folder, AESTHETIC)
        width, given = layers["0.weight"].shape[1], clip.model.config.projection_dim
        if width != given:
            raise AESTHETIC.refuse(folder, f"it judges {width} features, and this CLIP has {given}")
        return Aesthetic(clip, head)


def image_reward(model: ImageReward, pictures: Tensor, prompt: str) -> Tensor:
    """ImageReward of each picture, ``[B]``: about -2.5 to 2, 0 the mean of the authors' pictures.

    Xu et al. 2023; CoGrad3D averages it over six views, 60 degrees apart (appendix A.2).

    Args:
        model: BLIP and its head.
        pictures: ``[B, H, W, 3]`` in [0, 1].
        prompt: what all of them should show.

    Raises:
        InputError: these are no pictures.
    """
    return (model.rewards(pictures, prompt) - REWARD_MEAN) / REWARD_DEVIATION


def pick_score(clip: Clip, pictures: Tensor, prompt: str) -> Tensor:
    """PickScore of each picture, ``[B]``: the cosine times the model's own scale.

    Kirstain et al. 2023, equation 1. Around 20; the difference of two pictures' scores is the log
    odds that people prefer the one.

    Args:
        clip: as ``load_pick_score`` gives it.
        pictures: ``[B, H, W, 3]`` in [0, 1].
        prompt: what all of them should show.

    Raises:
        InputError: these are no pictures.
    """
    return clip_cosine(clip, pictures, prompt) * clip.model.logit_scale.exp()


@torch.no_grad()
def aesthetic_score(model: Aesthetic, pictures: Tensor) -> Tensor:
    """How beautiful people would call each picture, ``[B]``, about 1 to 10; the prompt is not read.

    Schuhmann et al. 2022 (LAION-5B), appendix, the predictor ``sac+logos+ava1-l14-linearMSE``.

    Args:
        model: the head and its CLIP.
        pictures: ``[B, H, W, 3]`` in [0, 1].

    Raises:
        InputError: these are no pictures.
    """
    return model.head(model.clip.picture_features(pictures))[:, 0]


def load_pick_score(folder: Path | str) -> Clip:
    """The CLIP that was fine-tuned on people's choices, from a folder in the transformers layout.

    Raises:
        PriorError: it is missing or damaged; with the command that makes it.
    """
    try:
        return Clip.load(folder)
    except PriorError as fault:
        command = PICK_SCORE.format(folder)
        raise PriorError(fault.what, f"Make the folder with `{command}`") from fault


def _blip(folder: Path, config: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The two transformers without weights."""
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    try:
        # BLIP's own code has this epsilon in its vision part; transformers has a larger one.
        vision = BlipVisionConfig(**{"layer_norm_eps": 1e-6, **config["vision"]})
        # A "decoder" is what transformers calls one with cross-attention; it looks both ways here.
        text = BlipTextConfig(
            **{"encoder_hidden_size": vision.hidden_size, "is_decoder": True, **config["text"]}
        )
        with torch.device("meta"):  # So no first weights are drawn, from no random state.
            seeing, reading = BlipVisionModel(vision), BlipTextModel(text, add_pooling_layer=False)
    except FAULTS as fault:
        raise IMAGE_REWARD.refuse(folder, fault) from fault
    # This buffer is in no file.
    places = torch.arange(text.max_position_embeddings)[None]
    reading.embeddings.position_ids = nn.Buffer(places, persistent=False)
    return {"vision": seeing, "text": reading}


_NAMES = (
    (r"^mlp\.layers\.", "head."),
    (r"^blip\.text_encoder\.", "text."),
    (r"^blip\.visual_encoder\.norm\.", "vision.post_layernorm."),
    (r"^blip\.visual_encoder\.blocks\.", "vision.encoder.layers."),
    (r"^blip\.visual_encoder\.cls_token", "vision.embeddings.class_embedding"),
    (r"^blip\.visual_encoder\.pos_embed", "vision.embeddings.position_embedding"),
    (r"^blip\.visual_encoder\.patch_embed\.proj\.", "vision.embeddings.patch_embedding."),
    (r"^(vision\.encoder\.layers\.\d+)\.norm", r"\1.layer_norm"),
    (r"^(vision\.encoder\.layers\.\d+)\.attn\.qkv\.", r"\1.self_attn.qkv."),
    (r"^(vision\.encoder\.layers\.\d+)\.attn\.proj\.", r"\1.self_attn.projection."),
)
"""From BLIP's names of weights to those of transformers, applied one after another."""


def _in_our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in weights.items():
        for pattern, other in _NAMES:
            name = re.sub(pattern, other, name)
        renamed[name] = tensor
    return renamed


def _linear_chain(layers: Mapping[str, Tensor], folder: Path, source: Source) -> nn.Sequential:
    """Linear layers without weights, under the numbers that they have in the file.

    Between them were dropouts alone in training, so nothing at all is between them here.

    Args:
        layers: ``0.weight`` and so on.
        folder: where they come from, for an error.
        source: likewise.
    """
    shapes = {
        int(name.removesuffix(".weight")): tensor.shape
        for name, tensor in layers.items()
        if re.fullmatch(r"\d+\.weight", name) and tensor.dim() == 2
    }
    ends = [shapes[number] for number in sorted(shapes)]
    if not ends or ends[-1][0] != 1 or any(a[0] != b[1] for a, b in pairwise(ends)):
        raise source.refuse(folder, "its linear layers do not lead to one number")
    chain = nn.Sequential()
    with torch.device("meta"):
        for number in sorted(shapes):
            out, into = shapes[number]
            chain.add_module(str(number), nn.Linear(into, out))
    return chain


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _bert_tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizer

    if not any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        # The library would make a tokenizer without words, to which all texts are the same.
        raise IMAGE_REWARD.refuse(folder, "it has no vocab.txt")
    try:
        return BertTokenizer.from_pretrained(folder, local_files_only=True)
    except FAULTS as fault:
        raise IMAGE_REWARD.refuse(folder, fault) from fault
