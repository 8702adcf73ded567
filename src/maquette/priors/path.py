"""Path-tracing distillation: a prior that begins near the first renders and walks back to itself.

The first renders of a scene lie outside of what a prior was trained on, and there its answers are
unsound. So the path is formed first: an adapter learns the first renders, and by that the prior is
bent towards them. Then it is traced: the run begins with the bent prior, and the adapter goes,
until the prior itself answers. As ``Path`` is a prior, any objective can ride it. Anonymous, 2024,
Path-Tracing Distillation (PTD), sections 4.2 and 4.3; there is no public code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from pathlib import Path as FilePath

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from maquette import store
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.priors.base import Prior
from maquette.priors.lora import Adapter, weights_of
from maquette.priors.low_rank import Adapted, digest
from maquette.ramps import Number, linear, number, resolve
from maquette.randomness import Randomness
from maquette.records import Words

__all__ = ["Fading", "Forming", "Path", "Retracing", "Tracing", "form", "kept", "load", "save"]

TENSORS = "path.safetensors"
LOSSES = "losses"


@dataclass(frozen=True)
class Forming:
    """How a path is formed: PTD section 4.2, equation 6.

    The paper's text has 400 steps; its appendix E has 200 "epochs" for the adapter of the path, and
    400 for another one that teaches the prior whole objects first (figure 7). Its loss is on eps.
    Here it is the network's own, which is the same for a network that predicts eps.

    Raises:
        InputError: for fewer than 1 step or picture, or a negative interval.
    """

    adapter: Adapter = Adapter()
    """Rank, learning rate and decay; ramps in it run over the formation."""
    steps: int = 400
    """Steps of the adapter's training."""
    batch: int = 4
    """Renders of a step, drawn from those given; the paper does not say."""
    keep_every: int = 0
    """Steps between two checkpoints of the path; 0 keeps the last adapter only."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.keep_every < 0:
            raise InputError(
                f"No path is formed in {self.steps} steps of {self.batch} renders that are kept "
                f"every {self.keep_every}",
                "Give at least 1 step of 1 render, and 0 or more steps between checkpoints",
            )


def form(
    prior: Prior, latents: Tensor, words: Words, forming: Forming, random: Randomness
) -> dict[str, Tensor]:
    """The path from ``prior`` to the law of some latents; the same for the same ``random``.

    Args:
        prior: stays as it is.
        latents: ``[M, C, h, w]`` of renders of the first scene.
        words: ``M`` rows, of which the positive ones count: the prompt with each render's view
            word.
        forming: for how long, and how.
        random: of a run.

    Returns:
        The adapters that were kept, as ``000400/<weight>`` after the 400th step, and the ``losses``
        ``[steps]``.

    Raises:
        PriorError: the prior has no network that could be adapted.
        NumericalError: a loss or gradient is not finite.
        InputError: there are no latents, or words for another number of them.
    """
    if len(latents) == 0 or len(words.positive.embedding) != len(latents):
        raise InputError(
            f"No path leads to {len(latents)} latents with "
            f"{len(words.positive.embedding)} rows of words",
            "Give at least one latent, and one row for each",
        )
    # A stream of its own: an objective that trains an adapter too must not see the same noise.
    stream = Randomness(random.at(0).generator("path").initial_seed())
    state, formed, losses = forming.adapter.init(prior), {}, []
    for step in range(forming.steps):
        now = stream.at(step)
        u = now.uniform("path renders", forming.batch).to(latents.device)
        rows = (u * len(latents)).to(torch.int64)
        adapter = resolve(forming.adapter, step / max(forming.steps - 1, 1))
        state = adapter.learn(prior, state, latents[rows], words.positive.rows(rows), now)
        losses.append(state["loss"])
        done = step + 1
        if done == forming.steps or (forming.keep_every and done % forming.keep_every == 0):
            formed |= {f"{done:06d}/{name}": value for name, value in weights_of(state).items()}
    return {**formed, LOSSES: torch.stack(losses)}


def kept(formed: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The adapters of a formed path by weight, the earliest and nearest to the prior first."""
    adapters: dict[str, dict[str, Tensor]] = {}
    for name, value in sorted(formed.items()):
        step, slash, weight = name.partition("/")
        if slash:
            adapters.setdefault(step, {})[weight] = value
    return list(adapters.values())


@dataclass(frozen=True)
class Tracing(ABC):
    """How a path is walked back; a frozen dataclass, its own configuration."""

    forming: Forming = Forming()
    """How the path is formed before the first step."""

    @abstractmethod
    def place(self, checkpoints: int) -> tuple[int, float]:
        """Which of the checkpoints, counted from 1, answers at which weight.

        Checkpoint 0 is the prior itself.
        """


@dataclass(frozen=True)
class Fading(Tracing):
    """The last adapter at the weight ``1 - p^power``, p the progress along the path.

    PTD algorithm 2 and equation 8, the variant that the paper prefers. At power 0.3 the weight
    halves in the first tenth of the path. Once p is 1 the prior itself answers.
    """

    progress: Number = linear(0.0, 1.0, finish=0.2)
    """p; the paper's path lasts 1000 of LucidDreamer's 5000 steps."""
    power: float = 0.3
    """The paper's C, above 0."""

    def place(self, checkpoints: int) -> tuple[int, float]:
        if not self.power > 0:
            raise InputError(f"A path cannot fade with power {self.power}", "Give one above 0")
        return checkpoints, 1.0 - _share(self.progress) ** self.power


@dataclass(frozen=True)
class Retracing(Tracing):
    """One checkpoint after the other in reverse order, each for an equal part of the path.

    PTD section 4.3, the variant that its figure 2 shows. The first target is the last checkpoint
    but one, since the last stands for the renders themselves. The paper's introduction switches
    when renders have nearly converged and its section 4.3 after several steps: here it is the
    latter. It reports that switching may make the shape collapse, and prefers ``Fading``.
    """

    forming: Forming = Forming(keep_every=40)
    """How the path is formed before the first step; 40 gives ten checkpoints."""
    progress: Number = linear(0.0, 1.0, finish=0.2)
    """How far along the path; at 1 the prior itself answers."""
    passed_over: int = 1
    """Checkpoints at the far end that are left out; 0 begins with the last one."""

    def place(self, checkpoints: int) -> tuple[int, float]:
        far = checkpoints - self.passed_over
        if self.passed_over < 0 or far < 1:
            raise InputError(
                f"A path of {checkpoints} checkpoints without the last {self.passed_over} leads "
                "nowhere",
                "Form it with a smaller keep_every",
            )
        left = far - floor(_share(self.progress) * far)
        return left, float(left > 0)


class Path(Adapted):
    """A prior at one place of a path that was formed for it.

    It goes outside of all other wrappers, so that what they do or count is still done.

    Args:
        prior: the one that the path was formed from.
        formed: what ``form`` returned.
        tracing: where on the path, its ramps resolved for a step.

    Raises:
        PriorError: the path belongs to another prior.
        InputError: ``tracing`` has a ramp that was not resolved, or needs more checkpoints.
        CheckpointError: ``formed`` holds no adapter.
    """

    def __init__(self, prior: Prior, formed: Mapping[str, Tensor], tracing: Tracing) -> None:
        adapters = kept(formed)
        if not adapters:
            raise CheckpointError("What was formed holds no adapter", "Form the path anew")
        checkpoint, weight = tracing.place(len(adapters))
        super().__init__(prior, adapters[max(checkpoint, 1) - 1], weight)
        self.formed = formed

    def fingerprint(self) -> dict[str, str]:
        # Of the whole path: it must not change while a run walks along.
        return {**self.prior.fingerprint(), "path": digest(self.formed)}


def save(formed: Mapping[str, Tensor], folder: FilePath, prior: Prior) -> None:
    """Write a formed path and the fingerprint of its prior to the sealed folder ``folder``.

    Raises:
        DiskError: it cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in formed.items()}
    packed = safetensors.torch.save(plain)
    store.write_sealed(folder, {TENSORS: packed}, {"prior": prior.fingerprint()})


def load(folder: FilePath, prior: Prior) -> dict[str, Tensor]:
    """The formed path that ``save`` wrote to ``folder``.

    Raises:
        CheckpointError: the folder is damaged, or holds something else.
        PriorError: the path was formed from another prior.
    """
    manifest, files = store.read_sealed(folder)
    try:
        formed = safetensors.torch.load(files[TENSORS])
    except (KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no path") from error
    if manifest.get("prior") != prior.fingerprint():
        raise PriorError(
            f"The path in {folder} was formed from another prior than {prior.name}",
            "Form one from this prior",
        )
    return formed


def _share(progress: Number) -> float:
    return min(max(number(progress), 0.0), 1.0)
