"""Counting answers, against numbers that were computed by hand or by others."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest

from maquette.cli import main
from maquette.errors import InputError
from maquette.randomness import Randomness
from maquette.study.answers import answers_path, keep, parse, prepare
from maquette.study.plan import Group, Study, key_path
from maquette.study.tallying import bootstrap, tally_answers, tally_study, wilson
from study_helpers import RECIPES, handed_in, make_study, plan


def owners_of(study: Study) -> dict[str, str]:
    """The ``i``-th asset by name of every group is the ``i``-th recipe's."""
    return {name: f"recipe {i}" for group in study.groups for i, name in enumerate(group.assets)}


def ranking(study: Study, participant: str, group: Group, order: str, time: int = 1) -> dict:
    """An answer that puts the assets, by their numbers, in ``order``."""
    row = {"group": group.id, "question": 0, "shown": study.shown(participant, group)}
    chosen = [group.assets[int(number)] for number in order]
    return {**row, "chosen": chosen, "time": time}


def given(study: Study, participant: str, orders: list[str], time: int = 1) -> list:
    rows = [
        ranking(study, participant, group, order, time)
        for group, order in zip(study.groups, orders, strict=False)
    ]
    data = {"schema": 1, "study": study.id, "participant": participant, "answers": rows}
    return parse(study, data)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (1, 1, 0.206549, 1.0),
        (152, 180, 0.784364, 0.890130),
    ],
)
def test_wilson_has_its_known_values(hits: int, count: int, low: float, high: float) -> None:
    interval = wilson(hits, count)
    assert interval == pytest.approx((low, high), abs=2e-6)
    oracle = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert interval == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_wilson_of_nothing_is_nothing() -> None:
    assert wilson(0, 0) is None


def test_bootstrap_of_equal_participants_has_no_width() -> None:
    counts = torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64)
    assert bootstrap(2 * counts, counts, Randomness(0).generator("x")) == (2.0, 2.0)


def test_bootstrap_of_two_participants_spans_both() -> None:
    # Means are 1, 2 or 3 with chances 1/4, 1/2 and 1/4.
    sums, counts = torch.tensor([1.0, 3.0]).double(), torch.ones(2).double()
    assert bootstrap(sums, counts, Randomness(0).generator("x")) == (1.0, 3.0)
    assert bootstrap(sums[:1], counts[:1], Randomness(0).generator("x")) is None


def test_bootstrap_is_that_of_the_normal_law_for_many() -> None:
    draw = torch.Generator().manual_seed(1)
    values = torch.rand(400, generator=draw, dtype=torch.float64)
    low, high = bootstrap(values, torch.ones_like(values), draw) or (0.0, 0.0)
    mean, half = float(values.mean()), 1.96 * float(values.std()) / 20
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_ranks_are_those_computed_by_hand() -> None:
    study = plan(groups=2)
    answers = given(study, "anna", ["012", "021"]) + given(study, "ben", ["102"])
    tally = tally_answers(study, owners_of(study), answers)
    rows = {row.recipe: row for row in tally.questions["question 0"]}
    assert list(rows) == ["recipe 0", "recipe 1", "recipe 2"]
    assert [row.mean_rank for row in rows.values()] == pytest.approx([4 / 3, 2.0, 8 / 3])
    assert [row.first for row in rows.values()] == [2, 1, 0]
    assert [row.share for row in rows.values()] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert rows["recipe 0"].share_interval == wilson(2, 3)
    assert [row.chance for row in rows.values()] == pytest.approx([1 / 3] * 3)
    # Anna ranks recipe 0 first twice, Ben second once: draws have means 1, 4/3 and 2.
    assert rows["recipe 0"].rank_interval == (1.0, 2.0)
    assert (tally.participants, tally.finished, tally.counted) == (2, 1, 3)
    assert (tally.incomplete, tally.missing, tally.superseded) == (0, 1, 0)
    assert tally.reordered == 0
    shown = [answer.shown.index(answer.chosen[0]) for answer in answers]
    assert tally.first_by_place == tuple(shown.count(place) for place in range(3))
    assert tally_answers(study, owners_of(study), answers) == tally


def test_shares_are_those_of_pgc() -> None:
    # Section 5.4: 15 people, 12 prompts, 4 methods; 84.44 %, 10.56 % and 5 % of 180 picks, and 0.
    study = plan("pick", groups=12, assets=4)
    picks = iter([0] * 152 + [1] * 19 + [2] * 9)
    answers = []
    for person in range(15):
        answers += given(study, f"p{person}", [str(next(picks)) for _ in range(12)])
    tally = tally_answers(study, owners_of(study), answers)
    rows = tally.questions["question 0"]
    assert [f"{row.share:.2%}" for row in rows] == ["84.44%", "10.56%", "5.00%", "0.00%"]
    assert {(row.shown, row.chance) for row in rows} == {(180, 0.25)}
    assert {(row.mean_rank, row.rank_interval) for row in rows} == {(None, None)}
    assert (tally.participants, tally.finished, tally.missing) == (15, 15, 0)


def test_a_recipe_counts_only_where_it_was_shown() -> None:
    study = plan("pick", groups=2, assets=2)
    one, two = study.groups
    owners = dict(zip((*one.assets, *two.assets), "xyxz", strict=True))
    answers = given(study, "anna", ["0", "1"]) + given(study, "ben", ["0", "1"])
    rows = {r.recipe: r for r in tally_answers(study, owners, answers).questions["question 0"]}
    assert {name: (row.shown, row.first) for name, row in rows.items()} == {
        "x": (4, 2),
        "y": (2, 0),
        "z": (2, 2),
    }


def test_the_last_answer_counts_and_copies_do_not() -> None:
    study = plan(groups=1)
    first, second = given(study, "anna", ["012"], time=5), given(study, "anna", ["210"], time=9)
    owners = owners_of(study)
    expected = tally_answers(study, owners, second)
    for answers in (first + second, second + first, first + second + second + first):
        tally = tally_answers(study, owners, answers)
        assert tally == dataclasses.replace(expected, superseded=1)
        assert (tally.participants, tally.counted) == (1, 1)
    # With one time the one that came last.
    late = given(study, "anna", ["120"], time=9)
    tally = tally_answers(study, owners, second + late)
    assert tally.questions["question 0"][0].recipe == "recipe 1"


def test_what_was_left_undone_is_counted_as_such() -> None:
    study = plan(groups=3)
    answers = given(study, "anna", ["012", "", "20"]) + given(study, "ben", ["012"])
    tally = tally_answers(study, owners_of(study), answers)
    assert (tally.counted, tally.incomplete, tally.missing) == (2, 2, 2)
    assert tally.finished == 0
    assert {row.shown for row in tally.questions["question 0"]} == {2}


def test_another_order_than_the_studys_own_is_told() -> None:
    study = plan(groups=1)
    row = ranking(study, "anna", study.groups[0], "012")
    row["shown"] = row["shown"][::-1]
    data = {"schema": 1, "study": study.id, "participant": "anna", "answers": [row]}
    assert tally_answers(study, owners_of(study), parse(study, data)).reordered == 1


def test_order_of_participants_and_files_changes_nothing() -> None:
    study = plan(groups=3, questions=2)
    draw = random.Random(0)
    answers = []
    for person in range(7):
        answers += parse(study, handed_in(study, f"p{person}", best=draw.randrange(3)))
    tally = tally_answers(study, owners_of(study), answers)
    draw.shuffle(answers)
    assert tally_answers(study, owners_of(study), answers) == tally


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    return make_study(tmp_path_factory.mktemp("made"), kind="rank", questions=["Best?", "Nicest?"])


def test_files_and_servers_are_counted_together(
    made: tuple[Path, Study], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = made
    elsewhere = tmp_path / "other-answers.sqlite"
    for path, names in ((answers_path(folder), "ab"), (elsewhere, "bc")):
        prepare(path, study)
        for name in names:
            keep(path, study, parse(study, handed_in(study, name)))
    later = write(tmp_path / "d.json", handed_in(study, "d"))
    copy = write(tmp_path / "a.json", handed_in(study, "a"))
    changed = write(tmp_path / "c.json", handed_in(study, "c", time=2, best=1))
    files = [elsewhere, later, copy, changed]
    tally = tally_study(folder, files)
    assert (tally.participants, tally.finished, tally.counted) == (4, 4, 16)
    assert tally.superseded == 4
    out = tmp_path / "tally.json"
    words = ["study", "tally", str(folder), *map(str, files), "--out", str(out)]
    assert main(words) == 0
    told = capsys.readouterr().out
    for text in (*RECIPES, "Best?", "Nicest?", "4 participants, 4 of them finished", "given anew"):
        assert text in told
    assert json.loads(out.read_text())["questions"] == json.loads(
        json.dumps(
            {q: [dataclasses.asdict(r) for r in rows] for q, rows in tally.questions.items()}
        )
    )
    answers_path(folder).unlink()


def test_the_key_decides_whose_an_asset_is(made: tuple[Path, Study], tmp_path: Path) -> None:
    folder, study = made
    owners = json.loads(key_path(folder).read_text())["assets"]
    favourite = {a for a, facts in owners.items() if facts["recipe"] == RECIPES[1]}
    data = handed_in(study, "anna")
    for row in data["answers"]:
        row["chosen"].sort(key=lambda asset: asset not in favourite)
    tally = tally_study(folder, [write(tmp_path / "anna.json", data)])
    for rows in tally.questions.values():
        assert (rows[0].recipe, rows[0].mean_rank, rows[0].share) == (RECIPES[1], 1.0, 1.0)


def test_damaged_files_are_one_sentence_and_nothing_is_lost(
    made: tuple[Path, Study], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = made
    good = handed_in(study, "anna")
    fine = write(tmp_path / "fine.json", good)
    whole = json.dumps(good)
    database = tmp_path / "broken.sqlite"
    prepare(database, study)
    keep(database, study, parse(study, good))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE answers SET answer = substr(answer, 1, 20) WHERE number = 3")
    connection.close()
    torn = tmp_path / "torn.sqlite"
    torn.write_bytes(database.read_bytes()[:5000])
    empty = tmp_path / "empty.sqlite"
    sqlite3.connect(empty).execute("CREATE TABLE diary (day)").connection.close()
    cases = [
        (write(tmp_path / "cut.json", whole[:-7]), "is no JSON file"),
        (write(tmp_path / "list.json", "[]"), "does not hold what it should"),
        (write(tmp_path / "other.json", {**good, "study": "0" * 16}), "answers to another study"),
        (write(tmp_path / "old.json", {**good, "schema": 0}), "has schema 0"),
        (write(tmp_path / "bad.json", {**good, "answers": [{}]}), "An answer does not say"),
        (tmp_path / "none.json", "cannot be read"),
        (database, "row 3"),
        (torn, "is damaged"),
        (empty, "no file of answers"),
    ]
    for path, sentence in cases:
        before = path.read_bytes() if path.exists() else None
        assert main(["study", "tally", str(folder), str(fine), str(path)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert sentence in told.err
        assert path.name in told.err
        assert len(told.err.splitlines()) == 1
        assert (path.read_bytes() if path.exists() else None) == before
    assert tally_study(folder, [fine]).counted == len(good["answers"])


def test_without_answers_or_key_a_sentence_tells_what_to_do(
    made: tuple[Path, Study], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = made
    assert main(["study", "tally", str(folder)]) == 2
    assert "There are no answers" in capsys.readouterr().err
    fine = write(tmp_path / "fine.json", handed_in(study, "anna"))
    inside = folder / "tally.json"
    assert main(["study", "tally", str(folder), str(fine), "--out", str(inside)]) == 2
    assert "tells whose assets are whose" in capsys.readouterr().err
    assert not inside.exists()
    shutil.copytree(folder, tmp_path / "moved")
    with pytest.raises(InputError, match="is missing"):
        tally_study(tmp_path / "moved", [fine])
    for key in ({"study": "x", "assets": {}}, {"study": study.id, "assets": {}}):
        write(tmp_path / "moved-key.json", {"schema": 1, **key})
        with pytest.raises(InputError, match="is not the key"):
            tally_study(tmp_path / "moved", [fine])
