"""A linear stand-in for a prior's encoder: one small matrix from colours to latents.

The backward pass of a VAE's encoder is the noisiest and among the slowest arrows of the relay. A
latent is to good part an affine function of the mean colour beneath it, ``z = A x + b``, and then
the gradient on the pixels is just ``A^T`` (Latent-NeRF; Pan et al. 2024, PGC, section 4.1 and
appendix A.2, who find that it loses fine texture). ``fit`` finds A and b for any prior by ridge
regression; what the prior predicts stays its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from maquette import store
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.priors.base import Prior
from maquette.records import Condition, Render, Views

__all__ = ["STABLE_DIFFUSION", "LinearEncoder", "explained", "fit", "load", "prior_behind"]

STABLE_DIFFUSION = (
    torch.tensor(
        [
            [-0.5537, 1.8844, 2.1757],
            [-3.4900, 1.7472, 1.6805],
            [0.6894, 3.2756, -3.4658],
            [-2.4909, 1.3309, -0.1115],
        ],
        dtype=torch.float64,
    ),
    torch.tensor([-1.6590, 0.3810, -0.3939, 0.7896], dtype=torch.float64),
)
"""A ``[4, 3]`` and b ``[4]`` of Stable Diffusion's VAE, from colours in [0, 1] to scaled latents:
Pan et al. 2024, appendix A.2, regressed on COCO. The authors' code holds other numbers, unused."""

TENSORS = "linear_encoder.safetensors"
FLAT = 1e-12
"""A variance of colours below this is the rounding of single precision."""
BATCH = 8
"""Pictures that are encoded at a time: at 512 pixels an encoder takes gigabytes for more."""


class LinearEncoder(Prior):
    """A prior whose ``encode`` is ``A`` times the mean colour beneath a latent, plus ``b``.

    Pictures may be of any size: each latent sees the mean of its share of them, so that a pixel's
    gradient is ``A^T`` times its latent's, divided by the number of pixels in that share.

    Args:
        prior: answers everything else.
        weight: A, ``[C, 3]``.
        bias: b, ``[C]``.

    Raises:
        InputError: the matrix does not fit the prior's latents.
    """

    def __init__(self, prior: Prior, weight: Tensor, bias: Tensor) -> None:
        channels = prior.latent_shape[0]
        if weight.shape != (channels, 3) or bias.shape != (channels,):
            raise InputError(
                f"A matrix {list(weight.shape)} with an offset {list(bias.shape)} does not lead "
                f"from colours to the {channels} channels of {prior.name}",
                f"Give [{channels}, 3] and [{channels}]",
            )
        self.prior, self.weight, self.bias = prior, weight, bias
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        colours = _pooled(images, self.latent_shape[1:])
        weight, bias = self.weight.to(images), self.bias.to(images)
        return torch.einsum("ck,bkij->bcij", weight, colours) + bias[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        return self.prior.decode(latents)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return self.prior.predict(noised, t, conditions)

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition(texts, views, render)

    def check(self, prompt: str) -> None:
        self.prior.check(prompt)

    def fingerprint(self) -> dict[str, str]:
        values = torch.cat([self.weight.flatten(), self.bias]).tolist()
        encoder = " ".join(f"{value:.3f}" for value in values)
        return {**self.prior.fingerprint(), "linear_encoder": encoder}

    def save(self, folder: Path, named: str = "") -> None:
        """Write the matrix and the fingerprint of its prior to the sealed folder ``folder``.

        Args:
            folder: is made.
            named: what the prior is found by, for whoever loads the folder as a prior.

        Raises:
            DiskError: it cannot be written.
        """
        tensors = {"weight": self.weight, "bias": self.bias}
        packed = safetensors.torch.save({k: v.cpu().contiguous() for k, v in tensors.items()})
        store.write_sealed(
            folder, {TENSORS: packed}, {"prior": self.prior.fingerprint(), "named": named}
        )


def load(folder: Path, prior: Prior) -> LinearEncoder:
    """``prior`` behind the linear encoder that ``save`` wrote to ``folder``.

    Raises:
        CheckpointError: the folder is damaged, or holds something else.
        PriorError: the encoder was fitted to another prior.
    """
    manifest, files = store.read_sealed(folder)
    try:
        tensors = safetensors.torch.load(files[TENSORS])
        weight, bias = tensors["weight"], tensors["bias"]
    except (KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no linear encoder") from error
    if manifest.get("prior") != prior.fingerprint():
        raise PriorError(
            f"The linear encoder in {folder} was fitted to another prior than {prior.name}",
            "Fit one to this prior",
        )
    return LinearEncoder(prior, weight, bias)


def prior_behind(folder: Path) -> str | None:
    """What the prior of the linear encoder in ``folder`` is found by; None where none is there.

    Raises:
        CheckpointError: the folder is damaged.
    """
    if not (folder / TENSORS).is_file():
        return None
    named = store.read_sealed(folder)[0].get("named")
    return named if isinstance(named, str) and named else None


@torch.no_grad()
def explained(encoder: LinearEncoder, pictures: Tensor) -> float:
    """Share of the latents' variance around each channel's mean that the linear encoder gives."""
    pairs = [_pairs(encoder.prior, some) for some in pictures.split(BATCH)]
    colours, latents = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    given = colours @ encoder.weight.to(colours).T + encoder.bias.to(colours)
    spread = (latents - latents.mean(0)).square().mean()
    return 1.0 - ((given - latents).square().mean() / spread).item()


@torch.no_grad()
def fit(prior: Prior, pictures: Tensor, *, ridge: float = 1e-4) -> LinearEncoder:
    """The affine map nearest to ``prior.encode`` on ``pictures``, in front of ``prior``.

    Minimises the mean of ``|A x + b - z|^2`` over all latents plus ``ridge |A|^2``: a larger ridge
    holds the gradient on the pixels down, and none of it falls on b. Where pictures leave A open
    (all of one colour), the smallest A is taken.

    Args:
        prior: whose encoder is approximated.
        pictures: ``[M, H, W, 3]`` in [0, 1], of the kind that will be encoded.
        ridge: 0 or more, in squared colours.

    Raises:
        InputError: no pictures, or a negative ridge.
    """
    if not ridge >= 0.0 or not math.isfinite(ridge) or len(pictures) == 0:
        raise InputError(
            f"No linear encoder fits {len(pictures)} pictures with a ridge of {ridge}",
            "Give at least one picture and a ridge of 0 or more",
        )
    pairs = [_pairs(prior, some) for some in pictures.split(BATCH)]
    colours, latents = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    mean_colour, mean_latent = colours.mean(0), latents.mean(0)
    off = colours - mean_colour
    square = off.T @ off / len(off) + ridge * torch.eye(3).to(off)
    weight = (torch.linalg.pinv(square, atol=FLAT, hermitian=True) @ (off.T @ latents) / len(off)).T
    return LinearEncoder(prior, weight, mean_latent - weight @ mean_colour)


def _pairs(prior: Prior, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colours ``[N, 3]`` and the latents ``[N, C]`` above them, in float64."""
    latents = prior.encode(pictures).double()
    colours = _pooled(pictures.double(), prior.latent_shape[1:]).to(latents)
    return colours.movedim(1, -1).reshape(-1, 3), latents.movedim(1, -1).reshape(
        -1, latents.shape[1]
    )


def _pooled(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean colours ``[B, 3, h, w]`` of the shares of pictures ``[B, H, W, 3]``."""
    return adaptive_avg_pool2d(images.permute(0, 3, 1, 2), size)
