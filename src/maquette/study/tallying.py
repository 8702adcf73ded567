"""Counting answers: shares of first choices and mean ranks, each with its uncertainty.

Shares have Wilson's interval, which treats every answer as a draw of its own. Mean ranks have the
percentile interval of a bootstrap over participants: somebody who ranks ten prompts is one draw,
not ten. Both are at 95 %. What does not count is told: answers left undone, groups not answered,
answers that were given anew (the last counts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import torch

from maquette import store
from maquette.errors import InputError
from maquette.randomness import Randomness
from maquette.study.answers import Answer, answers_path, read_answers
from maquette.study.plan import Study, key_path, read_study

__all__ = ["Row", "Tally", "bootstrap", "read_key", "tally_answers", "tally_study", "wilson"]

Z = 1.959963984540054
"""The standard normal's quantile at 97.5 %."""
RESAMPLES = 2000

Interval = tuple[float, float] | None
"""Lower and upper end; None where nothing can be said."""


@dataclass(frozen=True)
class Row:
    """One recipe at one question.

    Attributes:
        recipe: its label in the key.
        shown: answers in which it could have been chosen.
        first: answers in which it was the best.
        share: ``first / shown``; None where it was never shown.
        share_interval: Wilson's.
        chance: the share that it would have if all chose blindly.
        mean_rank: 1 is the best; None in a study of picks.
        rank_interval: of the bootstrap; None also for a single participant.
    """

    recipe: str
    shown: int
    first: int
    share: float | None
    share_interval: Interval
    chance: float | None
    mean_rank: float | None
    rank_interval: Interval


@dataclass(frozen=True)
class Tally:
    """What a study has found out.

    Attributes:
        participants: who gave at least one answer, complete or not.
        finished: of them, who answered everything that they were shown.
        counted: answers that are complete and count.
        incomplete: answers left undone: skipped, or ranked only in part.
        missing: answers that participants did not give at all.
        superseded: answers given anew later; only the last one counts.
        reordered: answers that tell another order than the study's own; they count.
        first_by_place: how often the best was in the first place on the page, the second, and on.
        questions: for each question its recipes, the best first.
    """

    participants: int
    finished: int
    counted: int
    incomplete: int
    missing: int
    superseded: int
    reordered: int
    first_by_place: tuple[int, ...]
    questions: dict[str, list[Row]]


def tally_study(folder: Path, files: Iterable[Path] = ()) -> Tally:
    """Count all answers to the study in ``folder``: what its server kept, and what ``files`` hold.

    Raises:
        InputError: there are none, or a file is damaged or of another study; it is named.
        CheckpointError: the folder or its key is damaged.
    """
    study, _ = read_study(folder)
    owners = read_key(folder, study)
    kept = answers_path(folder)
    paths = [*([kept] if kept.exists() else []), *files]
    answers = [answer for path in paths for answer in read_answers(path, study)]
    if not answers:
        raise InputError(
            f"There are no answers to {folder} yet",
            "Give the files that participants downloaded, or serve it with maquette study serve",
        )
    return tally_answers(study, owners, answers)


def read_key(folder: Path, study: Study) -> dict[str, str]:
    """For each asset the label of the recipe that made it.

    Raises:
        InputError: the key is not beside the folder, damaged, or that of another study.
    """
    path = key_path(folder)
    if not path.is_file():
        raise InputError(f"The key {path} is missing", "Put it back; it says whose each asset is")
    key = store.read_json(path)
    assets = key.get("assets")
    labels = {
        name: facts.get("recipe")
        for name, facts in (assets.items() if isinstance(assets, dict) else ())
        if isinstance(facts, dict)
    }
    shown = [name for group in study.groups for name in group.assets]
    if key.get("study") != study.id or not all(isinstance(labels.get(n), str) for n in shown):
        raise InputError(f"{path} is not the key of the study in {folder}")
    return {name: str(labels[name]) for name in shown}


def tally_answers(study: Study, owners: Mapping[str, str], answers: Iterable[Answer]) -> Tally:
    """Count ``answers``, of which later ones replace earlier ones by the same participant.

    Args:
        study: what they answer.
        owners: for each asset the label of its recipe.
        answers: in the order in which they came; copies of one answer count once.
    """
    last, superseded = _last(answers)
    participants = sorted({answer.participant for answer in last})
    complete = [
        a for a in last if len(a.chosen) == study.chosen_when_complete(study.by_id[a.group])
    ]
    asked = study.each * len(study.questions)
    done = Counter(answer.participant for answer in complete)
    given = Counter(answer.participant for answer in last)
    places = Counter(answer.shown.index(answer.chosen[0]) for answer in complete)
    most = max(len(group.assets) for group in study.groups)
    return Tally(
        participants=len(participants),
        finished=sum(done[name] >= asked for name in participants),
        counted=len(complete),
        incomplete=len(last) - len(complete),
        missing=sum(max(0, asked - given[name]) for name in participants),
        superseded=superseded,
        reordered=sum(
            list(a.shown) != study.shown(a.participant, study.by_id[a.group]) for a in last
        ),
        first_by_place=tuple(places[place] for place in range(most)),
        questions={
            text: _rows(study, owners, [a for a in complete if a.question == number], number)
            for number, text in enumerate(study.questions)
        },
    )


def wilson(hits: int, count: int) -> Interval:
    """The interval of a share of ``hits`` in ``count`` draws (Wilson 1927); None for no draws."""
    if not count:
        return None
    share, spread = hits / count, Z * Z / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(sums: torch.Tensor, counts: torch.Tensor, generator: torch.Generator) -> Interval:
    """The interval of ``sums.sum() / counts.sum()`` over draws of participants.

    Args:
        sums: ``[P]`` float64, what each participant's values add up to.
        counts: ``[P]`` float64, how many values each gave.
        generator: of the draws.

    Returns:
        The 2.5 % and 97.5 % quantiles of 2000 draws of P participants with replacement; None for
        fewer than two participants with a value.
    """
    if int((counts > 0).sum()) < 2:
        return None
    drawn = torch.randint(len(sums), (RESAMPLES, len(sums)), generator=generator)
    total, number = sums[drawn].sum(1), counts[drawn].sum(1)
    # A draw of nobody who saw the recipe says nothing about it.
    means = (total / number)[number > 0]
    ends = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=means.dtype))
    return float(ends[0]), float(ends[1])


def _last(answers: Iterable[Answer]) -> tuple[list[Answer], int]:
    """The answers that count, and how many they have replaced; copies replace nothing."""
    by_place: dict[tuple[str, str, int], dict[Answer, None]] = {}
    for answer in answers:
        place = (answer.participant, answer.group, answer.question)
        by_place.setdefault(place, {})[answer] = None
    # Of several with one time the one that came last, as sorting keeps their order.
    last = [sorted(given, key=lambda answer: answer.time_ms)[-1] for given in by_place.values()]
    return last, sum(len(given) - 1 for given in by_place.values())


def _rows(
    study: Study, owners: Mapping[str, str], answers: list[Answer], question: int
) -> list[Row]:
    """One row for each recipe, the best first."""
    rows = [
        _row(study, recipe, owners, answers, question) for recipe in dict.fromkeys(owners.values())
    ]
    if study.kind == "rank":
        return sorted(rows, key=lambda row: (row.mean_rank is None, row.mean_rank, row.recipe))
    return sorted(rows, key=lambda row: (-(row.share or 0.0), row.recipe))


def _row(
    study: Study,
    recipe: str,
    owners: Mapping[str, str],
    answers: list[Answer],
    question: int,
) -> Row:
    seen = [a for a in answers if any(owners[name] == recipe for name in a.shown)]
    first = sum(owners[answer.chosen[0]] == recipe for answer in seen)
    mean_rank, interval = None, None
    if study.kind == "rank" and seen:
        people = {name: i for i, name in enumerate(sorted({a.participant for a in answers}))}
        sums = torch.zeros(len(people), dtype=torch.float64)
        counts = torch.zeros_like(sums)
        for answer in seen:
            place = people[answer.participant]
            sums[place] += 1 + [owners[name] for name in answer.chosen].index(recipe)
            counts[place] += 1
        mean_rank = float(sums.sum() / counts.sum())
        # The same draws for every recipe of a question: their intervals belong together.
        drawn = Randomness(study.seed).generator("study bootstrap", question)
        interval = bootstrap(sums, counts, drawn)
    return Row(
        recipe=recipe,
        shown=len(seen),
        first=first,
        share=first / len(seen) if seen else None,
        share_interval=wilson(first, len(seen)),
        chance=sum(1 / len(a.shown) for a in seen) / len(seen) if seen else None,
        mean_rank=mean_rank,
        rank_interval=interval,
    )
