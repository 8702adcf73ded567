"""Go on from packed weights: the inverse of packing, for training over days and machines.

Packed folders hold no optimiser moments and no step, so that a training that begins here warms up
again; what it had learnt before is kept, and so is the card's record of it. The world's language
may have grown meanwhile: what the text encoders know of a word moves to the word's new number.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from maquette.store import write_file
from maquette.toybox.captions import VOCABULARY
from maquette.toybox.judge_stages import ASKED
from maquette.toybox.networks import TOKENS, write_vocabulary

__all__ = ["unpack_judge", "unpack_points", "unpack_prior"]


def unpack_prior(packed: Path, training: Path) -> None:
    """Write first checkpoints of ``vae`` and ``unet`` from a packed prior.

    Args:
        packed: a folder of ``pack_prior``.
        training: the folder in which training will go on.
    """
    _begin(packed, training)
    _checkpoint(training / "vae.safetensors", _weights(packed / "vae"))
    text = _renumbered(_weights(packed / "text_encoder", "text."), packed / "tokenizer", training)
    _checkpoint(training / "unet.safetensors", _weights(packed / "unet", "unet.") | text)


def unpack_judge(packed: Path, training: Path) -> None:
    """Write first checkpoints of ``clip`` and ``views`` from a packed judge.

    The linear heads that training adds to CLIP are not packed; they begin at zero.

    Args:
        packed: a folder of ``pack_judge``.
        training: the folder in which training will go on.
    """
    _begin(packed, training)
    clip = _renumbered(_weights(packed / "clip", "clip."), packed / "clip", training)
    width = clip["clip.visual_projection.weight"].shape[1]
    for place, names in enumerate(ASKED):
        clip[f"heads.{place}.weight"] = torch.zeros(len(names), width)
        clip[f"heads.{place}.bias"] = torch.zeros(len(names))
    _checkpoint(training / "clip.safetensors", clip)
    _checkpoint(training / "views.safetensors", _weights(packed / "views"))


def unpack_points(packed: Path, training: Path) -> None:
    """Write a first checkpoint of ``points`` from a packed point generator.

    Args:
        packed: a folder of ``pack_points``.
        training: the folder in which training will go on.
    """
    _begin(packed, training)
    text = _renumbered(_weights(packed / "text_encoder", "text."), packed / "tokenizer", training)
    _checkpoint(training / "points.safetensors", _weights(packed / "denoiser", "points.") | text)


def _begin(packed: Path, training: Path) -> None:
    write_vocabulary(VOCABULARY, training / "tokenizer")
    card = json.loads((packed / "card.json").read_text(encoding="utf-8"))
    record = training / "earlier.json"
    earlier = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    known = [*card.get("earlier", []), *card["training"]]
    earlier += [line for line in known if line not in earlier]
    write_file(record, json.dumps(earlier, indent=1).encode())


def _weights(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    (file,) = folder.glob("*.safetensors")
    return {prefix + name: value.float() for name, value in load_file(file).items()}


def _renumbered(weights: dict[str, Tensor], words: Path, training: Path) -> dict[str, Tensor]:
    """``weights`` with a row for each token of today's vocabulary, and for each place in a text.

    Tokens that are new begin small and at random, new places like the last one that there was.
    """
    before = json.loads((words / "vocab.json").read_text(encoding="utf-8"))
    now = json.loads((training / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    kept = [token for token in now if token in before]
    moved = dict(weights)
    for name, value in weights.items():
        if name.endswith("token_embedding.weight"):
            random = torch.Generator().manual_seed(0)
            rows = 0.02 * torch.randn(len(now), value.shape[1], generator=random)
            rows[[now[token] for token in kept]] = value[[before[token] for token in kept]]
            moved[name] = rows
        if name.endswith("position_embedding.weight"):
            moved[name] = value[[min(place, len(value) - 1) for place in range(TOKENS)]]
    return moved


def _checkpoint(path: Path, weights: dict[str, Tensor]) -> None:
    tensors = {f"network.{name}": value for name, value in weights.items()}
    tensors |= {f"average.{name}": value.clone() for name, value in weights.items()}
    write_file(path, save(tensors, metadata={"step": "0"}))
