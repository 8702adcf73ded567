"""Write trained networks in the layouts that the world loads: diffusers and transformers.

Weights are float16 safetensors. A card (``card.json``) beside them tells how they were made, and
holds the sha256 of every file, so that damage is noticed before a run begins.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from maquette.priors.points import PointDenoiser
from maquette.toybox.captions import VIEWS
from maquette.toybox.networks import (
    SIZES,
    autoencoder,
    judge_clip,
    judge_views,
    text_encoder,
    tokenizer,
    unet,
)
from maquette.toybox.wording import WORDING

__all__ = ["pack_judge", "pack_points", "pack_prior"]

SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}
PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_center_crop": False,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
}


def pack_prior(training: Path, target: Path, size: str = "64") -> None:
    """Write the averaged prior as a folder in the diffusers layout.

    Args:
        training: a folder in which ``vae`` and ``unet`` were trained.
        target: the folder to write; one that is there is replaced.
        size: the size that was trained.
    """
    shape, words = SIZES[size], tokenizer(training / "tokenizer")
    vae, both = autoencoder(shape), _averaged(training / "unet.safetensors")
    vae.load_state_dict(_averaged(training / "vae.safetensors"))
    vae.register_to_config(scaling_factor=json.loads(_read(training / "latents.json"))["factor"])
    net, text = unet(shape), text_encoder(len(words))
    net.load_state_dict({k[5:]: v for k, v in both.items() if k.startswith("unet.")})
    text.load_state_dict({k[5:]: v for k, v in both.items() if k.startswith("text.")})
    fresh = _fresh(target)
    for part, module in (("unet", net), ("vae", vae), ("text_encoder", text)):
        module.to(torch.float16).save_pretrained(fresh / part)
    words.save_pretrained(fresh / "tokenizer")
    _write_vocabulary(training, fresh / "tokenizer")
    (fresh / "scheduler").mkdir()
    (fresh / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER, indent=1))
    (fresh / "model_index.json").write_text(json.dumps(INDEX, indent=1))
    _finish(fresh, target, training, ("vae", "unet"))


def pack_judge(training: Path, target: Path, size: str = "64") -> None:
    """Write the averaged judge: ``clip`` and ``views``, each in the transformers layout.

    Args:
        training: a folder in which ``clip`` and ``views`` were trained.
        target: the folder to write; one that is there is replaced.
        size: the size that was trained.
    """
    shape, words = SIZES[size], tokenizer(training / "tokenizer")
    clip, views = judge_clip(shape, len(words)), judge_views(shape, VIEWS)
    both = _averaged(training / "clip.safetensors")
    clip.load_state_dict({k[5:]: v for k, v in both.items() if k.startswith("clip.")})
    views.load_state_dict(_averaged(training / "views.safetensors"))
    fresh = _fresh(target)
    side = {"height": shape.picture, "width": shape.picture}
    for part, module in (("clip", clip), ("views", views)):
        module.to(torch.float16).save_pretrained(fresh / part)
        config = {**PREPROCESSOR, "size": side, "crop_size": side}
        (fresh / part / "preprocessor_config.json").write_text(json.dumps(config, indent=1))
    words.save_pretrained(fresh / "clip")
    _write_vocabulary(training, fresh / "clip")
    _finish(fresh, target, training, ("clip", "views"))


def pack_points(training: Path, target: Path, size: str = "64") -> None:
    """Write the averaged point generator: ``denoiser``, ``text_encoder`` and ``tokenizer``.

    Args:
        training: a folder in which ``points`` was trained.
        target: the folder to write; one that is there is replaced.
        size: the size that was trained.
    """
    words, both = tokenizer(training / "tokenizer"), _averaged(training / "points.safetensors")
    denoiser, text = PointDenoiser(*SIZES[size].points), text_encoder(len(words))
    text.load_state_dict({k[5:]: v for k, v in both.items() if k.startswith("text.")})
    fresh = _fresh(target)
    (fresh / "denoiser").mkdir()
    weights = {k[7:]: v.half().contiguous() for k, v in both.items() if k.startswith("points.")}
    save_file(weights, fresh / "denoiser" / "model.safetensors")
    (fresh / "denoiser" / "config.json").write_text(json.dumps(denoiser.config, indent=1))
    text.to(torch.float16).save_pretrained(fresh / "text_encoder")
    words.save_pretrained(fresh / "tokenizer")
    _write_vocabulary(training, fresh / "tokenizer")
    _finish(fresh, target, training, ("points",))


def _averaged(path: Path) -> dict[str, torch.Tensor]:
    return {k[8:]: v for k, v in load_file(path).items() if k.startswith("average.")}


def _fresh(target: Path) -> Path:
    fresh = target.with_name(target.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _write_vocabulary(training: Path, folder: Path) -> None:
    # The two classic files as well, so that any CLIP tokenizer can read the folder.
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(training / "tokenizer" / name, folder / name)


def _finish(fresh: Path, target: Path, training: Path, stages: tuple[str, ...]) -> None:
    files = sorted(p for p in fresh.rglob("*") if p.is_file())
    for path in files:
        # Safetensors are written for their owner only, and an installed package is for everyone.
        path.chmod(0o644)
    lines = [json.loads(line) for line in _read(training / "training.jsonl").splitlines()]
    last = {line["stage"]: line for line in lines if line["stage"] in stages}
    card: dict[str, Any] = {
        "format": 1,
        "wording": WORDING.tables(),
        "training": list(last.values()),
        "earlier": _earlier(training, stages),
        "sha256": {
            str(path.relative_to(fresh)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
    }
    (fresh / "card.json").write_text(json.dumps(card, indent=1))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _earlier(training: Path, stages: tuple[str, ...]) -> list[dict[str, Any]]:
    """What earlier trainings, whose weights this one began with, recorded."""
    record = training / "earlier.json"
    lines = json.loads(_read(record)) if record.exists() else []
    return [line for line in lines if line["stage"] in stages]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
