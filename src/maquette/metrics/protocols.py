"""How each paper measures: from where it looks, at what size, on what background, and with what.

A number of one protocol says nothing about a number of another: views, elevation, resolution,
background and model all move it. So each stands here whole, under the name of its recipe, and
what a paper leaves open is filled in, the same for all where nothing speaks against it, and said:
our usual ring of cameras, 512 pixels, a white background. ``Protocol.chosen`` repeats it, to be
printed beside the numbers.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from maquette.camera import FOV_Y_DEG
from maquette.errors import InputError
from maquette.records import Rgb, Views

__all__ = [
    "Cameras",
    "Measure",
    "Metric",
    "Orbit",
    "Protocol",
    "cograd3d",
    "dreamer_xl",
    "dreamfusion",
    "pgc",
    "protocol",
    "protocol_names",
    "ptd",
]

Metric = Literal[
    "clip_score",
    "clip_cosine",
    "deviation_over_prompts",
    "r_precision",
    "adjacent_lpips",
    "vqa_score",
    "image_reward",
    "pick_score",
    "saturation",
    "sharpness",
    "janus",
]
"""The functions of this folder by their names; ``janus`` is ``metrics/janus.py``."""

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Orbit:
    """Cameras evenly around the object at one height, the end not repeated."""

    count: int
    """How many."""

    elevation_deg: float
    """Above the horizon."""

    start_deg: float = 0.0
    """The azimuth of the first; 0 looks at the front."""


@dataclass(frozen=True)
class Cameras:
    """From where pictures are taken, and how."""

    orbits: tuple[Orbit, ...]
    """One after another."""

    distance: float = 3.3
    """From the origin, in world units; an object has a radius of about 1."""

    fov_y_deg: float = FOV_Y_DEG
    """The vertical field of view."""

    size: int = 512
    """The side of the pictures in pixels."""

    background: Rgb = WHITE
    """The colour behind the object."""

    def __len__(self) -> int:
        return sum(orbit.count for orbit in self.orbits)

    def views(self) -> Views:
        """All of them, orbit by orbit."""
        rings = [
            Views.ring(
                orbit.count,
                elevation_deg=orbit.elevation_deg,
                distance=self.distance,
                fov_y_deg=self.fov_y_deg,
                size=self.size,
                start_deg=orbit.start_deg,
            )
            for orbit in self.orbits
        ]
        return Views(
            torch.cat([ring.azimuth_deg for ring in rings]),
            torch.cat([ring.elevation_deg for ring in rings]),
            torch.cat([ring.distance for ring in rings]),
            torch.cat([ring.fov_y_deg for ring in rings]),
            self.size,
            self.size,
        )


@dataclass(frozen=True)
class Measure:
    """One column of a paper's table."""

    metric: Metric
    """What is computed."""

    cameras: Cameras
    """Of which views; its mean over them is the asset's number unless the metric says otherwise."""

    model: str = ""
    """By which network, as the field calls it; empty where there is none."""

    shading: Literal["colour", "textureless"] = "colour"
    """What is rendered: ``textureless`` is the shape alone, grey and lit."""


@dataclass(frozen=True)
class Protocol:
    """How one paper measures."""

    name: str
    """That of its recipe."""

    paper: str
    """The paper and the place in it."""

    prompts: str
    """Which prompts; the number is the mean over them."""

    measures: tuple[Measure, ...]
    """The columns of its table."""

    chosen: str
    """What the paper does not tell, and what was taken instead."""


def ptd() -> Protocol:
    """Path-tracing distillation: CLIP similarity of sixteen renders.

    Told (section 6.1): 415 prompts of DreamFusion, camera radius 4, elevations 0 and 45 degrees, 8
    azimuths each, every 45 degrees from -180. Not told: field of view, resolution and background.
    Chosen: 30 degrees, in which an object at distance 4 fills as much of the picture as at our
    usual 3.3 and 36.5 degrees; 512 pixels; white. Its values are 100 times the cosine.
    """
    cameras = Cameras((Orbit(8, 0.0, -180.0), Orbit(8, 45.0, -180.0)), 4.0, 30.0)
    return Protocol(
        "ptd",
        "Path-Tracing Distillation (anonymous, 2024), section 6.1",
        "415 prompts of the DreamFusion gallery",
        (
            Measure("clip_score", cameras, "OpenAI ViT-L/14"),
            Measure("clip_score", cameras, "OpenCLIP ViT-bigG-14"),
        ),
        "field of view (30 degrees), resolution (512 pixels) and background (white)",
    )


def cograd3d() -> Protocol:
    """CoGrad3D: 120 views for CLIP, six for what is slower.

    Told (section 4.1, appendix A.2): 80 prompts of the DreamFusion gallery; CLIP similarity with
    B/32 and L/14 over 120 views of a full orbit, its mean and its deviation; VQAScore with
    clip-flant5-xl and ImageReward-v1.0 over six views every 60 degrees; the share of objects with
    several faces, counted by people in videos. Not told: which 80 prompts, elevation, distance,
    field of view, resolution and background. Chosen: elevation 15 degrees, as threestudio
    evaluates; our usual ring; 512 pixels; white; and the view classifier instead of people. The
    deviation can be read in two ways: see ``maquette.metrics.clip``.
    """
    orbit, six = Cameras((Orbit(120, 15.0),)), Cameras((Orbit(6, 15.0),))
    clips = ("OpenAI ViT-B/32", "OpenAI ViT-L/14")
    return Protocol(
        "cograd3d",
        "CoGrad3D (Tong et al. 2026), section 4.1 and appendix A.2",
        "80 prompts of the DreamFusion gallery; the paper does not list them",
        (
            *(Measure("clip_score", orbit, model) for model in clips),
            *(Measure("deviation_over_prompts", orbit, model) for model in clips),
            Measure("vqa_score", six, "clip-flant5-xl"),
            Measure("image_reward", six, "ImageReward-v1.0"),
            Measure("janus", Cameras((Orbit(24, 15.0, 7.5),)), "a view classifier"),
        ),
        "elevation (15 degrees), distance (3.3), field of view (36.5 degrees), resolution "
        "(512 pixels), background (white), and a classifier instead of people for the Janus rate",
    )


def dreamer_xl() -> Protocol:
    """Dreamer XL: the bare cosine with two CLIPs, and A-LPIPS with two nets.

    Told (section 4.2): the average CLIP score of OpenAI's and OpenCLIP's ViT-L/14, printed as the
    bare cosine; the average LPIPS of neighbouring renders with VGG and AlexNet. Not told: the
    prompts, the number of views, elevation, distance, field of view, resolution and background.
    Chosen: 120 views at elevation 15 degrees, three degrees apart, on which A-LPIPS depends
    strongly; our usual ring; 512 pixels; white.
    """
    ring = Cameras((Orbit(120, 15.0),))
    return Protocol(
        "dreamer-xl",
        "Dreamer XL (Miao et al. 2024), section 4.2 and table 1",
        "not told",
        (
            Measure("clip_cosine", ring, "OpenAI ViT-L/14"),
            Measure("clip_cosine", ring, "OpenCLIP ViT-L/14"),
            Measure("adjacent_lpips", ring, "VGG"),
            Measure("adjacent_lpips", ring, "AlexNet"),
        ),
        "prompts, number of views (120), elevation (15 degrees), distance (3.3), field of view "
        "(36.5 degrees), resolution (512 pixels) and background (white)",
    )


def dreamfusion() -> Protocol:
    """DreamFusion: CLIP R-Precision, of the colour and of the shape alone.

    Told (section 4, table 1): the 153 captions of single objects that Dream Fields took from COCO;
    top-1 retrieval among them by CLIP B/32, B/16 and L/14, of renders in colour and of textureless
    ones. Not told: views, resolution and background. Chosen: 12 views at elevation 15 degrees and
    4 at 45; our usual ring; 512 pixels; white; and for the textureless ones grey under a light
    above the camera (``metrics/shading.py``).
    """
    cameras = Cameras((Orbit(12, 15.0), Orbit(4, 45.0)))
    clips = ("OpenAI ViT-B/32", "OpenAI ViT-B/16", "OpenAI ViT-L/14")
    shadings: tuple[Literal["colour", "textureless"], ...] = ("colour", "textureless")
    return Protocol(
        "dreamfusion",
        "DreamFusion (Poole et al. 2022), section 4 and table 1",
        "153 captions of single objects from COCO (Dream Fields), which are the list as well",
        tuple(
            Measure("r_precision", cameras, model, shading)
            for shading in shadings
            for model in clips
        ),
        "views (12 at elevation 15 degrees, 4 at 45), distance (3.3), field of view (36.5 "
        "degrees), resolution (512 pixels), background (white), and the light of textureless "
        "renders (above the camera)",
    )


def pgc() -> Protocol:
    """Pixel-wise gradient clipping: the paper asks people, and prints no other number.

    Told (section 5.4): fifteen people chose the best of four textured meshes, twelve times each,
    and took PGC's in 84.44 % of the cases. Nothing in that can be computed. Chosen: PickScore,
    which was trained on such choices, and a CLIP score; and for the paper's claim of fine texture
    and sound colour, sharpness and saturation. Eight views at elevation 0 and eight at 30 degrees
    lie inside the range that it trains on (-10 to 45); 1024 pixels, as it renders; white.
    """
    cameras = Cameras((Orbit(8, 0.0), Orbit(8, 30.0)), size=1024)
    return Protocol(
        "pgc",
        "Pixel-wise gradient clipping (Pan et al. 2024), section 5.4",
        "12 meshes with a prompt each; the paper does not list them",
        (
            Measure("pick_score", cameras, "PickScore v1"),
            Measure("clip_score", cameras, "OpenAI ViT-L/14"),
            Measure("sharpness", cameras),
            Measure("saturation", cameras),
        ),
        "everything: the paper has a study with people alone",
    )


_PROTOCOLS: tuple[Callable[[], Protocol], ...] = (ptd, cograd3d, dreamer_xl, dreamfusion, pgc)


def protocol_names() -> list[str]:
    """The protocols, as the command line writes them."""
    return sorted(function().name for function in _PROTOCOLS)


def protocol(name: str) -> Protocol:
    """The protocol called ``name``, with hyphens or underscores.

    Raises:
        InputError: there is none; with the nearest names.
    """
    for function in _PROTOCOLS:
        if function.__name__ == name.replace("-", "_"):
            return function()
    near = difflib.get_close_matches(name, protocol_names())
    hint = f"The nearest is {' or '.join(near)}" if near else ""
    raise InputError(
        f"There is no protocol {name!r}", hint or f"There are {', '.join(protocol_names())}"
    )
