"""Finds every concrete part of a folder, and makes one of each to test the folder's contract on."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

import adapters
import maquette.cameras.uniform
import maquette.objectives.sds
import maquette.priors.students
import maquette.timesteps.uniform
from maquette.cameras.base import Cameras
from maquette.noise import NoiseSchedule
from maquette.objectives.base import Objective
from maquette.priors.analytic import GaussianMixture, Headed
from maquette.priors.base import Counting, Prior, Student
from maquette.priors.embedded import Worded
from maquette.priors.linear_encoder import STABLE_DIFFUSION, LinearEncoder
from maquette.priors.stable_diffusion import StableDiffusion
from maquette.ramps import resolve
from maquette.timesteps.base import Timesteps
from maquette.toybox.wording import WORDING

PROMPT = "a mug"

PLAINEST: dict[type, Any] = {
    Cameras: maquette.cameras.uniform.Uniform,
    Objective: maquette.objectives.sds.SDS,
    Student: maquette.priors.students.GaussianFit,
    Timesteps: maquette.timesteps.uniform.Uniform,
}
"""What a wrapper is tried around."""


def concrete(package: ModuleType, contract: type) -> list[type]:
    """The public classes of ``package`` that fulfil ``contract``, by walking its modules."""
    found = []
    for module_info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(module_info.name)
        for name, member in vars(module).items():
            if (
                inspect.isclass(member)
                and member.__module__ == module.__name__
                and issubclass(member, contract)
                and not inspect.isabstract(member)
                and not name.startswith("_")
            ):
                found.append(member)
    assert found, f"no part of {package.__name__} fulfils {contract.__name__}"
    return found


def example(part: type, progress: float | None = None) -> Any:
    """A part with its defaults; a wrapper gets the plainest part of its kind to wrap.

    With ``progress``, its ramps are resolved as a run would do.
    """
    hints = typing.get_type_hints(part)
    given = {}
    for field in dataclasses.fields(part):
        no_default = dataclasses.MISSING is field.default is field.default_factory
        if field.init and no_default:
            assert hints[field.name] in PLAINEST, (
                f"{part.__name__}.{field.name} needs a default, so that this test can make one"
            )
            given[field.name] = PLAINEST[hints[field.name]]()
    made = part(**given)
    return made if progress is None else resolve(made, progress)


def label(part: type) -> str:
    return part.__name__


def mixture(size: int = 4) -> GaussianMixture:
    """A prior that knows two sides of a mug."""
    generator = torch.Generator().manual_seed(0)
    front, back = torch.rand(2, 2, size, size, 3, generator=generator, dtype=torch.float64)
    return GaussianMixture.from_pictures({PROMPT: front, f"{PROMPT}, back view": back[0]})


class _UNet(nn.Module):
    config = SimpleNamespace(sample_size=4, in_channels=4)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Conv2d(4, 4, 3, padding=1)

    def forward(
        self, noised: Tensor, t: Tensor, encoder_hidden_states: Tensor, return_dict: bool
    ) -> tuple[Tensor]:
        shift = encoder_hidden_states.mean((1, 2)) + t / 1000
        return (torch.tanh(self.mix(noised) + shift.reshape(-1, 1, 1, 1)),)


class _Autoencoder(nn.Module):
    class _Config(dict):
        scaling_factor = 0.5

    config = _Config(block_out_channels=(4, 8))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.into = nn.Conv2d(3, 4, 2, stride=2)
        self.out = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def encode(self, pictures: Tensor) -> SimpleNamespace:
        return SimpleNamespace(latents=self.into(pictures))

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.out(latents))


class _TextEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(128, 8)

    def forward(self, ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.table(ids))


class _Tokenizer:
    model_max_length = 16

    def __call__(self, texts: list[str], **options: Any) -> SimpleNamespace:
        rows = [[ord(c) % 128 for c in text[:16].ljust(16)] for text in texts]
        return SimpleNamespace(input_ids=torch.tensor(rows))


def small_stable_diffusion(prediction_type: str = "epsilon") -> StableDiffusion:
    """Stable Diffusion around stand-ins with a few random weights each."""
    # The stand-ins are seeded globally, as networks are; the tests must not notice.
    with torch.random.fork_rng():
        networks = _UNet(), _Autoencoder(), _TextEncoder()
    schedule = NoiseSchedule.scaled_linear()
    return StableDiffusion(*networks, _Tokenizer(), schedule, prediction_type, "small")


PRIORS: dict[str, Any] = {
    "Adapted": adapters.bent,
    "GaussianMixture": mixture,
    "Headed": lambda: Headed(mixture(), "v"),
    "Counting": lambda: Counting(mixture()),
    "LinearEncoder": lambda: LinearEncoder(small_stable_diffusion(), *STABLE_DIFFUSION),
    "Path": adapters.path,
    "StableDiffusion": small_stable_diffusion,
    "Worded": lambda: Worded(small_stable_diffusion("v_prediction"), WORDING),
}
"""How to make a small one of each prior, without weights."""


def prior_named(name: str) -> Prior:
    assert name in PRIORS, f"tell tests/contracts/parts.py how to make a small {name}"
    return PRIORS[name]()
