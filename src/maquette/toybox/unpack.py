"""Go on from packed weights: the inverse of packing, for training over days and machines.

Packed folders hold no optimiser moments and no step, so that a training that begins here warms up
again; what it had learnt before is kept, and so is the card's record of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from maquette.store import write_file
from maquette.toybox.colours import COLOURS
from maquette.toybox.kinds import KINDS

__all__ = ["unpack_judge", "unpack_prior"]


def unpack_prior(packed: Path, training: Path) -> None:
    """Write first checkpoints of ``vae`` and ``unet`` from a packed prior.

    Args:
        packed: a folder of ``pack_prior``.
        training: the folder in which training will go on.
    """
    _begin(packed, packed / "tokenizer", training)
    _checkpoint(training / "vae.safetensors", _weights(packed / "vae"))
    both = _weights(packed / "unet", "unet.") | _weights(packed / "text_encoder", "text.")
    _checkpoint(training / "unet.safetensors", both)


def unpack_judge(packed: Path, training: Path) -> None:
    """Write first checkpoints of ``clip`` and ``views`` from a packed judge.

    The linear heads that training adds to CLIP are not packed; they begin at zero.

    Args:
        packed: a folder of ``pack_judge``.
        training: the folder in which training will go on.
    """
    _begin(packed, packed / "clip", training)
    clip = _weights(packed / "clip", "clip.")
    width = clip["clip.visual_projection.weight"].shape[1]
    for place, names in enumerate((KINDS, COLOURS, COLOURS)):
        clip[f"heads.{place}.weight"] = torch.zeros(len(names), width)
        clip[f"heads.{place}.bias"] = torch.zeros(len(names))
    _checkpoint(training / "clip.safetensors", clip)
    _checkpoint(training / "views.safetensors", _weights(packed / "views"))


def _begin(packed: Path, words: Path, training: Path) -> None:
    (training / "tokenizer").mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(words / name, training / "tokenizer" / name)
    card = json.loads((packed / "card.json").read_text(encoding="utf-8"))
    record = training / "earlier.json"
    earlier = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    known = [*card.get("earlier", []), *card["training"]]
    earlier += [line for line in known if line not in earlier]
    write_file(record, json.dumps(earlier, indent=1).encode())


def _weights(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    (file,) = folder.glob("*.safetensors")
    return {prefix + name: value.float() for name, value in load_file(file).items()}


def _checkpoint(path: Path, weights: dict[str, Tensor]) -> None:
    tensors = {f"network.{name}": value for name, value in weights.items()}
    tensors |= {f"average.{name}": value.clone() for name, value in weights.items()}
    write_file(path, save(tensors, metadata={"step": "0"}))
