"""A run: a recipe at work, all of its state in one place, saved whole and resumed to the last bit.

The state is the scene, the optimiser's moments, what the objective and the parts that learn
remember, growth's statistics and a few numbers; no draw depends on another, so there is no state of
randomness beyond the seed. A checkpoint is a sealed folder ``step-000100`` (see
:mod:`maquette.store`) that also holds the recipe and the prior's fingerprint. A run that was killed
and resumed ends in the same bytes as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maquette import serial, store
from maquette.beginning import (
    LEARNERS,
    first_memory,
    first_path,
    first_scene,
    learners,
    named,
    place,
)
from maquette.checkpoints import (
    Announce,
    checkpoints_in,
    facts_of,
    newest_checkpoint,
    pack,
    quiet,
    retire,
    unpack,
)
from maquette.checks import finite
from maquette.errors import CheckpointError, InputError, PriorError
from maquette.optimiser import Adam
from maquette.priors.base import Counting, Prior
from maquette.randomness import Randomness
from maquette.recipe import Recipe
from maquette.records import Guidance, Outcome, Render, Report, Views
from maquette.scenes.base import Scene

__all__ = ["Run", "restore_scene"]


@dataclass
class Run:
    """One run of one recipe. ``start`` or ``resume`` make it; ``maquette.distill`` moves it on.

    Attributes:
        prompt: what to make.
        recipe: the whole recipe, ramps unresolved.
        prior: counts its evaluations.
        scene: what is being made, on ``device``.
        random: the stream of the run's seed.
        optimiser: moves the scene's parameters.
        memory: the running state of the objective, and that of the parts that learn.
        growth: the statistics of density control, empty without it.
        path: the adapters that bend the prior, empty without them; they stay what they are.
        step: steps done.
        skipped: consecutive steps that were skipped for a value that was not finite.
        fingerprint: of the prior.
    """

    prompt: str
    recipe: Recipe
    prior: Counting
    scene: Scene
    random: Randomness
    device: torch.device
    optimiser: Adam
    memory: dict[str, Tensor]
    growth: dict[str, Tensor]
    fingerprint: dict[str, str]
    path: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    skipped: int = 0
    _recipe_data: dict[str, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def start(
        prompt: str, recipe: Recipe, prior: Prior, seed: int = 0, device: torch.device | str = "cpu"
    ) -> Run:
        """A run before its first step.

        Raises:
            InputError: the prior does not understand the prompt, or the recipe does not fit itself.
            PriorError: the recipe adapts a network, and the prior has none.
            NumericalError: what a path is formed from, or its training, is not finite.
        """
        prior.check(prompt)
        prior.check(recipe.negative_prompt)
        random, device = Randomness(seed), torch.device(device)
        scene, counting = first_scene(prompt, recipe, random, device), Counting(prior)
        return Run(
            *(prompt, recipe, counting, scene, random, device, Adam()),
            memory=first_memory(recipe, prior),
            growth={} if recipe.growth is None else recipe.growth.init(scene),
            path=first_path(prompt, recipe, counting, scene, random),
            fingerprint=prior.fingerprint(),
            _recipe_data=serial.recipe_to(recipe),
        )

    @staticmethod
    def resume(
        checkpoints: Path,
        prior: Prior,
        recipe: Recipe | None = None,
        device: torch.device | str = "cpu",
        announce: Announce = quiet,
    ) -> Run:
        """The run of the newest checkpoint that is intact.

        Args:
            checkpoints: the folder of ``step-...`` folders.
            prior: must be the one that the run was started with.
            recipe: must be the run's own; None takes it from the checkpoint.
            device: where to go on.
            announce: is told in a sentence about every damaged checkpoint that is passed over.

        Raises:
            CheckpointError: no checkpoint is intact.
            PriorError: the prior is another one.
            InputError: the recipe is another one.
        """
        path, run = newest_checkpoint(
            checkpoints,
            lambda manifest, files: _restore(manifest, files, prior, recipe, torch.device(device)),
            announce,
        )
        if checkpoints_in(checkpoints)[0] != path:
            announce(f"Going on from {path.name}, the newest checkpoint that is intact")
        return run

    def learnt(self, role: str = "objective") -> dict[str, Tensor]:
        """What the part in a role has learnt so far, by its own names."""
        if role == "objective":
            return {k: v for k, v in self.memory.items() if k.partition(".")[0] not in LEARNERS}
        start = f"{role}."
        return {k.removeprefix(start): v for k, v in self.memory.items() if k.startswith(start)}

    def learn(self, recipe: Recipe, memory: Mapping[str, Tensor], outcome: Outcome) -> None:
        """Keep ``memory`` for the objective and let all parts of the step's ``recipe`` learn."""
        after = dict(memory)
        for role, part in learners(recipe).items():
            after |= named(role, part.learn(self.learnt(role), outcome))
        self.memory = after

    def grow(self, recipe: Recipe, render: Render, random: Randomness) -> None:
        """Let the growth of the step's ``recipe`` act, if it has any, on what the step rendered."""
        if recipe.growth is not None:
            self.growth = recipe.growth.after_step(
                self.scene, self.optimiser, render, self.growth, random, self._follow
            )

    def _follow(self, parents: Tensor) -> None:
        """Let the fusion's memory follow a change of rows, as growth tells it."""
        if self.recipe.fusion is not None:
            after = self.recipe.fusion.follow(self.learnt("fusion"), parents)
            others = {k: v for k, v in self.memory.items() if not k.startswith("fusion.")}
            self.memory = others | named("fusion", after)

    def save(self, checkpoints: Path) -> Path:
        """Write a checkpoint, verify it, and only then delete all but the last two.

        Raises:
            NumericalError: the scene or the optimiser holds a value that is not finite.
            DiskError: it cannot be written; older checkpoints are as they were.
        """
        tensors = {
            "scene": {k: v.detach() for k, v in self.scene.parameters().items()},
            "optimiser": self.optimiser.tensors(),
            "memory": self.memory,
            "growth": self.growth,
        }
        if self.recipe.path is not None:
            tensors["path"] = self.path
        for part in ("scene", "optimiser"):
            for name, value in tensors[part].items():
                if value.is_floating_point():
                    finite(f"{part}: {name}", value)
        facts = {
            "step": self.step,
            "skipped": self.skipped,
            "seed": self.random.seed,
            "prompt": self.prompt,
            "evaluations": self.prior.evaluations,
            "prior": self.fingerprint,
            "recipe": self._recipe_data,
            "torch": torch.__version__.split("+")[0],
        }
        files = {f"{name}.safetensors": pack(value) for name, value in tensors.items()}
        folder = checkpoints / f"step-{self.step:06d}"
        store.write_sealed(folder, files, facts)
        retire(folder)
        return folder

    def state_bytes(self) -> int:
        """About how large a checkpoint of this run is now, moments included."""
        scene = sum(v.numel() * v.element_size() for v in self.scene.parameters().values())
        others = [*self.memory.values(), *self.growth.values(), *self.path.values()]
        return 3 * scene + sum(v.numel() * v.element_size() for v in others) + (64 << 10)

    def report(
        self,
        recipe: Recipe,
        views: Views,
        t: Tensor,
        guidance: Guidance,
        losses: Mapping[str, Tensor],
        pixel_gradient: Tensor,
    ) -> Report:
        """What the step just done tells; ``recipe`` is the step's own."""
        return Report(
            step=self.step + 1,
            total_steps=recipe.steps,
            loss=float(guidance.value.mean()),
            losses={name: float(value.detach()) for name, value in losses.items()},
            evaluations=self.prior.evaluations,
            count=self.scene.count,
            t=tuple(int(x) for x in t),
            views=views,
            pixel_gradient_norm=float(pixel_gradient.flatten(1).norm(dim=1).mean()),
        )

    def report_skipped(self, site: str) -> Report:
        """What a skipped step tells; what gradients it left behind are dropped."""
        self.optimiser.clear(self.scene)
        return Report(
            step=self.step + 1,
            total_steps=self.recipe.steps,
            loss=float("nan"),
            losses={},
            evaluations=self.prior.evaluations,
            count=self.scene.count,
            t=(),
            skipped=site,
        )


def _restore(
    manifest: dict[str, Any],
    files: dict[str, bytes],
    prior: Prior,
    recipe: Recipe | None,
    device: torch.device,
) -> Run:
    """The run that a verified checkpoint describes."""
    facts = facts_of(manifest)
    fingerprint = prior.fingerprint()
    if changed := sorted(
        k for k in {*fingerprint, *facts["prior"]} if fingerprint.get(k) != facts["prior"].get(k)
    ):
        raise PriorError(
            f"The run was started with another prior: {', '.join(changed)} differ",
            "Resume it with the prior that it was started with, or start it anew",
        )
    recipe = recipe or serial.recipe_from(facts["recipe"])
    data = serial.recipe_to(recipe)
    if data != _normal(facts["recipe"]):
        raise InputError(
            f"The run was started with another recipe than this {recipe.name!r}",
            "Resume it without a recipe, or start a new run",
        )
    scene = restore_scene(facts, files, recipe, device)
    optimiser = Adam()
    optimiser.load_tensors(unpack(files, "optimiser"), scene)
    prior_and_count = Counting(prior, facts["evaluations"])

    def placed(name: str) -> dict[str, Tensor]:
        return {key: value.to(device) for key, value in unpack(files, name).items()}

    return Run(
        *(facts["prompt"], recipe, prior_and_count, scene, Randomness(facts["seed"]), device),
        optimiser=optimiser,
        memory=placed("memory"),
        growth=placed("growth"),
        path={} if recipe.path is None else placed("path"),
        fingerprint=fingerprint,
        step=facts["step"],
        skipped=facts["skipped"],
        _recipe_data=data,
    )


def restore_scene(
    facts: Mapping[str, Any], files: Mapping[str, bytes], recipe: Recipe, device: torch.device
) -> Scene:
    """The scene of a checkpoint.

    Raises:
        CheckpointError: its tensors are not those of the recipe's scene, or not finite.
    """
    scene = recipe.init.make(facts["prompt"], Randomness(facts["seed"]))
    tensors = unpack(files, "scene")
    try:
        place(scene, tensors, device)
    except InputError as fault:
        raise CheckpointError(fault.what, fault.next_step) from fault
    return scene


def _normal(data: Any) -> Any:
    """A recipe's data as it would be written today; parts from outside are compared as they are."""
    try:
        return serial.recipe_to(serial.recipe_from(data))
    except InputError:
        return data
