"""How fast the Gaussian renderers are: forward and backward, in milliseconds.

The scene is an object as text-to-3D makes them: N Gaussians on a bumpy sphere of radius 0.8, seen
from 2.5 away at a field of view of 49 degrees, about 0.7 of their spacing wide, of opacity 0.67 in
the mean. CPU time is the sum over threads and the figure to compare on a machine with other work
on it; wall time is what a user waits. Both are the least of several runs.

    python benchmarks/render.py            # the whole table, some minutes
    python benchmarks/render.py --quick    # its corners, some seconds

With gsplat installed (``pip install gsplat --no-deps``) its PyTorch references are timed too. On a
CPU they end with the projection: its blending calls CUDA, or nerfacc, which does. Here the formula
of its ``accumulate`` is applied to every pair of splat and pixel instead.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from maquette.camera import camera_from_world, intrinsics_from_fov, orbit_pose
from maquette.render import splat_cpu, splat_torch

SIZES, COUNTS = (64, 128, 256, 512), (5_000, 20_000, 100_000)
QUICK_SIZES, QUICK_COUNTS = (64, 128), (5_000,)
STEP_SIZES, STEP_COUNTS = (64, 96), (3_000, 6_000)  # What the embedded prior asks for, 4 views.


def object_scene(count: int) -> list[Tensor]:
    """Means, quats, scales, opacities and colours that require gradients."""
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)
    bumps = 1 + 0.08 * torch.sin(5 * directions[:, :1]) * torch.cos(4 * directions[:, 1:2])
    width = 0.7 * math.sqrt(4 * math.pi * 0.8**2 / count)
    scene = [
        0.8 * bumps * directions,
        torch.randn(count, 4, generator=random),
        width * torch.exp(0.3 * torch.randn(count, 3, generator=random)),
        torch.sigmoid(0.9 + torch.randn(count, generator=random)),
        torch.rand(count, 3, generator=random),
    ]
    return [tensor.requires_grad_() for tensor in scene]


def cameras(views: int, size: int) -> tuple[Tensor, Tensor]:
    """``camera_from_world`` and intrinsics of a ring of square views."""
    azimuth = torch.arange(views) * (360.0 / views) + 20
    pose = orbit_pose(azimuth, torch.full_like(azimuth, 15), torch.full_like(azimuth, 2.5))
    return camera_from_world(pose), intrinsics_from_fov(torch.full_like(azimuth, 49), size, size)


def timed(step: Callable[[], object], seconds: float) -> tuple[float, float]:
    """CPU and wall milliseconds of a step: the least of at least three runs."""
    step()
    cpu = wall = math.inf
    runs, end = 0, time.perf_counter() + seconds
    while runs < 3 or time.perf_counter() < end:
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        step()
        cpu = min(cpu, time.process_time() - cpu_start)
        wall = min(wall, time.perf_counter() - wall_start)
        runs += 1
    return cpu * 1e3, wall * 1e3


def rendering(rasterize: Callable, count: int, size: int, views: int = 1) -> Callable[[], None]:
    """A step: rasterise, and carry a random gradient back to all inputs."""
    scene, (pose, pinhole) = object_scene(count), cameras(views, size)
    gradient = torch.randn(views, size, size, 3)

    def step() -> None:
        splatted = rasterize(*scene, pose, pinhole, size, size)
        torch.autograd.grad([splatted.features], scene, [gradient])

    return step


def print_kernels(counts: tuple[int, ...], sizes: tuple[int, ...], seconds: float) -> None:
    """The CPU kernels over scene and picture sizes, on one thread and on two."""
    print("\nCPU kernels, one view, forward + backward, ms")
    print(
        f"{'splats':>8} {'pixels':>7} {'cpu (1)':>9} {'wall (1)':>9} {'cpu (2)':>9} {'wall (2)':>9}"
    )
    for count in counts:
        for size in sizes:
            print_row(count, size, 1, seconds)


def print_steps(seconds: float) -> None:
    """The same for the small pictures of four views that a step on a laptop asks for."""
    print("\nCPU kernels, four views, forward + backward, ms for all four")
    for count in STEP_COUNTS:
        for size in STEP_SIZES:
            print_row(count, size, 4, seconds)


def print_row(count: int, size: int, views: int, seconds: float) -> None:
    """One row of the two tables above."""
    cells = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        cells += timed(rendering(splat_cpu.rasterize, count, size, views), seconds)
    print(f"{count:8d} {size:6d}² " + " ".join(f"{cell:9.2f}" for cell in cells), flush=True)


def print_references(pairs: list[tuple[int, int]], seconds: float) -> None:
    """The CPU kernels beside their twin and beside gsplat's reference functions, one thread."""
    torch.set_num_threads(1)
    gsplat = gsplat_reference()
    print(
        "\nReferences, one thread, forward + backward, CPU ms (and times slower than the kernels)"
    )
    print(
        f"{'splats':>8} {'pixels':>7} {'kernels':>9} {'twin':>19} {'gsplat reference':>19}", end=""
    )
    print(f" {'its projection':>19}")
    for count, size in pairs:
        ours, _ = timed(rendering(splat_cpu.rasterize, count, size), seconds)
        cells = [timed(rendering(splat_torch.rasterize, count, size), seconds)[0]]
        if gsplat is not None:
            rasterize, project = gsplat
            cells.append(timed(rendering(rasterize, count, size), seconds)[0])
            cells.append(timed(projecting(project, count, size), seconds)[0])
        row = " ".join(f"{cell:10.1f} ({cell / ours:5.0f}x)" for cell in cells)
        print(f"{count:8d} {size:6d}² {ours:9.2f} {row}", flush=True)
    if gsplat is None:
        print("gsplat is not installed: its columns are left out")


def projecting(project: Callable, count: int, size: int) -> Callable[[], None]:
    """A step of projection alone, with gradients to means, quats and scales."""
    scene, (pose, pinhole) = object_scene(count)[:3], cameras(1, size)

    def step() -> None:
        _, centres, _, conics = project(*scene, pose, pinhole, size, size)
        torch.autograd.grad(centres.sum() + conics.sum(), scene)

    return step


def gsplat_reference() -> tuple[Callable, Callable] | None:
    """gsplat's PyTorch projection, and a rasteriser made of it and a dense ``accumulate``."""
    try:
        from gsplat.cuda import _torch_impl as reference  # type: ignore[import-not-found]
    except ImportError:
        return None

    def project(means, quats, scales, pose, pinhole, width, height):
        covariances, _ = reference._quat_scale_to_covar_preci(
            quats, scales, True, False, triu=False
        )
        return reference._fully_fused_projection(
            means, covariances, pose, pinhole, width, height, eps2d=0.3
        )[:4]

    def rasterize(means, quats, scales, opacities, colours, pose, pinhole, width, height):
        _, centres, depths, conics = project(means, quats, scales, pose, pinhole, width, height)
        order = depths[0].argsort()
        a, b, c = conics[0, order].unbind(-1)
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        pixels = torch.stack([xs, ys], dim=-1).reshape(-1, 1, 2) + 0.5
        dx, dy = (pixels - centres[0, order]).unbind(-1)
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = torch.clamp_max(opacities[order] * torch.exp(-sigma), 0.999)
        through = torch.cumprod(1 - alpha, dim=1)
        before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], dim=1)
        picture = (alpha * before) @ colours[order]
        picture = picture.reshape(1, height, width, 3)
        return splat_torch.Splatted(picture, picture[..., 0], picture[..., 0])

    return rasterize, project


def print_machine(date: str) -> None:
    """What the figures were measured on."""
    information = Path("/proc/cpuinfo")
    names = information.read_text().splitlines() if information.exists() else []
    model = next((line.split(":")[1].strip() for line in names if "model name" in line), "")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{date}: {model or platform.processor()}, {os.cpu_count()} cores{load}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()}")


def print_first_call() -> None:
    """What a process pays for the kernels before its first picture: compiling, or the cache."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    rendering(splat_cpu.rasterize, 100, 64)()
    print(f"first call {time.perf_counter() - start:.2f} s")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description="Time the Gaussian renderers.")
    parser.add_argument("--quick", action="store_true", help="only the corners of the table")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="for the header")
    options = parser.parse_args()
    seconds = 0.3 if options.quick else 2.0
    print_machine(options.date)
    print_first_call()
    counts, sizes = (QUICK_COUNTS, QUICK_SIZES) if options.quick else (COUNTS, SIZES)
    print_kernels(counts, sizes, seconds)
    print_steps(seconds)
    pairs = [(500, 64)] if options.quick else [(500, 64), (2_000, 64), (500, 128)]
    print_references(pairs, seconds)


if __name__ == "__main__":
    main()
