"""The folder of a study: what stands beside what, and that nothing in it tells whose it is."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from maquette import store
from maquette.cli import main
from maquette.errors import CheckpointError, InputError
from maquette.generation import generate
from maquette.study.building import PAGE, build_study, page
from maquette.study.plan import Group, key_path, ordered, read_study
from study_helpers import RECIPES, SMALL, make_run, make_study, plan


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def data_in(html: bytes) -> dict:
    """The study's data as a browser finds it: the text up to the first end of its element."""
    found = re.search(rb'<script type="application/json" id="study">(.*?)</script', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_real_runs_become_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = dataclasses.replace(tiny.recipe(), steps=2, growth=None)
    for recipe in (first, dataclasses.replace(first, name="other", views=1)):
        for prompt in (tiny.PROMPT, "a square"):
            made = tiny.watch()
            generate(prompt, recipe=recipe, prior=tiny.prior(), out=tmp_path / "runs", watch=made)
    out = tmp_path / "study"
    words = ["study", "build", str(tmp_path / "runs"), "--out", str(out), "--views", "4"]
    assert main([*words, "--size", "32", "--question", "Nicer?", "--question", "Rounder?"]) == 0
    told = capsys.readouterr().out
    assert f"{out / 'index.html'}: 2 groups, 4 questions a participant" in told
    study, files = read_study(out)
    assert {group.prompt for group in study.groups} == {tiny.PROMPT, "a square"}
    assert study.questions == ("Nicer?", "Rounder?")
    key = store.read_json(tmp_path / "study-key.json")
    assert key["study"] == study.id
    for group in study.groups:
        owners = [key["assets"][asset] for asset in group.assets]
        assert sorted(owner["recipe"] for owner in owners) == ["other", "tiny"]
        assert {owner["prompt"] for owner in owners} == {group.prompt}
        for asset in group.assets:
            picture = np.asarray(Image.open(io.BytesIO(files[f"{asset}.jpg"])))
            assert picture.shape == (64, 64, 3)
            # Each of the four views shows something on the grey.
            assert all(
                cell.std() > 2 for half in np.split(picture, 2) for cell in np.split(half, 2, 1)
            )
    assert main([*words[:-2], "--views", "4"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_nothing_published_tells_a_recipe(tmp_path: Path) -> None:
    folder, _ = make_study(tmp_path)
    runs = [path.name for path in (tmp_path / "runs").iterdir()]
    for name, data in contents(folder).items():
        for secret in (*RECIPES, *runs, "shapes", "objectives.SDS", str(tmp_path)):
            assert secret.encode() not in data, (name, secret)
            assert secret not in name
    assert set(contents(folder)) >= {"index.html", "study.js", "study.css"}
    assert key_path(folder).parent == folder.parent
    told = key_path(folder).read_text()
    assert all(secret in told for secret in (*RECIPES, *runs))


def test_order_in_which_runs_are_given_leaves_no_trace(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a cup", recipe) for recipe in RECIPES]
    build_study(runs, tmp_path / "one", **SMALL)
    build_study(runs[::-1], tmp_path / "two", **SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    changed = build_study(runs, tmp_path / "three", seed=1, **SMALL)
    assert changed.id != read_study(tmp_path / "one")[0].id


def test_assets_that_look_the_same_stay_two(tmp_path: Path) -> None:
    one = make_run(tmp_path, "a cup", RECIPES[0])
    two = make_run(tmp_path, "a cup", RECIPES[1])
    for name in ("asset.ply", "result.json"):
        shutil.copy(one / name, two / name)
    study = build_study([one, two], tmp_path / "study", **SMALL)
    (group,) = study.groups
    assert len(set(group.assets)) == 2
    files = contents(tmp_path / "study")
    assert files[f"{group.assets[0]}.jpg"] == files[f"{group.assets[1]}.jpg"]
    owners = store.read_json(key_path(tmp_path / "study"))["assets"]
    assert {owners[asset]["recipe"] for asset in group.assets} == set(RECIPES[:2])


@pytest.mark.parametrize(
    "text", ["</script><img src=x onerror=alert(1)>", "<!--<script>", 'a & b \u2028 "q" \'', "杯"]
)
def test_texts_cannot_break_out_of_the_page(text: str, tmp_path: Path) -> None:
    for recipe in RECIPES[:2]:
        make_run(tmp_path / "runs", text, recipe)
    asked = f"Is it {text}?"
    folder = tmp_path / "study"
    build_study([tmp_path / "runs"], folder, questions=[asked], **SMALL)
    html = (folder / "index.html").read_bytes()
    data = data_in(html)
    assert data["groups"][0]["prompt"] == text
    assert data["questions"] == [" ".join(asked.split())]
    # Beside the data, the page is the template to the last byte.
    before, after = (PAGE / "index.html").read_bytes().split(b"__STUDY__")
    assert html.startswith(before)
    assert html.endswith(after)
    inside = html[len(before) : -len(after)]
    assert not set(inside) & set(b"<>&")
    script = (PAGE / "study.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def test_page_needs_no_network() -> None:
    files = page(plan())
    for name in ("index.html", "study.js", "study.css"):
        text = files[name].decode()
        assert not re.search(r"https?:(?!\")|//[a-z]+\.|@import|@font-face", text), name
    named = set(re.findall(r'(?:src|href)="([^":]+)"', files["index.html"].decode()))
    assert named == {"study.js", "study.css"}
    assert set(files) == {"index.html", "study.js", "study.css"}
    elements = set(re.findall(r' id="([a-z]+)"', files["index.html"].decode()))
    assert set(re.findall(r'\$\("([a-z]+)"\)', files["study.js"].decode())) <= elements


def test_order_is_that_of_the_page() -> None:
    # What the functions of page/study.js answer, run by a JavaScript engine.
    names = ["0" * 16, f"{1:016x}", "a0b1c2d3e4f50617", "f" * 16, "deadbeef" * 2]
    for participant, groups, assets in (
        ("anna", [4, 2, 0, 1, 3], [3, 0, 4, 1, 2]),
        ("Ben_2", [3, 2, 1, 4, 0], [1, 2, 0, 4, 3]),
        ("0f-9", [1, 0, 4, 3, 2], [4, 2, 0, 1, 3]),
    ):
        assert ordered(names, 7, participant) == [names[i] for i in groups]
        shuffled = ordered(names, -3, participant, "0123456789abcdef")
        assert shuffled == [names[i] for i in assets]


def test_every_order_is_as_likely_as_any_other() -> None:
    names = [store.sha256_of(bytes([i]))[:16] for i in range(4)]
    counts = Counter(tuple(ordered(names, 0, f"p{i}", "ab" * 8)) for i in range(12_000))
    assert len(counts) == 24
    # Chi-squared with 23 degrees of freedom; 49.7 is its 99.9 % quantile.
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 49.7


def test_a_participant_sees_as_many_groups_as_asked_for_and_others_see_others() -> None:
    study = dataclasses.replace(plan(groups=8), each=3)
    seen = {f"p{i}": [group.id for group in study.groups_of(f"p{i}")] for i in range(40)}
    assert all(len(set(ids)) == 3 for ids in seen.values())
    assert {i for ids in seen.values() for i in ids} == {group.id for group in study.groups}
    assert seen["p1"] == [group.id for group in study.groups_of("p1")]
    for group in study.groups:
        assert sorted(study.shown("p1", group)) == list(group.assets)


def test_seeds_make_rounds_and_settings_make_labels(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "runs", "a cup", RECIPES[0], seed, scale=7.5)
        make_run(tmp_path / "runs", "a cup", RECIPES[0], seed, scale=[1, 2])
        make_run(tmp_path / "runs", "a cup", RECIPES[1], seed)
    study = build_study([tmp_path / "runs"], tmp_path / "study", **SMALL)
    owners = store.read_json(key_path(tmp_path / "study"))["assets"]
    assert [group.prompt for group in study.groups] == ["a cup", "a cup"]
    for seed, group in enumerate(study.groups):
        assert {owners[asset]["seed"] for asset in group.assets} == {seed}
        assert {owners[asset]["recipe"] for asset in group.assets} == {
            f"{RECIPES[0]} (objective.scale=7.5)",
            f"{RECIPES[0]} (objective.scale=[1, 2])",
            RECIPES[1],
        }


def build_from(runs: list[Path], out: Path, **changes: object) -> None:
    build_study(runs, out / "study", **{**SMALL, **changes})


def test_what_cannot_be_compared_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    cups = [make_run(tmp_path / "runs", "a cup", recipe) for recipe in RECIPES[:2]]
    alone = make_run(tmp_path / "runs", "a hat", RECIPES[0])
    again = make_run(tmp_path / "runs", "a cup", RECIPES[0], 1)
    undone = make_run(tmp_path / "runs", "a cup", RECIPES[2])
    (undone / "result.json").unlink()
    out = tmp_path / "out"
    out.mkdir()
    for runs, sentence in (
        ([*cups, alone], "'a hat' has runs of quokka-method only"),
        ([*cups, again], "2 of quokka-method, 1 of zebra-method"),
        ([*cups, undone], "is not finished"),
        ([out], "is no run and holds none"),
    ):
        with pytest.raises(InputError, match=re.escape(sentence)):
            build_from(runs, out)
    for changes in ({"questions": []}, {"questions": ["  "]}, {"questions": ["a", "a"]}):
        with pytest.raises(InputError, match="question"):
            build_from(cups, out, **changes)
    for changes in ({"each": 0}, {"views": 0}, {"size": 1}, {"size": 5000}, {"seed": 1 << 60}):
        with pytest.raises(InputError):
            build_from(cups, out, **changes)
    assert list(out.iterdir()) == []


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    before = key_path(folder).read_bytes()
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="the key of another study"):
        build_study([tmp_path / "runs"], folder, **SMALL, seed=5)
    assert key_path(folder).read_bytes() == before
    assert build_study([tmp_path / "runs"], folder, **SMALL) == study
    assert key_path(folder).read_bytes() == before
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs", "study", "study-key.json"}


@pytest.mark.parametrize("name", ["index.html", "study.js", "manifest.json"])
def test_an_altered_folder_is_noticed(name: str, tmp_path: Path) -> None:
    folder, _ = make_study(tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"study", b"stydy", 1))
    with pytest.raises(CheckpointError):
        read_study(folder)


def test_folders_that_are_no_study_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no study"):
        read_study(tmp_path)
    for facts in ({}, {"study": {"id": "x"}}, {"study": {**plan().facts(), "id": "0" * 16}}):
        folder = tmp_path / "sealed" / str(len(facts.get("study", {})))
        store.write_sealed(folder, {}, facts)
        with pytest.raises(CheckpointError):
            read_study(folder)


def test_group_has_what_the_page_uses() -> None:
    script = (PAGE / "study.js").read_text(encoding="utf-8")
    for name in set(re.findall(r"\bgroup\.([a-z]+)", script)):
        assert name in Group.__dataclass_fields__, name
    facts = plan().facts()
    for name in set(re.findall(r"\bstudy\.([a-z]+)\b", script)):
        assert name in facts, name
