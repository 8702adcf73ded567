"""Random scenes of Gaussians, and what the tests of the splat renderers share."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.camera import camera_from_world, intrinsics_from_fov, orbit_pose
from maquette.render.splat_torch import Splatted

NAMES = ("means", "quats", "scales", "opacities", "features", "screen_offsets")


@dataclass
class Scene:
    """Everything a rasteriser takes, in float64; the arguments in ``inputs`` are differentiable."""

    inputs: tuple[Tensor, ...]
    pose: Tensor
    pinhole: Tensor
    width: int
    height: int

    def inputs_in(self, dtype: torch.dtype) -> list[Tensor]:
        """Fresh leaves; both types hold the same numbers, since float32 is the coarser one."""
        return [x.float().to(dtype).requires_grad_() for x in self.inputs]

    def render(
        self, rasterize: Callable[..., Splatted], inputs: list[Tensor], **options
    ) -> Splatted:
        pose, pinhole = (x.float().to(inputs[0].dtype) for x in (self.pose, self.pinhole))
        return rasterize(
            *inputs[:5], pose, pinhole, self.width, self.height, screen_offsets=inputs[5], **options
        )


def make_scene(
    count: int = 200,
    *,
    views: int = 2,
    width: int = 64,
    height: int = 64,
    channels: int = 3,
    scale: float = 0.08,
    stretch: float = 0.4,
    opacity: tuple[float, float] = (0.1, 0.95),
    spread: float = 0.6,
    distance: float = 2.5,
    per_view: bool = False,
    seed: int = 0,
) -> Scene:
    """A cloud of random splats around the origin, seen from a ring of cameras."""
    torch.manual_seed(seed)
    options = {"dtype": torch.float64}
    azimuth = torch.arange(views, **options) * (360 / max(views, 1)) + 25
    pose = orbit_pose(azimuth, torch.full_like(azimuth, 20), torch.full_like(azimuth, distance))
    low, high = opacity
    inputs = (
        torch.randn(count, 3, **options) * spread,
        torch.randn(count, 4, **options) * 2,
        scale * torch.exp(stretch * torch.randn(count, 3, **options)),
        low + (high - low) * torch.rand(count, **options),
        torch.randn(*([views] if per_view else []), count, channels, **options),
        torch.randn(views, count, 2, **options),
    )
    pinhole = intrinsics_from_fov(torch.full_like(azimuth, 49), width, height)
    return Scene(inputs, camera_from_world(pose), pinhole, width, height)


def assert_alike(found: Tensor, expected: Tensor, relative: float, name: str = "") -> None:
    """Relative L2, cosine and signed bias: a small error may not even lean to one side."""
    found, expected = found.double().flatten(), expected.double().flatten()
    size = expected.norm()
    if size == 0:
        assert not found.any(), name
        return
    assert (found - expected).norm() / size <= relative, (name, (found - expected).norm() / size)
    assert found @ expected / (found.norm() * size) >= 1 - max(relative**2, 1e-12), name
    bias = (found - expected).sum() / (size * math.sqrt(len(found)))
    assert abs(bias) <= relative / 3, (name, bias)
