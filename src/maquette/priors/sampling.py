"""What a prior itself draws: deterministic DDIM sampling with classifier-free guidance.

Not part of distillation; it shows what there is to distil.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.priors.base import Prior
from maquette.priors.embedded import embedded
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.priors.text import view_texts
from maquette.randomness import Randomness
from maquette.records import Views
from maquette.store import whole_file

__all__ = ["sample_latents", "sample_sheet"]


@torch.no_grad()
def sample_latents(
    prior: Prior,
    texts: Sequence[str],
    random: Randomness,
    *,
    steps: int = 30,
    guidance_scale: float = 4.0,
) -> Tensor:
    """Latents ``[B, C, h, w]`` for one text each (Song et al. 2021, equation 12, eta = 0).

    Args:
        prior: is asked twice a step, in one batch.
        texts: B texts.
        random: of the first noise, one row per text.
        steps: DDIM steps, the last of them to the clean picture.
        guidance_scale: classifier-free guidance, diffusers form.
    """
    words, null = prior.condition(texts), prior.condition([""] * len(texts))
    last = len(prior.schedule) - 1
    times = [*torch.linspace(last, 0, steps).round().long().tolist(), -1]
    like = words.embedding.new_zeros(len(texts), *prior.latent_shape, dtype=torch.float32)
    noised = random.normal("start", like)
    for t, after in pairwise(times):
        now, then = (torch.full((len(texts),), value) for value in (t, after))
        base, text = prior.predict(noised, now, [null, words])
        eps = base + guidance_scale * (text - base)
        noised = prior.schedule.ddim_step(noised, eps, now, then)
    return noised


def sample_sheet(
    prompt: str,
    /,
    path: Path = Path("samples.png"),
    *,
    prior: str = "embedded",
    seed: int = 0,
    rows: int = 4,
    steps: int = 30,
    guidance_scale: float = 4.0,
    device: str = "cpu",
) -> Path:
    """Write a PNG of what a prior draws for a prompt: front, side, back and overhead in columns.

    Args:
        prompt: What to draw.
        path: The PNG to write.
        prior: "embedded" or a folder in the diffusers layout.
        seed: Of the first noise.
        rows: Pictures of each view.
        steps: DDIM steps.
        guidance_scale: Classifier-free guidance, diffusers form.
        device: Where to compute: cpu or cuda.

    Returns:
        The path.

    Raises:
        InputError: a word that the prior does not know, or numbers that make no picture.
        PriorError: the prior cannot be loaded.
        DiskError: the file cannot be written.
    """
    from PIL import Image

    if rows < 1 or steps < 1:
        raise InputError(f"{rows} rows of pictures in {steps} steps cannot be drawn")
    model = (
        embedded(device=device)
        if prior == "embedded"
        else StableDiffusion.load(prior, device=device)
    )
    model.check(prompt)
    texts = view_texts(prompt, _four_sides()) * rows
    random = Randomness(seed)
    latents = sample_latents(model, texts, random, steps=steps, guidance_scale=guidance_scale)
    pictures = model.decode(latents).cpu()
    strips = [torch.cat(list(row), dim=1) for row in pictures.split(4)]
    sheet = torch.cat(strips, dim=0).mul(255).round().byte().numpy()
    with whole_file(path, sheet.nbytes) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")
    return path


def _four_sides() -> Views:
    """One camera for each view word."""
    ones = torch.ones(4)
    azimuth_deg = torch.tensor([0.0, 90.0, 180.0, 0.0])
    elevation_deg = torch.tensor([15.0, 15.0, 15.0, 65.0])
    return Views(azimuth_deg, elevation_deg, ones * 3.3, ones * 43.0, 64, 64)
