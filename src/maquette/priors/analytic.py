"""The analytic prior: Gaussian mixtures, whose every prediction is known in closed form.

It answers in microseconds and without weights, so it serves as an oracle for every objective and as
a stand-in for a network in tiny runs. All texts share one list of Gaussians; a text is a row of
weights over that list, which is also what its condition holds. So the unconditional law is the mean
of all rows, and a blend of two conditions is the mixture of their texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.noise import NoiseSchedule
from maquette.priors.base import Prior
from maquette.records import Condition, Render, Views

__all__ = ["GaussianMixture", "Head", "Headed", "Mixture"]


@dataclass(frozen=True, eq=False)
class Mixture:
    """``p(x) = sum_k weights_k N(means_k, covariances_k)`` over flattened latents of size D.

    Attributes:
        weights: ``[K]``, positive; they are scaled to sum to 1.
        means: ``[K, D]``.
        covariances: ``[K]`` isotropic variances, ``[K, D]`` diagonals or ``[K, D, D]`` matrices; 0
            stands for a point.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @staticmethod
    def gaussian(mean: Tensor, covariance: float | Tensor) -> Mixture:
        """A single Gaussian around ``mean`` ``[D]``."""
        covariances = torch.as_tensor(covariance, dtype=torch.float64)[None]
        return Mixture(torch.ones(1), mean[None], covariances)

    def matrices(self) -> Tensor:
        """The covariances as ``[K, D, D]``."""
        return (
            self.covariances if self.covariances.dim() == 3 else torch.diag_embed(self.diagonals())
        )

    def diagonals(self) -> Tensor:
        """Isotropic or diagonal covariances as ``[K, D]``."""
        covariances = self.covariances
        return (covariances[:, None] if covariances.dim() == 1 else covariances).expand_as(
            self.means
        )


class GaussianMixture(Prior):
    """A prior whose law for each text is a Gaussian mixture over latents.

    With ``S_k = alpha^2 C_k + sigma^2 I``::

        r_k = softmax_k(log pi_k + log N(x_t; alpha mu_k, S_k))
        eps(x_t, t) = sigma sum_k r_k S_k^-1 (x_t - alpha mu_k) = -sigma grad log p_t(x_t)

    Args:
        mixtures: the law of each text. A text with a view word ("a mug, front view") that has no
            law of its own takes that of the bare prompt.
        latent_shape: ``(C, h, w)``, with ``C h w = D``.
        schedule: Stable Diffusion's by default.
        null: the law of the empty prompt; the mean of all texts by default.
        image_size: side of the pictures that ``encode`` takes; the latents' width by default.
        encoder: ``[D, image_size * image_size * 3]``, the linear map from flattened pictures to
            flattened latents. By default pictures are latents, their channels moved to the front.
        name: what reports call it.
    """

    def __init__(
        self,
        mixtures: Mapping[str, Mixture],
        latent_shape: tuple[int, int, int],
        *,
        schedule: NoiseSchedule | None = None,
        null: Mixture | None = None,
        image_size: int | None = None,
        encoder: Tensor | None = None,
        name: str = "analytic",
    ) -> None:
        self.schedule = schedule or NoiseSchedule.scaled_linear()
        self.latent_shape, self.name = latent_shape, name
        self.image_size = image_size or latent_shape[-1]
        self.encoder = encoder
        laws = dict(mixtures) if null is None else {**mixtures, "": null}
        self._means = torch.cat([law.means.double() for law in laws.values()])  # [N, D]
        if self._means.shape[1] != math.prod(latent_shape):
            raise InputError(f"Means of {self._means.shape[1]} numbers do not fill {latent_shape}")
        self._variances, self._basis = _principal_axes(list(laws.values()))
        self._rows = _rows_of_weights(laws)

    @staticmethod
    def from_pictures(
        pictures: Mapping[str, Tensor], *, variance: float = 0.05, name: str = "analytic"
    ) -> GaussianMixture:
        """The prior that knows one picture ``[S, S, 3]`` or several ``[K, S, S, 3]`` per text."""
        mixtures = {}
        for text, picture in pictures.items():
            means = _channels_first(picture.reshape(-1, *picture.shape[-3:])).flatten(1).double()
            ones = torch.ones(len(means), dtype=torch.float64)
            mixtures[text] = Mixture(ones, means, variance * ones)
        size = next(iter(pictures.values())).shape[-2]
        return GaussianMixture(mixtures, (3, size, size), name=name)

    def encode(self, images: Tensor) -> Tensor:
        if self.encoder is not None:
            flat = images.flatten(1) @ self.encoder.to(images).T
            return flat.reshape(-1, *self.latent_shape)
        if images.shape[1:] != (*self.latent_shape[1:], 3):
            raise InputError(
                f"Pictures of shape {tuple(images.shape[1:])} are no latents {self.latent_shape}",
                "Give the prior an encoder",
            )
        return _channels_first(images)

    def decode(self, latents: Tensor) -> Tensor:
        if self.encoder is None:
            return latents.permute(0, 2, 3, 1)
        # Of all pictures that the encoder takes nearest to the latents, the smallest.
        flat = latents.flatten(1) @ torch.linalg.pinv(self.encoder).to(latents).T
        return flat.reshape(-1, self.image_size, self.image_size, 3)

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return self.answers(noised, t, conditions)[0]

    @torch.no_grad()
    def answers(
        self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]
    ) -> tuple[Tensor, Tensor]:
        """Noise and clean latents, ``[K, B, C, h, w]`` each, from two separate closed forms.

        The clean one is the posterior mean ``E[x_0 | x_t]``,
        ``sum_k r_k (mu_k + alpha C_k S_k^-1 (x_t - alpha mu_k))``.
        """
        x = noised.double().flatten(1)[:, None]  # [B, 1, D]
        alpha, sigma = self.schedule.alpha(t, x), self.schedule.sigma(t, x)  # [B, 1, 1]
        means, variances = self._means.to(x), self._variances.to(x)
        spread = alpha**2 * variances + sigma**2  # [B, N, D], along the principal axes
        off = self._along_axes(x - alpha * means)
        log_density = -0.5 * (off.square() / spread + spread.log()).sum(-1)  # [B, N]
        eps = sigma * self._from_axes(off / spread)
        clean = means + alpha * self._from_axes(variances * off / spread)
        shares = [
            torch.softmax(c.embedding[:, 0].to(x).log() + log_density, dim=-1) for c in conditions
        ]
        share = torch.stack(shares)[..., None]  # [K, B, N, 1]
        shape = (len(conditions), *noised.shape)
        return (
            (share * eps).sum(2).reshape(shape).to(noised),
            (share * clean).sum(2).reshape(shape).to(noised),
        )

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        rows = torch.stack([self._rows[self._known(text)] for text in texts])
        return Condition(rows[:, None])  # [B, 1, N]

    def check(self, prompt: str) -> None:
        self._known(prompt)

    def fingerprint(self) -> dict[str, str]:
        # The default asks about the empty prompt alone, whose law may be the same while a text's
        # differs.
        rows = torch.stack([self._rows[text] for text in sorted(self._rows)])
        noised = torch.linspace(-1, 1, self._means.shape[1], dtype=torch.float64)
        noised = noised.reshape(1, *self.latent_shape).expand(len(rows), -1, -1, -1)
        t = torch.full((len(rows),), len(self.schedule) // 2)
        eps = self.predict(noised, t, [Condition(rows[:, None])])
        laws = f"{len(rows)} texts {float(eps.mean()):.4g} {float(eps.std()):.4g}"
        return {**super().fingerprint(), "laws": laws}

    def _known(self, text: str) -> str:
        bare, _, suffix = text.rpartition(", ")
        for candidate in (text, bare if suffix.endswith(" view") else text):
            if candidate in self._rows:
                return candidate
        known = ", ".join(repr(text) for text in self._rows if text)
        raise InputError(f"This prior has no law for {text!r}", f"It knows {known}")

    def _along_axes(self, vectors: Tensor) -> Tensor:
        if self._basis is None:
            return vectors
        return torch.einsum("bnd,nde->bne", vectors, self._basis.to(vectors))

    def _from_axes(self, vectors: Tensor) -> Tensor:
        if self._basis is None:
            return vectors
        return torch.einsum("bne,nde->bnd", vectors, self._basis.to(vectors))


Head = Literal["eps", "x0", "v", "flow"]
"""What a network may be trained to predict."""


class Headed(Prior):
    """An analytic prior behind another head: it predicts what ``head`` says and is converted back.

    To an objective it must look like the prior within. ``v`` belongs to variance-preserving
    schedules and ``flow`` to flow schedules.
    """

    def __init__(self, prior: GaussianMixture, head: Head) -> None:
        self.prior, self.head = prior, head
        self.schedule, self.image_size = prior.schedule, prior.image_size
        self.latent_shape, self.name = prior.latent_shape, prior.name

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.prior.decode(latents)

    def output(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """What the network itself would answer, ``[K, B, C, h, w]``."""
        eps, clean = self.prior.answers(noised, t, conditions)
        if self.head == "v":
            alpha, sigma = self.schedule.alpha(t, noised), self.schedule.sigma(t, noised)
            return alpha * eps - sigma * clean
        return {"eps": eps, "x0": clean, "flow": eps - clean}[self.head]

    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        output = self.output(noised, t, conditions)
        if self.head == "x0":
            return self.schedule.eps_from_clean(noised, output, t)
        if self.head == "v":
            return self.schedule.eps_from_v(noised, output, t)
        if self.head == "flow":
            return self.schedule.eps_from_flow(noised, output, t)
        return output

    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        return self.prior.condition(texts, views, render)

    def check(self, prompt: str) -> None:
        self.prior.check(prompt)


def _channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2)


def _principal_axes(laws: Sequence[Mixture]) -> tuple[Tensor, Tensor | None]:
    """Variances ``[N, D]`` along axes ``[N, D, D]`` (columns); None for the coordinate axes."""
    if all(law.covariances.dim() < 3 for law in laws):
        return torch.cat([law.diagonals().double() for law in laws]), None
    matrices = torch.cat([law.matrices().double() for law in laws])
    variances, basis = torch.linalg.eigh(matrices)
    return variances.clamp(min=0), basis


def _rows_of_weights(laws: Mapping[str, Mixture]) -> dict[str, Tensor]:
    """The weights ``[N]`` of all Gaussians for each text; the mean for an empty text not given."""
    rows, offset = {}, 0
    total = sum(len(law.weights) for law in laws.values())
    for text, law in laws.items():
        row = torch.zeros(total, dtype=torch.float64)
        row[offset : offset + len(law.weights)] = law.weights.double() / law.weights.double().sum()
        rows[text], offset = row, offset + len(law.weights)
    rows.setdefault("", torch.stack(list(rows.values())).mean(0))
    return rows
