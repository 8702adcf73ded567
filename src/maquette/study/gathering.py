"""Runs that can be compared: the same prompts, made by several recipes.

A recipe is told by its name. Where runs of one name differ in their settings, as in a study of what
one part is good for, the settings that differ stand behind the name. Several seeds of each recipe
make several rounds of a prompt: the first runs are compared with each other, then the second ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette import store
from maquette.errors import InputError

__all__ = ["Candidate", "Round", "find_runs", "rounds"]

ASSET, RUN, RECIPE, RESULT = "asset.ply", "run.json", "recipe.json", "result.json"
MOST_ASSETS = 26
"""Assets of a group are called A to Z on the page."""
MOST_SETTINGS = 3
"""Settings that stand behind a recipe's name; more are told by their hash."""


@dataclass(frozen=True)
class Candidate:
    """A finished run that may be shown.

    Attributes:
        folder: of the run.
        prompt: what it should show.
        recipe: its name.
        seed: of the run.
        settings: path and value of everything that makes it differ from runs of the same name.
    """

    folder: Path
    prompt: str
    recipe: str
    seed: int
    settings: dict[str, Any]


Round = tuple[str, dict[str, Candidate]]
"""A prompt, and one run of each recipe by its label."""


def find_runs(paths: Iterable[Path]) -> list[Candidate]:
    """The runs at ``paths``, each a run's folder or a folder of such; none is taken twice.

    Raises:
        InputError: there is none, or one is not finished.
        CheckpointError: a file of one is damaged.
    """
    folders: dict[str, Path] = {}
    for path in paths:
        inner = (
            [path] if (path / RUN).is_file() else sorted(p.parent for p in path.glob(f"*/{RUN}"))
        )
        if not inner:
            raise InputError(
                f"{path} is no run and holds none", "Give folders that maquette generate made"
            )
        # A run's name holds the hash of all that determines it.
        for folder in inner:
            folders.setdefault(folder.resolve().name, folder)
    return [_candidate(folder) for folder in folders.values()]


def rounds(candidates: list[Candidate]) -> list[Round]:
    """Which runs stand beside each other.

    Raises:
        InputError: a prompt has fewer than two recipes, more than the page has letters for, or not
            the same number of runs of each.
    """
    labels = _labels(candidates)
    found: list[Round] = []
    for prompt in dict.fromkeys(candidate.prompt for candidate in candidates):
        runs: dict[str, list[Candidate]] = {}
        for label, candidate in zip(labels, candidates, strict=True):
            if candidate.prompt == prompt:
                runs.setdefault(label, []).append(candidate)
        _check_comparable(prompt, runs)
        for own in runs.values():
            own.sort(key=lambda run: (run.seed, run.folder.name))
        count = len(next(iter(runs.values())))
        found += [(prompt, {label: own[i] for label, own in runs.items()}) for i in range(count)]
    return found


def _candidate(folder: Path) -> Candidate:
    about = store.read_json(folder / RUN)
    recipe = store.read_json(folder / RECIPE).get("recipe")
    recipe = recipe if isinstance(recipe, dict) else {}
    name = recipe.get("name")
    kinds = {"prompt": str, "prior": str, "seed": int}
    if not isinstance(name, str) or not all(
        isinstance(about.get(fact), kind) for fact, kind in kinds.items()
    ):
        raise InputError(f"{folder} does not tell its prompt, prior, seed and recipe")
    try:
        digest = store.read_json(folder / RESULT).get("asset_sha256")
        finished = store.sha256_of((folder / ASSET).read_bytes()) == digest
    except (InputError, OSError):
        finished = False
    if not finished:
        raise InputError(
            f"{folder} is not finished, or its asset is not the one it made",
            "Finish it with maquette resume",
        )
    settings = {"prior": about["prior"], **dict(_flat(recipe, ""))}
    return Candidate(folder, about["prompt"], name, about["seed"], settings)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of everything in plain data that holds nothing further."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _labels(candidates: list[Candidate]) -> list[str]:
    """For each run the name of its recipe, with the settings by which runs of this name differ."""
    # Two different recipes on two priors must not look as if only the recipes differed.
    always = ["prior"] if len({run.settings["prior"] for run in candidates}) > 1 else []
    differing: dict[str, list[str]] = {}
    for name in {candidate.recipe for candidate in candidates}:
        alike = [candidate.settings for candidate in candidates if candidate.recipe == name]
        paths = dict.fromkeys([*always, *(path for settings in alike for path in settings)])
        differing[name] = [
            path
            for path in paths
            if path in always or len({store.canonical(run.get(path)) for run in alike}) > 1
        ]
    return [_label(candidate, differing[candidate.recipe]) for candidate in candidates]


def _label(candidate: Candidate, differing: list[str]) -> str:
    if not differing:
        return candidate.recipe
    values = {path: candidate.settings.get(path) for path in differing}
    if len(values) > MOST_SETTINGS:
        told = store.sha256_of(store.canonical(values))[:8]
    else:
        told = ", ".join(f"{path}={value}" for path, value in values.items())
    return f"{candidate.recipe} ({told})"


def _check_comparable(prompt: str, runs: dict[str, list[Candidate]]) -> None:
    if len(runs) < 2:
        raise InputError(
            f"The prompt {prompt!r} has runs of {next(iter(runs))} only, and nothing to compare",
            "Give runs of at least two recipes for every prompt",
        )
    if len(runs) > MOST_ASSETS:
        raise InputError(
            f"The prompt {prompt!r} has {len(runs)} recipes, and {MOST_ASSETS} are the most",
            "Leave some away; nobody ranks so many",
        )
    counts = {label: len(own) for label, own in runs.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {label}" for label, count in counts.items())
        raise InputError(
            f"The prompt {prompt!r} has unequal numbers of runs: {told}",
            "Give as many seeds of each recipe",
        )
