"""A scene of 3D Gaussians (3D Gaussian Splatting, Kerbl et al. 2023).

The leaf tensors hold what an optimiser may move freely: logarithms of scales, logits of opacities,
quaternions of any length, spherical harmonics. Activations happen in ``render`` only, and the
tensors are the very numbers that a PLY file stores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from maquette.errors import CheckpointError, InputError
from maquette.records import Render, Views
from maquette.render.spherical_harmonics import coefficient_count, sh_degree
from maquette.render.splat import render_gaussians
from maquette.scenes.base import Scene

__all__ = ["MAX_SCALE", "MIN_SCALE", "SH_CONSTANT", "Gaussians", "neighbour_distance"]

MIN_SCALE = 1e-7
MAX_SCALE = 1e2
"""Scales outside of these, in world units, mean nothing to a renderer in single precision."""

SH_CONSTANT = 0.5 / math.sqrt(math.pi)
"""The constant harmonic: a colour is ``0.5 + SH_CONSTANT * sh[:, 0]`` at degree 0."""

LONE_SCALE = 0.05
"""The scale of a Gaussian without neighbours, in world units."""

_WIDTHS = {"means": (3,), "log_scales": (3,), "quats": (4,), "logit_opacities": (), "sh": (-1, 3)}


class Gaussians(Scene):
    """``N`` Gaussians with leaf tensors that are copies of the arguments.

    Args:
        means: ``[N, 3]`` centres in world units.
        log_scales: ``[N, 3]`` natural logarithms of the standard deviations in world units.
        quats: ``[N, 4]`` orientations, w x y z, of any length but zero.
        logit_opacities: ``[N]``.
        sh: ``[N, K, 3]`` spherical harmonics, K = 1, 4, 9 or 16 for degree 0 to 3.

    Raises:
        InputError: for a wrong shape, a non-finite value, or mixed dtypes or devices.
    """

    def __init__(
        self, means: Tensor, log_scales: Tensor, quats: Tensor, logit_opacities: Tensor, sh: Tensor
    ) -> None:
        self._parameters = _leaves(
            {
                "means": means,
                "log_scales": log_scales,
                "quats": quats,
                "logit_opacities": logit_opacities,
                "sh": sh,
            }
        )

    @staticmethod
    def from_points(
        points: Tensor, colours: Tensor, *, opacity: float = 0.1, sh_degree: int = 0
    ) -> Gaussians:
        """Round Gaussians on points, each as large as the distance to its neighbours.

        Args:
            points: ``[N, 3]`` in world units.
            colours: ``[N, 3]`` sRGB in [0, 1].
            opacity: of all, in (0, 1).
            sh_degree: 0 to 3; coefficients above degree 0 start at 0.

        Raises:
            InputError: for an opacity or degree out of range, or points that are no points.
        """
        if not 0.0 < opacity < 1.0:
            raise InputError(f"An opacity of {opacity} has no logit", "Give one inside (0, 1)")
        if not 0 <= sh_degree <= 3:
            raise InputError(f"There is no harmonic degree {sh_degree} here", "Give 0, 1, 2 or 3")
        if points.ndim != 2 or points.shape[1] != 3 or colours.shape != points.shape:
            raise InputError(
                f"Points {list(points.shape)} and colours {list(colours.shape)} do not match",
                "Give both as [N, 3]",
            )
        if not bool(torch.isfinite(points).all()):
            raise InputError("A point is not finite", "Look where the points came from")
        scale = neighbour_distance(points).clamp(MIN_SCALE, MAX_SCALE)
        sh = points.new_zeros(len(points), coefficient_count(sh_degree), 3)
        sh[:, 0] = (colours.to(points) - 0.5) / SH_CONSTANT
        upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(points)
        return Gaussians(
            points,
            scale.log()[:, None].expand(-1, 3),
            upright.expand(len(points), 4),
            points.new_full((len(points),), math.log(opacity / (1.0 - opacity))),
            sh,
        )

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Gaussians:
        """The scene whose ``tensors()`` these are.

        Raises:
            CheckpointError: if a tensor is missing, unknown, of a wrong shape or non-finite.
        """
        if set(tensors) != set(_WIDTHS):
            raise CheckpointError(
                f"A scene of Gaussians has no tensors {sorted(set(tensors) ^ set(_WIDTHS))} "
                f"or lacks them",
                f"It needs exactly {', '.join(_WIDTHS)}",
            )
        try:
            return Gaussians(**tensors)
        except InputError as fault:
            raise CheckpointError(fault.what, fault.next_step) from fault

    def tensors(self) -> dict[str, Tensor]:
        """Detached, contiguous copies of the parameters by name, as a checkpoint stores them."""
        return {name: value.detach().clone() for name, value in self._parameters.items()}

    def parameters(self) -> dict[str, Tensor]:
        return dict(self._parameters)

    def replace(self, parameters: dict[str, Tensor]) -> None:
        """Put copies of these in place as new leaf tensors; the number of rows may differ.

        Raises:
            InputError: as the constructor, or if names or widths change.
        """
        if parameters.keys() != self._parameters.keys():
            raise InputError(
                f"The parameters {sorted(parameters)} are not those of a scene of Gaussians",
                f"Give exactly {', '.join(self._parameters)}",
            )
        for name, value in parameters.items():
            if value.shape[1:] != self._parameters[name].shape[1:]:
                raise InputError(
                    f"{name} changed its width from {list(self._parameters[name].shape[1:])} "
                    f"to {list(value.shape[1:])}",
                    "Only the number of rows may change",
                )
        self._parameters = _leaves(parameters)

    @property
    def count(self) -> int:
        return self._parameters["means"].shape[0]

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 3."""
        return sh_degree(self._parameters["sh"].shape[1])

    @property
    def means(self) -> Tensor:
        """``[N, 3]`` centres in world units, the leaf tensor."""
        return self._parameters["means"]

    @property
    def quats(self) -> Tensor:
        """``[N, 4]`` orientations w x y z, not necessarily of unit length, the leaf tensor."""
        return self._parameters["quats"]

    @property
    def sh(self) -> Tensor:
        """``[N, K, 3]`` spherical harmonics, the leaf tensor."""
        return self._parameters["sh"]

    @property
    def scales(self) -> Tensor:
        """``[N, 3]`` standard deviations in world units, differentiable."""
        return self._parameters["log_scales"].exp()

    @property
    def opacities(self) -> Tensor:
        """``[N]`` in (0, 1), differentiable."""
        return self._parameters["logit_opacities"].sigmoid()

    def render(self, views: Views, background: Tensor, *, geometry: bool = False) -> Render:
        offsets = None
        if torch.is_grad_enabled():  # Without a graph nobody can ask for a gradient on the screen.
            offsets = self.means.new_zeros(len(views), self.count, 2, requires_grad=True)
        return render_gaussians(
            self.means,
            self.quats,
            self.scales,
            self.opacities,
            self.sh,
            views.world_from_camera.to(self.means),
            views.intrinsics.to(self.means),
            views.width,
            views.height,
            background=background.to(self.means),
            depth=geometry,
            normals=geometry,
            screen_offsets=offsets,
        )


@torch.no_grad()
def neighbour_distance(points: Tensor, neighbours: int = 3) -> Tensor:
    """Root mean square distance ``[N]`` to the three nearest other points: how 3DGS sizes them.

    Exact. Points without any neighbour get ``LONE_SCALE``.
    """
    neighbours = min(neighbours, len(points) - 1)
    if neighbours < 1:
        return points.new_full((len(points),), LONE_SCALE)
    boxes = _boxes(points, torch.arange(len(points), device=points.device))
    low = torch.stack([points[box].amin(0) for box in boxes])
    high = torch.stack([points[box].amax(0) for box in boxes])
    result = torch.zeros_like(points[:, 0])
    for number, box in enumerate(boxes):
        # The neighbours inside the own box tell how far away nearer ones can at most be.
        reach = _nearest(points, box, box, neighbours).max()
        gap = torch.maximum(low - high[number], low[number] - high).clamp(min=0.0)
        # A hair more, because the two distances are rounded differently.
        near = torch.nonzero(gap.norm(dim=-1) <= 1.001 * reach)[:, 0].tolist()
        others = torch.cat([boxes[other] for other in near])
        result[box] = _nearest(points, box, others, neighbours).square().mean(1).sqrt()
    return result


def _nearest(points: Tensor, rows: Tensor, others: Tensor, count: int) -> Tensor:
    """Distances ``[len(rows), count]`` to the nearest among others, a point itself excluded."""
    # Differences, not the expanded square: near points must not cancel to zero distance.
    exact = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(points[rows], points[others], compute_mode=exact)
    distance[rows[:, None] == others] = torch.inf
    return distance.topk(count, largest=False).values


def _boxes(points: Tensor, rows: Tensor, largest: int = 128) -> list[Tensor]:
    """Indices of points that lie together: halved across the longest side until few are left."""
    if len(rows) <= largest:
        return [rows]
    axis = int((points[rows].amax(0) - points[rows].amin(0)).argmax())
    order = rows[points[rows, axis].sort(stable=True).indices]
    middle = len(rows) // 2
    return _boxes(points, order[:middle], largest) + _boxes(points, order[middle:], largest)


def _leaves(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Checked copies of the parameters as leaf tensors."""
    means = parameters["means"]
    for name, width in _WIDTHS.items():
        value = parameters[name]
        wanted = (len(means) if means.ndim else 0, *width)
        fits = value.ndim == len(wanted) and all(
            want in (-1, have) for want, have in zip(wanted, value.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"{name} has the shape {list(value.shape)}",
                f"It must be {['K' if size == -1 else size for size in wanted]}",
            )
        if not value.is_floating_point() or value.dtype != means.dtype:
            raise InputError(
                f"{name} is {value.dtype} beside means of {means.dtype}", "Give one float dtype"
            )
        if value.device != means.device:
            raise InputError(f"{name} is on {value.device}, the means on {means.device}")
        if not bool(torch.isfinite(value.detach()).all()):
            raise InputError(f"{name} holds a value that is not finite", "Look where it came from")
    sh_degree(parameters["sh"].shape[1])
    return {
        name: parameters[name]
        .detach()
        .clone(memory_format=torch.contiguous_format)
        .requires_grad_()
        for name in _WIDTHS
    }
