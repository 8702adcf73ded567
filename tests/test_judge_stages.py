"""What the judge is trained against: broken pictures, and pictures pushed towards a caption."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from maquette.toybox.captions import VOCABULARY, caption, descriptions, held_out, parse
from maquette.toybox.judge_stages import altered, broken, disturbed, pushed
from maquette.toybox.networks import SIZES, judge_clip, token_ids, tokenizer, write_vocabulary

SIDE = 32


def draws(key: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def striped(count: int) -> Tensor:
    """Each row and column of every picture is another colour."""
    random = np.random.Generator(np.random.Philox(key=4))
    rows, columns = random.uniform(-1, 1, (2, count, 3, SIDE))
    return torch.from_numpy((rows[..., None] + columns[..., None, :]) / 2).float()


def test_broken_pictures_keep_the_colours_and_lose_the_object() -> None:
    pictures = striped(24)
    spoilt = broken(pictures, draws())
    assert spoilt.shape == pictures.shape
    assert (spoilt != pictures).flatten(1).any(dim=1).all()
    shuffled = [
        place
        for place in range(24)
        if torch.allclose(spoilt[place].flatten(1).sort().values,
                          pictures[place].flatten(1).sort().values)
    ]  # fmt: skip
    halves = [
        place
        for place in range(24)
        if torch.equal(spoilt[place, ..., : SIDE // 2], pictures[place, ..., : SIDE // 2])
    ]
    # Three ways about equally often: tiles in disorder, halves of two, and blobs, which are the
    # rest and have no more contrast than the picture.
    rest = sorted(set(range(24)) - set(shuffled) - set(halves))
    assert min(len(shuffled), len(halves), len(rest)) >= 3
    for place in halves:
        other = pictures[(place + 1) % 24].flip(-1)
        assert torch.equal(spoilt[place, ..., SIDE // 2 :], other[..., SIDE // 2 :])
    for place in rest:
        assert spoilt[place].std() < pictures[place].std()
        assert torch.allclose(spoilt[place].mean((1, 2)), pictures[place].mean((1, 2)), atol=0.15)


def test_pushed_pictures_fool_the_network_that_pushed_them(tmp_path) -> None:
    write_vocabulary(VOCABULARY, tmp_path)
    words = tokenizer(tmp_path)
    torch.manual_seed(0)
    clip = judge_clip(SIZES["tiny"], len(words))
    ids = token_ids(words, ["a red ball", "a blue mug", "a green tree"])
    side = SIZES["tiny"].picture
    grey = 0.1 * torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    fooling = pushed(clip, grey, ids, draws(), steps=4)

    @torch.no_grad()
    def likeness(pictures: Tensor) -> Tensor:
        seen = clip.get_image_features(pixel_values=pictures)
        read = clip.get_text_features(input_ids=ids[:2])
        seen, read = (getattr(one, "pooler_output", one) for one in (seen, read))
        return cosine_similarity(seen, read)

    assert (likeness(fooling) > likeness(grey) + 0.01).all()
    assert fooling.abs().max() <= 1
    assert (fooling - grey).abs().max() <= 4 * 0.2 + 1e-6
    assert not fooling.requires_grad
    assert all(weight.grad is None for weight in clip.parameters())


def test_disturbed_pictures_are_still_what_they_were() -> None:
    smooth = torch.nn.functional.interpolate(striped(6)[..., ::8, ::8], SIDE, mode="bilinear")
    moved = disturbed(smooth, draws())
    assert moved.shape == smooth.shape
    assert -1 <= moved.min() <= moved.max() <= 1
    alike = cosine_similarity(moved.flatten(1), smooth.flatten(1))
    assert (alike > 0.5).all()
    assert (alike < 0.999).all()


def test_altered_captions_are_wrong_in_one_thing_and_never_held_out() -> None:
    random = draws(5)
    texts = [
        *("a red and blue mug, side view", "a spotted green and red duck", "a cat, overhead view"),
        *("a red ball on a blue and white table", "a yellow bear beside a striped red tree"),
        *(caption(d) for d in descriptions(held_out=False)[::997]),
    ]
    changes = set()
    for text in texts * 12:
        new = altered(text, random)
        told, untrue = parse(text), parse(new)
        assert told != untrue
        assert not held_out(untrue)
        assert text.rpartition(",")[2][-5:] != " view" or new.endswith(text.rpartition(",")[2])
        pairs = [(told, untrue)]
        if told.other is not None and untrue.other is not None:
            assert told.relation == untrue.relation
            pairs.append((told.other, untrue.other))
        different = [
            name
            for one, two in pairs
            for name in ("kind", "colours", "pattern", "material", "size")
            if getattr(one, name) != getattr(two, name)
        ]
        assert len(different) == 1
        changes.add(different[0])
    assert changes == {"kind", "colours", "pattern"}
