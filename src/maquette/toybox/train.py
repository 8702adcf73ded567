"""Train the embedded prior and its judge from scratch, on pictures of the toy world.

``maquette prior train`` runs this. Every stage is resumable: start it again with the same folder
and it goes on. Prior and judge see worlds of different seeds. ``maquette.toybox.pack`` then writes
the networks in the diffusers and transformers layouts, in float16 safetensors.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from maquette.errors import InputError
from maquette.store import write_file
from maquette.toybox.captions import VOCABULARY
from maquette.toybox.dataset import Dataset, draw
from maquette.toybox.judge_stages import train_clip, train_views
from maquette.toybox.networks import SIZES, Size, token_ids, tokenizer, write_vocabulary
from maquette.toybox.point_stage import train_points
from maquette.toybox.stages import SCHEDULE, Encoded, encode_all, train_unet, train_vae
from maquette.toybox.trainer import Plan, Team
from maquette.toybox.world import batch

__all__ = ["train"]

PRIOR_WORLD, JUDGE_WORLD, UNSEEN_WORLD = 1, 2, 3
"""Seeds of the worlds that the prior and the judge are trained on, and checked on."""
UNSEEN = 512
"""Pictures on which a loss is checked."""
PAIRS = 2
"""Pictures of the world for each one more that shows two objects."""
STAGES = ("vae", "unet", "clip", "views", "points")


def train(
    folder: Path = Path("training"),
    *,
    size: str = "64",
    stages: tuple[str, ...] = STAGES,
    pictures: int = 100_000,
    vae_steps: int = 3000,
    unet_steps: int = 6000,
    clip_steps: int = 2000,
    views_steps: int = 600,
    points_steps: int = 6000,
    batch: int = 64,
    unet_rate: float = 0.02,
    processes: int = 1,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train the stages that are not finished yet.

    Args:
        folder: where pictures, checkpoints, samples and the log go.
        size: one of the network sizes in ``maquette.toybox.networks``.
        stages: which networks to train: vae, unet, clip, views, points. The unet needs the vae, and
            the views need the clip: these are trained first where they are not finished.
        pictures: how many pictures of the world to draw for the prior, and how many for the judge;
            half as many more show two objects.
        vae_steps: optimiser steps of the autoencoder.
        unet_steps: of the U-Net with its text encoder.
        clip_steps: of the judge's CLIP.
        views_steps: of the judge's view classifier.
        points_steps: of the point generator.
        batch: pictures of a step and process; CLIP takes eight times, the views twice as many.
        unet_rate: the U-Net's learning rate, for Muon.
        processes: how many train together, each on one thread.
        device: ``cpu`` or ``cuda``.
        seed: of first weights and of every draw in training.

    Raises:
        InputError: an unknown size or stage.
        DiskError: a checkpoint cannot be written; the one before is intact.
    """
    if size not in SIZES:
        raise InputError(f"There is no size {size!r}", f"Choose {' or '.join(SIZES)}")
    if unknown := sorted(set(stages) - set(STAGES)):
        raise InputError(f"There is no stage {unknown[0]!r}", f"Choose from {', '.join(STAGES)}")
    options = (folder, size, stages, pictures, batch, unet_rate, device, seed)
    counts = {"vae": vae_steps, "unet": unet_steps, "clip": clip_steps, "views": views_steps}
    counts["points"] = points_steps
    folder.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        _work(0, 1, "", options, counts)
        return
    meeting = folder / f"meeting-{os.getpid()}"
    torch.multiprocessing.spawn(  # pyright: ignore[reportPrivateImportUsage]
        _work, (processes, f"file://{meeting.resolve()}", options, counts), processes
    )
    meeting.unlink(missing_ok=True)


def _work(rank: int, processes: int, meeting: str, options: tuple, counts: dict[str, int]) -> None:
    folder, size_name, stages, pictures, batch, unet_rate, device, seed = options
    torch.set_num_threads(1 if device == "cpu" else 8)
    torch.manual_seed(seed)  # The first weights only; every later draw is keyed.
    if processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=processes
        )
    team, size = Team(rank, processes, device, folder), SIZES[size_name]
    if rank == 0 and not (folder / "tokenizer" / "merges.txt").exists():
        write_vocabulary(VOCABULARY, folder / "tokenizer")
    if rank == 0:
        worlds = {PRIOR_WORLD: pictures if {"vae", "unet"} & set(stages) else 0}
        worlds[JUDGE_WORLD] = pictures if {"clip", "views"} & set(stages) else 0
        for world, count in worlds.items():
            draw(folder, world, count, size.picture, processes, pairs=count // PAIRS)
    _wait(processes)
    tokenize = tokenizer(folder / "tokenizer")
    if {"vae", "unet"} & set(stages):
        data = draw(folder, PRIOR_WORLD, pictures, size.picture, pairs=pictures // PAIRS)
        plans = (
            Plan("vae", counts["vae"], batch, 1e-3, cooldown=0.46, average=0.995),
            Plan("unet", counts["unet"], batch, unet_rate, cooldown=0.7, average=0.998, muon=True),
        )
        _train_prior(plans, size, data, tokenize, team, seed, with_unet="unet" in stages)
    if {"clip", "views"} & set(stages):
        data = draw(folder, JUDGE_WORLD, pictures, size.picture, pairs=pictures // PAIRS)
        plan = Plan("clip", counts["clip"], 8 * batch, 1.5e-3, warmup=100, average=0.995, every=100)
        clip = train_clip(size, data, tokenize, plan, team, seed)
        if "views" in stages:
            plan = Plan("views", counts["views"], 2 * batch, 1e-3, average=0.99)
            train_views(size, clip, data, plan, team, seed)
    if "points" in stages:
        plan = Plan("points", counts["points"], batch, 0.02, cooldown=0.7, average=0.998, muon=True)
        train_points(size, tokenize, plan, team, seed)
    _wait(processes)


def _train_prior(
    plans: tuple[Plan, Plan],
    size: Size,
    data: Dataset,
    tokenize: Any,
    team: Team,
    seed: int,
    *,
    with_unet: bool,
) -> None:
    """The autoencoder, and the U-Net on its latents."""
    vae_plan, unet_plan = plans
    vae = train_vae(size, data, vae_plan, team, seed)
    if not with_unet:
        return
    latents, factor = _latents(vae, data, team)
    vae.register_to_config(scaling_factor=factor)
    sheet = _sheet(vae, tokenize, team.folder) if team.rank == 0 else None
    seen = Encoded(latents, token_ids(tokenize, data.captions))
    unseen = _unseen(vae, factor, tokenize, size.picture, team.device)
    train_unet(size, seen, unseen, unet_plan, team, seed, sheet)


def _unseen(vae: Any, factor: float, tokenize: Any, side: int, device: str) -> Encoded:
    """Pictures of combinations that are kept out of training, of a world of their own."""
    drawn = batch(UNSEEN_WORLD, 0, UNSEEN, side, held_out=True)
    data = Dataset(drawn.pictures, drawn.captions, np.zeros(UNSEEN), np.zeros(UNSEEN))
    latents, _ = encode_all(vae, data, device, factor)
    return Encoded(latents, token_ids(tokenize, drawn.captions))


def _latents(vae: Any, data: Dataset, team: Team) -> tuple[Tensor, float]:
    """All pictures' latents and their scale, kept on disk: encoding takes minutes on a CPU."""
    path, facts_path = team.folder / "latents.safetensors", team.folder / "latents.json"
    digest = hashlib.sha256()
    for value in vae.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    key = f"{len(data)} {digest.hexdigest()}"
    if team.rank == 0 and not (path.exists() and _facts(facts_path).get("of") == key):
        latents, factor = encode_all(vae, data, team.device)
        write_file(path, save({"latents": latents}))
        write_file(facts_path, json.dumps({"factor": factor, "of": key}).encode())
    _wait(team.size)
    return load_file(path)["latents"], _facts(facts_path)["factor"]


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _wait(processes: int) -> None:
    if processes > 1:
        torch.distributed.barrier()


def _sheet(vae: Any, tokenize: Any, folder: Path) -> Any:
    """A function that writes a sheet of samples: eight prompts, four view words each."""
    from maquette.camera import view_word
    from maquette.priors.stable_diffusion import StableDiffusion
    from maquette.randomness import Randomness
    from maquette.sampling import sample_latents

    prompts = (
        "a red and blue mug",
        "a yellow and orange duck",
        "a green and brown tree",
        "a white and red mushroom",
        "a blue and white car",
        "a brown and pink teddy bear",
        "a purple and yellow robot",
        "a black and white penguin",
    )
    words = [view_word(*angles) for angles in ((0, 0), (90, 0), (180, 0), (0, 80))]
    texts = [f"{prompt}, {word} view" for prompt in prompts for word in words]

    def write(network: nn.Module, step: int) -> None:
        from PIL import Image

        parts = (network.unet, vae, network.text, tokenize)
        prior = StableDiffusion(*parts, SCHEDULE, "v_prediction", "training")  # type: ignore
        pictures = prior.decode(sample_latents(prior, texts, Randomness(0), steps=20))
        side = pictures.shape[1]
        grid = pictures.reshape(-1, 8, side, side, 3).permute(0, 2, 1, 3, 4)
        rows = grid.reshape(-1, 8 * side, 3).mul(255).round().byte().numpy()
        Image.fromarray(rows).save(folder / f"samples-{step:06d}.png")

    return write
