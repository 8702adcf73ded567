"""Low-rank adapters: a frozen U-Net that answers as if a little of it had been trained.

Each projection ``W`` of an attention layer acts as ``W + s B A`` with ``A`` ``[r, in]`` and ``B``
``[out, r]`` (Hu et al. 2022, LoRA), of which A and B alone are learnt. They are plain tensors that
the caller keeps beside the prior, in a dict that a checkpoint can hold, and they take part only
inside ``adapted``: hooks add the term ``s B A x`` to what each layer answers, and are gone
afterwards. So no weight of the prior is ever written, any number of adapters share one network, and
whatever wraps the prior still does its part. The weights have the names of the diffusers layout:
``unet.load_lora_adapter(weights, prefix=None)`` reads those of an adapter without poses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from maquette.errors import PriorError
from maquette.priors.base import Counting, Prior
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.randomness import Randomness
from maquette.records import Condition, Render, Views
from maquette.store import sha256_of

__all__ = ["Adapted", "adapted", "as_wrapped", "digest", "first_weights", "network_of"]

PROJECTIONS = (".to_q", ".to_k", ".to_v", ".to_out.0")
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
POSE_SIZE = 16


class Adapted(Prior):
    """A prior whose network answers with an adapter, at a weight; at 0 it is the prior itself.

    Args:
        prior: answers everything else; it may be wrapped.
        weights: of an adapter that was made for its network, without poses.
        scale: s, the weight of the adapter.

    Raises:
        PriorError: the prior has no network to adapt, or the weights belong to another one.
    """

    def __init__(self, prior: Prior, weights: Mapping[str, Tensor], scale: float = 1.0) -> None:
        _layers(prior, weights)
        self.prior, self.weights, self.scale = prior, dict(weights), scale
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.prior.decode(latents)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        with adapted(self.prior, self.weights, self.scale):
            return self.prior.predict(noised, t, conditions)

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition(texts, views, render)

    def check(self, prompt: str) -> None:
        self.prior.check(prompt)

    def fingerprint(self) -> dict[str, str]:
        # The rounded answers of the default would not show a weak adapter.
        adapter = f"{self.scale:g} x {digest(self.weights)}"
        return {**self.prior.fingerprint(), **super().fingerprint(), "adapter": adapter}


@contextlib.contextmanager
def adapted(
    prior: Prior, weights: Mapping[str, Tensor], scale: float = 1.0, poses: Tensor | None = None
) -> Iterator[None]:
    """Inside the block, the network of ``prior`` answers with the adapter; afterwards as before.

    Args:
        prior: may be wrapped; nothing of it is written.
        weights: of an adapter that was made for its network.
        scale: s, the weight of the adapter. At 0 nothing is added, to the last bit.
        poses: ``[B, 16]``, for a batch of ``B`` or a multiple of it, as with several conditions.

    Raises:
        PriorError: the weights belong to another network.
    """
    layers = _layers(prior, weights)
    with contextlib.ExitStack() as hooks:
        for name, layer in layers.items() if scale else ():
            term = _low_rank(weights[name + DOWN], weights[name + UP], scale)
            hooks.callback(layer.register_forward_hook(term).remove)
        if poses is not None:
            term = _pose_embedding(weights, poses)
            embedding = network_of(prior).unet.time_embedding
            hooks.callback(embedding.register_forward_hook(term).remove)
        yield


@contextlib.contextmanager
def as_wrapped(prior: Prior, pictures: int) -> Iterator[None]:
    """Inside the block, the bare network of ``prior`` has the adapters that ``prior`` gives it.

    For whoever asks the network itself, past the wrappers, about ``pictures`` single pictures:
    training needs its graph. Those that count are told.
    """
    with contextlib.ExitStack() as wrappers:
        inner: Any = prior
        while inner is not None:
            if isinstance(inner, Adapted):
                wrappers.enter_context(adapted(inner.prior, inner.weights, inner.scale))
            if isinstance(inner, Counting):
                inner.evaluations += pictures
            inner = getattr(inner, "prior", None)
        yield


def network_of(prior: Prior) -> StableDiffusion:
    """The latent diffusion model that ``prior`` is, or is wrapped around.

    Raises:
        PriorError: there is none, so nothing can be adapted.
    """
    inner: Any = prior
    while inner is not None and not isinstance(inner, StableDiffusion):
        inner = getattr(inner, "prior", None)
    if inner is None:
        raise PriorError(
            f"The prior {prior.name} has no U-Net that could be adapted",
            "Use a prior in the diffusers layout, or a recipe without a path and without LoRA",
        )
    return inner


def first_weights(prior: Prior, rank: int, *, poses: bool = False) -> dict[str, Tensor]:
    """The weights of an adapter before any training, with which the network answers as without.

    ``B`` is zero and ``A`` normal with a deviation of ``1 / r``, as in ProlificDreamer's code; it
    is the same for every run. Weights are in single precision also beside a network in half.

    Args:
        prior: whose U-Net is adapted.
        rank: r.
        poses: whether the adapter looks at camera poses too.

    Raises:
        PriorError: the prior has no such network.
    """
    network = network_of(prior)
    dtype = torch.promote_types(network.dtype, torch.float32)
    like = torch.zeros((), dtype=dtype, device=network.device)
    weights: dict[str, Tensor] = {}
    for name, layer in _projections(network).items():
        down = _drawn((rank, layer.in_features), name + DOWN) / rank
        weights[name + DOWN] = down.to(like)
        weights[name + UP] = like.new_zeros(layer.out_features, rank)
    return weights | (_first_pose_weights(network, like) if poses else {})


def digest(weights: Mapping[str, Tensor]) -> str:
    """A hash of tensors and their names, in hexadecimal digits."""
    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    return sha256_of(safetensors.torch.save(plain))[:16]


Hook = Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]


def _low_rank(down: Tensor, up: Tensor, scale: float) -> Hook:
    def add(_layer: nn.Module, given: tuple[Any, ...], answer: Tensor) -> Tensor:
        x = given[0].to(down.dtype)
        return answer + (scale * linear(linear(x, down), up)).to(answer.dtype)

    return add


def _pose_embedding(weights: Mapping[str, Tensor], poses: Tensor) -> Hook:
    def add(_layer: nn.Module, _given: tuple[Any, ...], answer: Tensor) -> Tensor:
        inner = linear(poses.to(weights["pose.in"]), weights["pose.in"], weights["pose.in_bias"])
        embedding = linear(silu(inner), weights["pose.out"], weights["pose.out_bias"])
        return answer + embedding.to(answer.dtype).repeat(len(answer) // len(poses), 1)

    return add


def _first_pose_weights(network: StableDiffusion, like: Tensor) -> dict[str, Tensor]:
    if not hasattr(network.unet, "time_embedding"):
        raise PriorError(f"The U-Net of {network.name} embeds no timestep to add a pose to")
    width = network.unet.time_embedding.linear_2.out_features
    return {
        "pose.in": (_drawn((width, POSE_SIZE), "pose.in") / POSE_SIZE**0.5).to(like),
        "pose.in_bias": like.new_zeros(width),
        "pose.out": like.new_zeros(width, width),
        "pose.out_bias": like.new_zeros(width),
    }


def _drawn(shape: tuple[int, int], name: str) -> Tensor:
    """Standard normal numbers that belong to the name of a weight."""
    generator = Randomness(0).generator(f"adapter {name}")
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _projections(network: StableDiffusion) -> dict[str, nn.Linear]:
    """The layers that are adapted, by name."""
    layers = {
        name: layer
        for name, layer in network.unet.named_modules()
        if isinstance(layer, nn.Linear) and name.endswith(PROJECTIONS)
    }
    if not layers:
        raise PriorError(f"The U-Net of {network.name} has no attention that could be adapted")
    return layers


def _layers(prior: Prior, weights: Mapping[str, Tensor]) -> dict[str, nn.Linear]:
    """The layers of the network of ``prior``, all of which ``weights`` fit."""
    layers = _projections(network_of(prior))
    for name, layer in layers.items():
        down, up = weights.get(name + DOWN), weights.get(name + UP)
        if down is None or up is None or not _fits(down, up, layer):
            raise PriorError(
                f"The adapter does not fit {prior.name} at {name}", "Form one for this prior"
            )
    return layers


def _fits(down: Tensor, up: Tensor, layer: nn.Linear) -> bool:
    return (up.shape[0], down.shape[1]) == layer.weight.shape and up.shape[1] == down.shape[0]
