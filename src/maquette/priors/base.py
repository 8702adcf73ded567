"""The contract of a prior: encode pictures, predict noise, understand words.

Whatever a model predicts (eps, v, x0 or a flow), a prior answers in noise predictions, at a step t
of its schedule, for several conditions in one batch. So objectives are written once for all.

A student is the other kind of model: it is not frozen, but learns the law of the pictures that a
run makes while they change. Its contract stands here as well.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from maquette.errors import PriorError
from maquette.noise import NoiseSchedule
from maquette.randomness import Randomness
from maquette.records import Condition, Render, Views, Words

__all__ = ["Counting", "Prior", "Student"]


class Prior(ABC):
    """A frozen 2D model.

    Attributes:
        schedule: its noise schedule.
        image_size: the side in pixels of the pictures that ``encode`` expects.
        latent_shape: ``(C, h, w)``.
        name: what reports call it.
    """

    schedule: NoiseSchedule
    image_size: int
    latent_shape: tuple[int, int, int]
    name: str

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Latents ``[B, C, h, w]`` of pictures ``[B, H, W, 3]`` in [0, 1]; differentiable."""

    @abstractmethod
    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Noise predictions ``[K, B, C, h, w]`` for ``noised`` ``[B, C, h, w]`` at ``t`` ``[B]``.

        One entry per condition, computed in one batch, without a graph.
        """

    @abstractmethod
    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        """The condition for one text per view; raises InputError for words it does not know.

        ``views`` and ``render`` are for priors that look at poses or pictures.
        """

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures ``[B, H, W, 3]`` in [0, 1] of latents ``[B, C, h, w]``; differentiable.

        Raises:
            PriorError: it has no decoder. Few parts need one; HiFA's image residual does.
        """
        raise PriorError(f"The prior {self.name} cannot decode latents", "Use another prior")

    def check(self, prompt: str) -> None:  # noqa: B027
        """Raise InputError where this prior cannot understand ``prompt``; most accept all."""

    def fingerprint(self) -> dict[str, str]:
        """What a checkpoint records and a resume compares, eps on a fixed input included."""
        grid = torch.linspace(-1, 1, math.prod(self.latent_shape))
        noised = grid.reshape(1, *self.latent_shape)
        with torch.no_grad():
            t = torch.tensor([len(self.schedule) // 2])
            eps = self.predict(noised, t, [self.condition([""])])
        values = eps.double().flatten()
        some = (values.std(), *values[:: max(len(values) // 8, 1)])
        return {
            "schedule": self.schedule.fingerprint(),
            "latent_shape": "x".join(map(str, self.latent_shape)),
            # Two decimals of a few values: enough to tell another network, and another machine or
            # number of threads does not round across them. A folder's name is not part of a prior.
            "eps": " ".join(f"{float(value):.2f}" for value in some),
        }


class Counting(Prior):
    """A wrapper that counts U-Net evaluations of single pictures, those of training included."""

    def __init__(self, prior: Prior, evaluations: int = 0) -> None:
        self.prior, self.evaluations = prior, evaluations
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.prior.decode(latents)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        self.evaluations += len(conditions) * noised.shape[0]
        return self.prior.predict(noised, t, conditions)

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition(texts, views, render)

    def check(self, prompt: str) -> None:
        self.prior.check(prompt)

    def fingerprint(self) -> dict[str, str]:
        # Asked of the prior itself, so that the question is not counted.
        return self.prior.fingerprint()


class Student(ABC):
    """Learns the law of latents that change; a frozen dataclass that is its own configuration.

    All that it has learned is its state, a flat dict of tensors of lasting names. The caller keeps
    it, and neither the state nor the prior is ever changed in place.
    """

    @abstractmethod
    def init(self, prior: Prior) -> dict[str, Tensor]:
        """The state before any latent was seen.

        Raises:
            PriorError: this student cannot learn beside ``prior``.
        """

    @abstractmethod
    def predict(
        self, prior: Prior, state: Mapping[str, Tensor], noised: Tensor, t: Tensor, words: Words
    ) -> Tensor:
        """The noise prediction ``[B, C, h, w]`` of the law so far, for the prompt, without a graph.

        Rows never mix. ``noised`` is ``[B, C, h, w]`` at ``t`` ``[B]``.
        """

    @abstractmethod
    def learn(
        self,
        prior: Prior,
        state: Mapping[str, Tensor],
        latent: Tensor,
        words: Words,
        random: Randomness,
    ) -> dict[str, Tensor]:
        """The state after one step of learning from clean ``latent`` ``[B, C, h, w]``."""
