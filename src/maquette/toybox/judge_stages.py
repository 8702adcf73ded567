"""The stages of the judge's training: CLIP and the view classifier, on the common loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    cosine_similarity,
    cross_entropy,
    grid_sample,
    interpolate,
)

from maquette.toybox.captions import (
    FLAT,
    RELATIONS,
    VIEWS,
    Description,
    caption,
    held_out,
    parse,
)
from maquette.toybox.colours import COLOURS
from maquette.toybox.dataset import Dataset
from maquette.toybox.finish import PATTERNS
from maquette.toybox.kinds import KINDS
from maquette.toybox.networks import Size, judge_clip, judge_views, token_ids
from maquette.toybox.stages import fast, pictures_of
from maquette.toybox.trainer import Plan, Team, train_stage

__all__ = ["ASKED", "altered", "broken", "disturbed", "pushed", "train_clip", "train_views"]

ASKED: tuple[list[str], ...] = (
    *(list(KINDS), list(COLOURS), list(COLOURS)),
    *(["", *PATTERNS], ["", "shiny"], ["", *RELATIONS]),
    *(list(KINDS), list(COLOURS), list(COLOURS)),
)
"""What the heads are asked about an object, its finish, and the object beside it."""
UNTRUE = 2
"""Captions that are wrong in one word, for each true one."""
CONTRASTED = 8
"""One picture of so many is compared with captions, the dearest part of a step; the heads are asked
about all of them."""


class ClipAndHeads(nn.Module):
    """The judge's CLIP, with linear heads that only training uses.

    Within a batch hardly any two captions share their colours, so that contrast alone teaches
    little about kinds. The heads ask directly for all that a caption can tell, and captions that
    are wrong in one word stand among the others.
    """

    def __init__(self, size: Size, vocabulary_size: int) -> None:
        super().__init__()
        self.clip = judge_clip(size, vocabulary_size)
        width = size.judge_widths[-1]
        self.heads = nn.ModuleList(nn.Linear(width, len(words)) for words in ASKED)

    def forward(self, pictures: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        """The summed loss.

        Args:
            pictures: ``[B + K, 3, S, S]``, the last K of which show nothing: no caption is theirs.
            ids: ``[C * (1 + UNTRUE), L]`` token numbers of the first C <= B pictures' captions,
                then of captions that are no picture's.
            labels: ``[B, 9]`` answers to ``ASKED``, -1 where it is not told.
        """
        answer = self.clip(input_ids=ids, pixel_values=pictures)
        own = torch.arange(len(ids) // (1 + UNTRUE), device=ids.device)
        by_text = cross_entropy(answer.logits_per_text[: len(own)].float(), own)
        by_picture = cross_entropy(answer.logits_per_image[: len(own)].float(), own)
        seen = answer.vision_model_output.pooler_output[: len(labels)]
        named = [
            cross_entropy(head(seen).float(), labels[:, place], ignore_index=-1)
            for place, head in enumerate(self.heads)
        ]
        return (by_text + by_picture) / 2 + sum(named, seen.new_zeros(()))


def train_clip(size: Size, data: Dataset, tokenize: Any, plan: Plan, team: Team, seed: int) -> Any:
    """Contrastive learning (Radford et al. 2021) among true pictures and broken ones.

    Disturbed pictures teach it to judge renders; broken ones, to which no caption belongs, that the
    right colours are no object; and those that are pushed towards a caption, that its own weak
    spots are none. Captions that are wrong in one word teach it to read every word.
    """
    ids = token_ids(tokenize, data.captions)
    told = np.flatnonzero([bool(caption) for caption in data.captions])
    labels = torch.tensor([_labels(caption) for caption in data.captions])
    network = ClipAndHeads(size, len(tokenize)).to(team.device)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        rows = draws.choice(told, plan.batch, replace=False)
        pictures = disturbed(pictures_of(data, rows, team.device), draws)
        compared = rows[: max(plan.batch // CONTRASTED, 1)]
        own_ids, own_labels = ids[compared].to(team.device), labels[rows].to(team.device)
        some = max(plan.batch // 16, 1)
        wrong = broken(pictures[: 2 * some], draws)
        untrue = [altered(data.captions[row], draws) for row in compared for _ in range(UNTRUE)]
        all_ids = torch.cat([own_ids, token_ids(tokenize, untrue).to(team.device)])
        with fast(team.device):
            few = max(some // 2, 1)
            wrong = torch.cat([pushed(network.clip, wrong[:few], own_ids, draws), wrong[few:]])
            return network(torch.cat([pictures, wrong]), all_ids, own_labels)

    trained = cast(ClipAndHeads, train_stage(plan, network, loss, team, seed=seed))
    return trained.clip


def altered(text: str, draws: np.random.Generator) -> str:
    """The caption with one thing changed that it tells: a kind, a colour, or the pattern.

    Never a combination that is held out, which would otherwise be met as a false one only.
    """
    told = parse(text)
    view = next((word for word in VIEWS if text.endswith(f"{word} view")), None)
    while True:
        if told.other is not None and draws.random() < 0.5:
            changed = replace(told, other=_one_changed(told.other, told.relation, draws))
        else:
            changed = _one_changed(told, "", draws)
        if changed != told and not held_out(changed):
            return caption(changed, view)


def _one_changed(told: Description, relation: str, draws: np.random.Generator) -> Description:
    """``told``, perhaps with another word; the relation is that in which it is the second."""
    chance = draws.random()
    if chance < 0.5 or not told.colours:
        names = FLAT if relation == "on" else KINDS
        able = [name for name in names if KINDS[name].slots >= len(told.colours)]
        return replace(told, kind=str(draws.choice(able)))
    if chance < 0.8:
        colours = list(told.colours)
        if len(colours) == 2 and draws.random() < 0.3:
            return replace(told, colours=tuple(colours[::-1]))
        others = [name for name in COLOURS if name not in colours]
        colours[draws.integers(len(colours))] = str(draws.choice(others))
        return replace(told, colours=tuple(colours))
    return replace(told, pattern=str(draws.choice(["", *PATTERNS])))


def _labels(text: str) -> tuple[int, ...]:
    """Answers to ``ASKED``; -1 for what the caption does not tell."""
    if not text:
        return (-1,) * len(ASKED)
    told = parse(text)
    material = told.material.replace("matte", "")
    answers = (*_named(told), told.pattern, material, told.relation, *_named(told.other))
    return tuple(
        -1 if word is None else words.index(word)
        for word, words in zip(answers, ASKED, strict=True)
    )


def _named(told: Description | None) -> tuple[str | None, str | None, str | None]:
    """Kind and colours of an object, None for what is not told."""
    if told is None:
        return None, None, None
    colours = told.colours or (None,)
    return told.kind, colours[0], colours[-1]


def train_views(size: Size, clip: Any, data: Dataset, plan: Plan, team: Team, seed: int) -> Any:
    """View words of objects that have a front, starting from the judge's vision net."""
    network = judge_views(size, VIEWS)
    network.convnext.load_state_dict(clip.vision_model.state_dict())
    network = network.to(team.device)
    rows_with_front = np.flatnonzero(data.has_front)

    def loss(draws: np.random.Generator, _step: int) -> Tensor:
        rows = draws.choice(rows_with_front, plan.batch)
        labels = torch.from_numpy(data.views[rows]).to(team.device)
        with fast(team.device):
            pictures = disturbed(pictures_of(data, rows, team.device), draws)
            answer = network(pixel_values=pictures, labels=labels)
        return answer.loss.float()

    return train_stage(plan, network, loss, team, seed=seed)


def broken(pictures: Tensor, draws: np.random.Generator) -> Tensor:
    """Pictures of the same colours that show nothing: shuffled tiles, blobs, or mixed halves."""
    count, side = len(pictures), pictures.shape[-1]
    parts = []
    for place, picture in enumerate(pictures):
        kind = draws.integers(3)
        if kind == 2:
            # The left half of one and the right half of the next one, mirrored.
            other = pictures[(place + 1) % count].flip(-1)
            parts.append(torch.cat([picture[..., : side // 2], other[..., side // 2 :]], dim=-1))
            continue
        edge = side // (4 if kind == 0 else 16)
        tiles = picture.unfold(1, edge, edge).unfold(2, edge, edge).flatten(1, 2)
        tiles = tiles[:, torch.from_numpy(draws.permutation(tiles.shape[1])).to(tiles.device)]
        grid = tiles.unflatten(1, (side // edge, side // edge)).permute(0, 1, 3, 2, 4)
        shuffled = grid.reshape(picture.shape)
        if kind == 1:
            small = interpolate(shuffled[None], side // edge, mode="area")
            shuffled = interpolate(small, side, mode="bilinear")[0]
        parts.append(shuffled)
    return torch.stack(parts)


def pushed(
    clip: Any, pictures: Tensor, ids: Tensor, draws: np.random.Generator, steps: int = 3
) -> Tensor:
    """Pictures pushed up the network's own gradient, each towards a caption (Madry et al. 2018).

    Args:
        clip: is asked for the gradient, and does not learn from it.
        pictures: ``[B, 3, S, S]`` in [-1, 1].
        ids: token numbers of the captions, ``[B, L]`` or more of them.
        draws: give the length of a step.
        steps: each adds or subtracts the same from every value, by the gradient's sign.
    """
    length = float(draws.uniform(0.02, 0.2))
    with torch.no_grad():
        texts = _features(clip.get_text_features(input_ids=ids[: len(pictures)]))
    for _ in range(steps):
        pictures = pictures.detach().requires_grad_(True)
        seen = _features(clip.get_image_features(pixel_values=pictures))
        (slope,) = torch.autograd.grad(cosine_similarity(seen, texts).sum(), pictures)
        pictures = (pictures + length * slope.sign()).clamp(-1, 1).detach()
    return pictures


def _features(answer: Any) -> Tensor:
    # Newer transformers wrap the projected features in an output record.
    return getattr(answer, "pooler_output", answer)


def disturbed(pictures: Tensor, draws: np.random.Generator) -> Tensor:
    """Pictures moved, scaled, blurred, relit and made noisy at random, ``[B, 3, S, S]``."""
    count, side = pictures.shape[0], pictures.shape[-1]
    zoom = draws.uniform(0.85, 1.15, count)
    move = draws.uniform(-0.08, 0.08, (count, 2))
    maps = np.zeros((count, 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = zoom
    maps[:, :, 2] = move
    grid = affine_grid(torch.from_numpy(maps).to(pictures), list(pictures.shape), False)
    pictures = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    if draws.random() < 0.35:
        small = max(int(side / draws.uniform(1.2, 2.5)), 8)
        pictures = interpolate(
            interpolate(pictures, small, mode="bilinear", antialias=True), side, mode="bilinear"
        )
    contrast = torch.from_numpy(draws.uniform(0.85, 1.1, (count, 1, 1, 1))).to(pictures)
    strength = torch.from_numpy(draws.uniform(0, 0.1, (count, 1, 1, 1))).to(pictures)
    noise = torch.from_numpy(draws.standard_normal(pictures.shape, np.float32)).to(pictures)
    return (pictures * contrast + strength * noise).clamp(-1, 1)
