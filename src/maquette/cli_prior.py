"""Looking at what a prior draws by itself, without any 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["sample"]

Prompt = tyro.conf.Positional[str]


def sample(
    prompt: Annotated[Prompt, tyro.conf.arg(help="what to draw")],
    /,
    out: Path = Path("samples.png"),
    *,
    prior: str = "embedded",
    count: int = 8,
    steps: int = 30,
    guidance_scale: float = 4.0,
    seed: int = 0,
    scale: int = 2,
) -> str:
    """Draw pictures of a prompt with the prior itself; no 3D is made.

    Args:
        prompt: what to draw.
        out: the PNG file.
        prior: ``embedded``, or a folder in the diffusers layout.
        count: how many pictures.
        steps: DDIM steps.
        guidance_scale: classifier-free guidance in the diffusers form.
        seed: another seed draws other pictures.
        scale: how many times the pictures are enlarged.
    """
    import torch

    from maquette.errors import InputError
    from maquette.export.sheet import contact_sheet, to_uint8, write_png
    from maquette.lookup import find_prior
    from maquette.randomness import Randomness
    from maquette.sampling import sample_latents

    if not prompt.strip():
        raise InputError("The prompt is empty", 'Say what to draw: "a red mug, side view"')
    if min(count, steps, scale) < 1:
        raise InputError("count, steps and scale must be at least 1")
    loaded = find_prior(prior)
    loaded.check(prompt)
    random = Randomness(seed)
    latents = sample_latents(
        loaded, [prompt] * count, random, steps=steps, guidance_scale=guidance_scale
    )
    pictures = loaded.decode(latents).permute(0, 3, 1, 2)
    large = torch.nn.functional.interpolate(pictures, scale_factor=scale, mode="nearest")
    frames = to_uint8(large.permute(0, 2, 3, 1))
    write_png(out, contact_sheet(frames, columns=min(count, 8)))
    return str(out)
