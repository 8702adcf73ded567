"""Train the embedded prior and its judge from scratch, on pictures of the toy world.

``maquette prior train`` runs this. Every stage is resumable: start it again with the same folder and
it goes on. Prior and judge see worlds of different seeds. At the end the networks are written in the
diffusers and transformers layouts, in float16 safetensors.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maquette.toybox.captions import VOCABULARY
from maquette.toybox.dataset import draw
from maquette.toybox.networks import SIZES, token_ids, tokenizer, write_vocabulary
from maquette.toybox.stages import SCHEDULE, encode_all, train_clip, train_unet, train_vae
from maquette.toybox.stages import train_views
from maquette.toybox.trainer import Plan, Team

__all__ = ["train"]

PRIOR_WORLD, JUDGE_WORLD = 1, 2
"""Seeds of the worlds that the prior and the judge are trained on."""


def train(
    folder: Path = Path("training"),
    *,
    size: str = "64",
    stages: tuple[str, ...] = ("vae", "unet", "clip", "views"),
    pictures: int = 100_000,
    vae_steps: int = 3000,
    unet_steps: int = 6000,
    clip_steps: int = 2000,
    views_steps: int = 600,
    batch: int = 64,
    unet_rate: float = 1e-3,
    processes: int = 1,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Train the stages that are not finished yet.

    Args:
        folder: where pictures, checkpoints, samples and the log go.
        size: one of the network sizes in ``maquette.toybox.networks``.
        stages: which networks to train: vae, unet, clip, views.
        pictures: how many pictures to draw for the prior; the judge takes half as many.
        batch: pictures of a step and process.
        processes: how many train together, each on one thread.
        device: ``cpu`` or ``cuda``.
    """
    options = (folder, size, stages, pictures, batch, unet_rate, device, seed)
    counts = {"vae": vae_steps, "unet": unet_steps, "clip": clip_steps, "views": views_steps}
    folder.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        _work(0, 1, "", options, counts)
        return
    meeting = folder / f"meeting-{os.getpid()}"
    torch.multiprocessing.spawn(
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
        worlds[JUDGE_WORLD] = pictures // 2 if {"clip", "views"} & set(stages) else 0
        for world, count in worlds.items():
            draw(folder, world, count, size.picture, processes)
    _wait(processes)
    tokenize = tokenizer(folder / "tokenizer")
    if {"vae", "unet"} & set(stages):
        data = draw(folder, PRIOR_WORLD, pictures, size.picture)
        plan = Plan("vae", counts["vae"], batch, 1e-3, cooldown=0.46, average=0.995)
        vae = train_vae(size, data, plan, team, seed)
        if "unet" in stages:
            latents, factor = encode_all(vae, data, device)
            vae.register_to_config(scaling_factor=factor)
            (folder / "latents.json").write_text(json.dumps({"factor": factor}))
            plan = Plan("unet", counts["unet"], batch, unet_rate, average=0.9995, every=500)
            sheet = _sheet(vae, tokenize, folder) if rank == 0 else None
            train_unet(size, latents, token_ids(tokenize, data.captions), plan, team, seed, sheet)
    if {"clip", "views"} & set(stages):
        data = draw(folder, JUDGE_WORLD, pictures // 2, size.picture)
        plan = Plan("clip", counts["clip"], 4 * batch, 1e-3, average=0.998)
        clip = train_clip(size, data, tokenize, plan, team, seed)
        plan = Plan("views", counts["views"], 2 * batch, 3e-4, average=0.99)
        train_views(size, clip, data, plan, team, seed)
    _wait(processes)


def _wait(processes: int) -> None:
    if processes > 1:
        torch.distributed.barrier()


def _sheet(vae: Any, tokenize: Any, folder: Path) -> Any:
    """A function that writes a sheet of samples: eight prompts, four view words each."""
    from maquette.camera import view_word
    from maquette.priors.sampling import sample_latents
    from maquette.priors.stable_diffusion import StableDiffusion
    from maquette.randomness import Randomness

    prompts = ["a red and blue mug", "a yellow and orange duck", "a green and brown tree",
               "a white and red mushroom", "a blue and white car", "a brown and pink teddy bear",
               "a purple and yellow robot", "a black and white penguin"]  # fmt: skip
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
        network.requires_grad_(True)

    return write
