"""What is done with a prior by itself, without any 3D: draw with it, simplify its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["linearise", "sample"]

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


def linearise(
    prior: str = "embedded",
    out: Path = Path("linear-encoder"),
    *,
    pictures: Path | None = None,
    count: int = 64,
    ridge: float = 1e-4,
) -> str:
    """Fit a small matrix in the place of a prior's encoder, for a faster and smoother backward.

    The folder that is written is a prior of its own: ``maquette generate PROMPT --prior FOLDER``.

    Args:
        prior: ``embedded``, or a folder in the diffusers layout.
        out: the folder to make.
        pictures: a folder of pictures to fit to; the toy world's own by default.
        count: how many pictures; every fourth is kept to measure on.
        ridge: how small the matrix is held, 0 or more.
    """
    from maquette import lookup
    from maquette.errors import InputError
    from maquette.priors.linear_encoder import explained, fit

    if count < 4:
        raise InputError(f"{count} pictures are too few", "Give at least 4")
    if out.exists():
        raise InputError(f"{out} is there already", "Give another --out")
    loaded = lookup.find_prior(prior)
    size = loaded.image_size
    shown = _toys(count, size) if pictures is None else _pictures(pictures, count, size)
    kept = shown[3::4]
    encoder = fit(loaded, shown[[i for i in range(len(shown)) if i % 4 != 3]], ridge=ridge)
    encoder.save(out, lookup.prior_name(prior))
    share = explained(encoder, kept)
    return f"{out}: explains {share:.1%} of the latents of {len(kept)} pictures it has not seen"


def _toys(count: int, size: int) -> Tensor:
    """Pictures ``[count, size, size, 3]`` of the toy world, on all its backgrounds."""
    import torch

    from maquette.toybox.world import batch

    return torch.from_numpy(batch(7, 0, count, size).pictures).float() / 255


def _pictures(folder: Path, count: int, size: int) -> Tensor:
    """The first pictures in ``folder`` by name, squeezed to squares."""
    import numpy as np
    import torch
    from PIL import Image, UnidentifiedImageError

    from maquette.errors import InputError

    endings = {".png", ".jpg", ".jpeg", ".webp"}
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in endings)[:count]
    if len(files) < 4:
        raise InputError(
            f"{folder} holds {len(files)} pictures, and 4 are the least",
            f"Give a folder with {', '.join(sorted(endings))} in it",
        )
    rows = []
    for file in files:
        try:
            with Image.open(file) as picture:
                rows.append(np.asarray(picture.convert("RGB").resize((size, size))))
        except (OSError, UnidentifiedImageError) as error:
            raise InputError(f"{file} is no picture that can be read") from error
    return torch.from_numpy(np.stack(rows)).float() / 255
