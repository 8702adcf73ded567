"""What travels through a step, and the legend of axes.

Axes, used in every docstring: ``B`` views of a step, ``H`` ``W`` picture rows and columns, ``C``
``h`` ``w`` latent channels, rows and columns, ``N`` Gaussians, ``K`` conditions (or harmonics),
``L`` text tokens, ``E`` embedding width. Pictures are ``[B, H, W, 3]`` floats in [0, 1], sRGB as
stored; latents are ``[B, C, h, w]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maquette.camera import FOV_Y_DEG, camera_from_world, intrinsics_from_fov, orbit_pose

__all__ = [
    "Against",
    "Condition",
    "Guidance",
    "Outcome",
    "Render",
    "Report",
    "Rgb",
    "Views",
    "Words",
]

Rgb = tuple[float, float, float]
"""A colour, sRGB in [0, 1]."""


@dataclass(frozen=True)
class Views:
    """A batch of cameras on spheres around the origin.

    Attributes:
        azimuth_deg: ``[B]``; 0 looks at the front.
        elevation_deg: ``[B]``, above the horizon.
        distance: ``[B]``, world units.
        fov_y_deg: ``[B]``, vertical field of view.
        width: picture width in pixels.
        height: picture height in pixels.
    """

    azimuth_deg: Tensor
    elevation_deg: Tensor
    distance: Tensor
    fov_y_deg: Tensor
    width: int
    height: int

    def __len__(self) -> int:
        return self.azimuth_deg.shape[0]

    def __getitem__(self, rows: slice) -> Views:
        return replace(
            self,
            azimuth_deg=self.azimuth_deg[rows],
            elevation_deg=self.elevation_deg[rows],
            distance=self.distance[rows],
            fov_y_deg=self.fov_y_deg[rows],
        )

    @property
    def world_from_camera(self) -> Tensor:
        """Poses ``[B, 4, 4]``, OpenCV camera axes."""
        return orbit_pose(self.azimuth_deg, self.elevation_deg, self.distance)

    @property
    def camera_from_world(self) -> Tensor:
        """Inverse poses ``[B, 4, 4]``."""
        return camera_from_world(self.world_from_camera)

    @property
    def intrinsics(self) -> Tensor:
        """Pinhole matrices ``[B, 3, 3]`` in pixels."""
        return intrinsics_from_fov(self.fov_y_deg, self.width, self.height)

    def to(self, device: torch.device | str) -> Views:
        """The same cameras on another device."""
        return replace(
            self,
            azimuth_deg=self.azimuth_deg.to(device),
            elevation_deg=self.elevation_deg.to(device),
            distance=self.distance.to(device),
            fov_y_deg=self.fov_y_deg.to(device),
        )

    def sized(self, width: int, height: int) -> Views:
        """The same cameras with another picture size."""
        return replace(self, width=width, height=height)

    @staticmethod
    def ring(
        count: int,
        *,
        elevation_deg: float = 15.0,
        distance: float = 3.3,
        fov_y_deg: float = FOV_Y_DEG,
        size: int = 64,
        start_deg: float = 0.0,
    ) -> Views:
        """``count`` cameras evenly around the object, the end not repeated."""
        azimuth = start_deg + torch.arange(count) * (360.0 / count)
        ones = torch.ones(count)
        return Views(azimuth, ones * elevation_deg, ones * distance, ones * fov_y_deg, size, size)


@dataclass(frozen=True)
class Render:
    """Pictures of a scene, and what its backward pass can tell.

    Attributes:
        colour: ``[B, H, W, 3]`` over the background, in [0, 1].
        alpha: ``[B, H, W, 1]``.
        depth: ``[B, H, W, 1]`` expected z-depth in world units, or None where it was not asked for.
        depth_variance: ``[B, H, W, 1]`` of that depth over what a pixel sees, or None likewise.
        normals: ``[B, H, W, 3]`` in the world frame, or None likewise.
        screen_offsets: ``[B, N, 2]`` zeros in the graph, whose gradient is the one on the projected
            centres in pixels; None for scenes that are not splats.
        radii: int32 ``[B, N, 2]`` extents in pixels, 0 where a splat is not seen, or None.
        scales: ``[N, 3]`` standard deviations of the splats in world units, outside the graph; None
            for other scenes.
    """

    colour: Tensor
    alpha: Tensor
    depth: Tensor | None = None
    depth_variance: Tensor | None = None
    normals: Tensor | None = None
    screen_offsets: Tensor | None = None
    radii: Tensor | None = None
    scales: Tensor | None = None


@dataclass(frozen=True)
class Condition:
    """What the prior is told, one row per view.

    Attributes:
        embedding: ``[B, L, E]`` text states (or a prior's own form of a condition).
        pooled: ``[B, P]`` a second, pooled form for priors that take one, else None.
    """

    embedding: Tensor
    pooled: Tensor | None = None

    def rows(self, rows: Tensor | slice) -> Condition:
        """The condition of some views only; ``rows`` is a mask ``[B]``, indices or a slice."""
        pooled = None if self.pooled is None else self.pooled[rows]
        return replace(self, embedding=self.embedding[rows], pooled=pooled)


@dataclass(frozen=True)
class Against:
    """A text to keep away from, more in some views than in others (Perp-Neg).

    Attributes:
        condition: what the text says.
        weight: ``[B]``, below 0 where the text is pushed off; 0 leaves a view alone.
    """

    condition: Condition
    weight: Tensor


@dataclass(frozen=True)
class Words:
    """What an objective may ask the prior about, and how guidance combines the answers.

    Attributes:
        positive: the prompt, with the view word of each view.
        negative: the negative prompt (equal to ``null`` when none was given).
        null: the empty prompt.
        against: further texts that guidance keeps away from; none in plain guidance.
        rescale: the share in [0, 1] to which a guided prediction takes back the standard deviation
            of the text's; 0 in plain guidance.
        views: the cameras, for whoever looks at poses; None where they are not known.
    """

    positive: Condition
    negative: Condition
    null: Condition
    against: tuple[Against, ...] = ()
    rescale: float = 0.0
    views: Views | None = None


@dataclass(frozen=True)
class Guidance:
    """An objective's answer.

    Attributes:
        gradient: ``[B, C, h, w]``, the direction in which the latents must NOT go: descend on it.
        value: ``[B]``, a real scalar per view: half the mean square of the gradient.
        state: the objective's running state after this step.
    """

    gradient: Tensor
    value: Tensor
    state: dict[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(gradient: Tensor, state: dict[str, Tensor] | None = None) -> Guidance:
        """An answer whose value follows from its gradient."""
        value = 0.5 * gradient.detach().square().flatten(1).mean(1)
        return Guidance(gradient, value, state or {})


@dataclass(frozen=True)
class Outcome:
    """What a step found out, for the parts that learn from it.

    Attributes:
        step: the step, counted from 1.
        views: its cameras.
        t: ``[B]``, the timesteps of the views.
        value: ``[B]``, the objective's real scalar per view.
        gradients: ``[B, ...]`` by parameter, what each view alone asks of the scene, regularisers
            left out; empty unless the fusion asked for it.
    """

    step: int
    views: Views
    t: Tensor
    value: Tensor
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a step tells to whoever watches.

    Attributes:
        step: the step just done, counted from 1.
        total_steps: of the whole run.
        loss: mean over views of the objective's value.
        losses: the regularisers by name, weighted.
        evaluations: U-Net evaluations of single pictures, since the start of the run.
        count: number of primitives of the scene (Gaussians), 0 where that has no meaning.
        t: the timesteps of the views.
        skipped: the site of a non-finite value for which the step was skipped, or "".
        views: the cameras of the step.
        pixel_gradient_norm: mean over views of the norm of the regulated pixel gradient.
    """

    step: int
    total_steps: int
    loss: float
    losses: dict[str, float]
    evaluations: int
    count: int
    t: tuple[int, ...]
    skipped: str = ""
    views: Views | None = None
    pixel_gradient_norm: float = 0.0
