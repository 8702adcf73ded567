"""Training a low-rank adapter, and the student that is one (see ``low_rank.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.priors.base import Prior, Student
from maquette.priors.low_rank import POSE_SIZE, adapted, as_wrapped, first_weights, network_of
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.ramps import Number, number
from maquette.randomness import Randomness
from maquette.records import Condition, Words

__all__ = ["Adapter", "LoRA", "weights_of"]

BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Adapter:
    """How a low-rank adapter is trained: by AdamW, on the loss of the network's own training.

    That loss is the mean square of the head's error (eps, v or x0, whatever the head gives) at
    timesteps that are uniform over the whole schedule. The state holds, by the name of a weight,
    ``weight.``, ``first.`` and ``second.`` (AdamW's moments), and the ``steps`` and the last
    ``loss``.

    Raises:
        InputError: for a rank below 1, or a warm-up or decay below 0.
    """

    rank: int = 4
    """r; ProlificDreamer and PTD have 4."""
    learning_rate: Number = 1e-4
    """Of AdamW."""
    warmup_steps: int = 0
    """Steps in which the learning rate rises from 0, straight."""
    weight_decay: float = 0.01
    """Of AdamW, per step and learning rate."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.warmup_steps < 0 or self.weight_decay < 0:
            raise InputError(
                f"No adapter has a rank of {self.rank}, {self.warmup_steps} steps of warm-up and "
                f"a weight decay of {self.weight_decay}",
                "Give a rank of at least 1, and no number below 0",
            )

    def init(self, prior: Prior, *, poses: bool = False) -> dict[str, Tensor]:
        """The state before the first step: the network answers as without an adapter.

        Args:
            prior: whose U-Net is adapted.
            poses: whether the adapter looks at camera poses too.

        Raises:
            PriorError: the prior has no such network.
        """
        weights = first_weights(prior, self.rank, poses=poses)
        state = {f"weight.{name}": value for name, value in weights.items()}
        for moment in ("first.", "second."):
            state |= {moment + name: torch.zeros_like(value) for name, value in weights.items()}
        return {**state, "steps": torch.tensor(0), "loss": torch.tensor(0.0)}

    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        condition: Condition,
        random: Randomness,
        poses: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The state after one step of AdamW on clean ``latent`` ``[B, C, h, w]``.

        It counts as one evaluation per latent; the way back through the network is not counted.

        Args:
            prior: whose U-Net is adapted, over the adapters that it has; it stays as it is.
            state: stays as it is.
            latent: what the network should learn to denoise.
            condition: what it is told, one row per latent.
            random: of timesteps and noise.
            poses: ``[B, 16]`` for an adapter that looks at them.

        Raises:
            NumericalError: the loss or a gradient is not finite.
        """
        network, schedule, latent = network_of(prior), prior.schedule, latent.detach()
        weights = {n: w.detach().clone().requires_grad_() for n, w in weights_of(state).items()}
        u = random.uniform("adapter timesteps", len(latent)).to(latent.device)
        t = (u * len(schedule)).to(torch.int64)
        noise = random.normal("adapter noise", latent)
        noised = schedule.add_noise(latent, noise, t)
        wrapped, own = as_wrapped(prior, len(latent)), adapted(prior, weights, poses=poses)
        with torch.enable_grad(), wrapped, own:
            error = _head(network, noised, t, condition) - _target(network, latent, noise, t)
            # The sum is carried back and not the mean, whose gradient half precision cannot hold.
            total = finite("adapter", error.square().sum())
        gradients = torch.autograd.grad(total, list(weights.values()))
        mean = {n: g / error.numel() for n, g in zip(weights, gradients, strict=True)}
        moved = self._adamw(state, mean)
        return {**moved, "loss": (total.detach() / error.numel()).float()}

    @torch.no_grad()
    def _adamw(
        self, state: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weights, moments and count after a step (Loshchilov and Hutter 2019, algorithm 2)."""
        steps = int(state["steps"]) + 1
        rate = number(self.learning_rate) * min(steps / max(self.warmup_steps, 1), 1.0)
        moved: dict[str, Tensor] = {}
        for name, gradient in gradients.items():
            finite(f"adapter: {name}", gradient)
            first = torch.lerp(state[f"first.{name}"], gradient, 1 - BETAS[0])
            second = BETAS[1] * state[f"second.{name}"] + (1 - BETAS[1]) * gradient.square()
            root = second.sqrt() / (1 - BETAS[1] ** steps) ** 0.5 + EPS
            kept = (1 - rate * self.weight_decay) * state[f"weight.{name}"]
            moved[f"weight.{name}"] = kept - rate / (1 - BETAS[0] ** steps) * first / root
            moved[f"first.{name}"], moved[f"second.{name}"] = first, second
        return {**moved, "steps": torch.full_like(state["steps"], steps)}


@dataclass(frozen=True)
class LoRA(Student):
    """An adapter that learns the renders' law and knows where the camera stands.

    Wang et al. 2023, ProlificDreamer, as in its public code: rank 4, AdamW at 1e-4 with 500 steps
    of warm-up, the prompt's own text, no guidance. The pose, ``world_from_camera`` as 16 numbers,
    goes through two layers and is added to the embedding of the timestep. The second layer starts
    at zero here, where public code draws it, so that the student starts as the prior itself. In
    training a pose is zeroed with a chance of ``pose_dropout``; so are all poses where the words
    tell of no views.
    """

    adapter: Adapter = Adapter(warmup_steps=500)
    """The weights, and how they are trained."""
    pose_dropout: float = 0.1
    """Share of the latents that are learnt without their pose."""

    def init(self, prior: Prior) -> dict[str, Tensor]:
        return self.adapter.init(prior, poses=True)

    def predict(
        self, prior: Prior, state: Mapping[str, Tensor], noised: Tensor, t: Tensor, words: Words
    ) -> Tensor:
        with adapted(prior, weights_of(state), poses=_poses(words, noised)):
            return prior.predict(noised, t, [words.positive])[0]

    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        words: Words,
        random: Randomness,
    ) -> dict[str, Tensor]:
        poses = _poses(words, latent)
        shown = random.uniform("student poses", len(latent)) >= self.pose_dropout
        poses = poses * shown.to(poses)[:, None]
        return self.adapter.learn(prior, state, latent, words.positive, random, poses)


def weights_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone, by their own names, of the state of an adapter."""
    return {
        name.removeprefix("weight."): value
        for name, value in state.items()
        if name.startswith("weight.")
    }


def _poses(words: Words, like: Tensor) -> Tensor:
    """``world_from_camera`` of the views, ``[B, 16]`` row by row; zeros where none are known."""
    if words.views is None:
        return like.new_zeros(len(like), POSE_SIZE)
    return words.views.world_from_camera.flatten(1).to(like)


def _head(network: StableDiffusion, noised: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """What the network itself answers, with a graph, in the precision of the latents."""
    words, x = condition.embedding.to(network.dtype), noised.to(network.dtype)
    head = network.unet(x, t.to(network.device), encoder_hidden_states=words, return_dict=False)[0]
    return head.to(noised.dtype)


def _target(network: StableDiffusion, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the head should answer."""
    if network.prediction_type == "v_prediction":
        return network.schedule.v_target(clean, noise, t)
    return clean if network.prediction_type == "sample" else noise
