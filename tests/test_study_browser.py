"""The page of a study in a browser: from the disk and served, what was clicked is what is counted.

Choices are made with the mouse and with keys, as participants make them, and by a rule that needs
the key: the tally must then say exactly what the rule implies.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import PATIENCE_S, Browser
from maquette import store
from maquette.cli import main
from maquette.study.answers import read_kept
from maquette.study.plan import Study, key_path
from maquette.study.server import StudyServer
from maquette.study.tallying import read_key, tally_study
from study_helpers import RECIPES, make_study

pytestmark = pytest.mark.browser

QUESTIONS = ("Best?", "Nicest?")
SHOWN = "!document.getElementById('{}').hidden"
PROMPT = "document.getElementById('prompt').textContent"
QUESTION = "document.getElementById('question').textContent"
CARDS = "[...document.querySelectorAll('.asset')]"
BUTTON = "document.getElementById('{}')"
LABELS = f"{CARDS}.map(card => card.querySelector('button').textContent)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(1100, 900) as opened:
        yield opened


def looks(browser: Browser) -> list[str]:
    """The assets on the screen from left to right, by the names of their pictures."""
    pictures = browser.value(
        f"{CARDS}.map(card => card.querySelector('.stage').style.backgroundImage)"
    )
    return [
        address.partition('"')[2].partition(".jpg")[0].rpartition("/")[2] for address in pictures
    ]


def wanted(owners: dict[str, str], shown: list[str], number: int) -> list[str]:
    """The rule: the first question prefers recipes in their order, the second in the reverse."""
    order = RECIPES if number == 0 else RECIPES[::-1]
    return sorted(shown, key=lambda asset: order.index(owners[asset]))


def answer_all(browser: Browser, owners: dict[str, str], *, rank: bool, keys: bool) -> dict:
    """Go through all questions; returns what was chosen by prompt and question."""
    browser.click(BUTTON.format("begin"))
    given = {}
    while browser.value(SHOWN.format("task")):
        shown, question = looks(browser), browser.value(QUESTION)
        chosen = wanted(owners, shown, QUESTIONS.index(question))
        for asset in chosen[: 2 if rank else 1]:  # Of three ranks the last gives itself.
            place = shown.index(asset)
            if keys:
                browser.press("abc"[place])
            else:
                browser.click(f"{CARDS}[{place}].querySelector('button')")
        given[browser.value(PROMPT), question] = chosen if rank else chosen[:1]
        count = browser.value("document.getElementById('count').textContent")
        assert browser.value(f"!{BUTTON.format('next')}.disabled")
        if keys:
            browser.press("Enter")
        else:
            browser.click(BUTTON.format("next"))
        assert not browser.value(SHOWN.format("task")) or (
            browser.value("document.getElementById('count').textContent") != count
        )
    return given


def downloaded(browser: Browser, folder: Path) -> Path:
    """The file that the page offers."""
    browser.keep_downloads(folder)
    browser.click(BUTTON.format("download"))
    end = time.monotonic() + PATIENCE_S
    while not (found := list(folder.glob("answers-*.json"))):
        assert time.monotonic() < end
        browser.wait("true")
        time.sleep(0.1)
    return found[0]


def chosen_in(study: Study, data: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    return {
        (study.by_id[row["group"]].prompt, QUESTIONS[row["question"]]): row["chosen"]
        for row in data["answers"]
    }


def kinds_of(addresses: list[str]) -> set[str]:
    return {address.partition(":")[0] for address in addresses}


@pytest.mark.parametrize("kind", ["pick", "rank"])
def test_answers_given_from_the_disk_are_those_that_are_counted(
    kind: str, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = make_study(tmp_path, kind=kind, questions=QUESTIONS, views=4)
    owners, asked_before = read_key(folder, study), len(browser.addresses)
    browser.open(folder / "index.html", SHOWN.format("intro"))
    given = answer_all(browser, owners, rank=kind == "rank", keys=kind == "rank")
    assert len(given) == 4
    # They survive a reload, and nothing has to be answered again.
    browser.reload(SHOWN.format("intro"))
    assert browser.value(f"{BUTTON.format('begin')}.textContent") == "Go on"
    browser.click(BUTTON.format("begin"))
    browser.wait(SHOWN.format("end"))
    summary = browser.value("document.getElementById('summary').textContent")
    assert summary == "You have answered 4 of 4 questions."
    path = downloaded(browser, tmp_path)
    data = json.loads(path.read_text())
    assert path.name == f"answers-{study.id}-{data['participant']}.json"
    assert chosen_in(study, data) == given
    for row in data["answers"]:
        assert row["shown"] == study.shown(data["participant"], study.by_id[row["group"]])
    # The tally says what the rule of the choices implies.
    assert main(["study", "tally", str(folder), str(path)]) == 0
    told = capsys.readouterr().out
    assert "1 participants, 1 of them finished; 4 answers count" in told
    assert "100.0%" in told
    for number, rows in enumerate(tally_study(folder, [path]).questions.values()):
        order = RECIPES if number == 0 else RECIPES[::-1]
        shares = {row.recipe: row.share for row in rows}
        assert shares == {name: float(name == order[0]) for name in RECIPES}
        assert rows[0].share_interval == pytest.approx((0.3424, 1.0), abs=1e-4)
        if kind == "rank":
            assert [(row.recipe, row.mean_rank) for row in rows] == [
                (name, place + 1.0) for place, name in enumerate(order)
            ]
    assert browser.errors == []
    assert kinds_of(browser.addresses[asked_before:]) <= {"file", "blob", "data"}
    own = folder.resolve().as_uri() + "/"
    files = [a for a in browser.addresses[asked_before:] if a.startswith("file:")]
    assert all(address.startswith(own) for address in files)


def test_two_participants_make_an_interval_of_ranks(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = make_study(tmp_path, kind="rank", questions=QUESTIONS, prompts=1)
    owners, files = read_key(folder, study), []
    for who in ("anna", "ben"):
        address = f"{(folder / 'index.html').resolve().as_uri()}?participant={who}"
        browser.open(address, SHOWN.format("intro"))
        answer_all(browser, owners, rank=True, keys=False)
        (tmp_path / who).mkdir()
        files.append(downloaded(browser, tmp_path / who))
        assert files[-1].name == f"answers-{study.id}-{who}.json"
    assert main(["study", "tally", str(folder), *map(str, files)]) == 0
    told = capsys.readouterr().out
    assert "2 participants, 2 of them finished; 4 answers count" in told
    assert "1.00 to 1.00" in told
    assert browser.errors == []


def test_nothing_in_the_page_tells_whose_an_asset_is(browser: Browser, tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, kind="pick", questions=QUESTIONS)
    key = store.read_json(key_path(folder))["assets"]
    runs = [owner["run"] for owner in key.values()]
    asked_before = len(browser.addresses)
    browser.open(folder / "index.html", SHOWN.format("intro"))
    answer_all(browser, read_key(folder, study), rank=False, keys=True)
    parts = [
        browser.value("document.documentElement.outerHTML"),
        browser.value("JSON.stringify(Object.entries(localStorage))"),
        browser.value("JSON.stringify(study)"),
        *(a.removeprefix(folder.resolve().as_uri()) for a in browser.addresses[asked_before:]),
    ]
    for secret in (*RECIPES, *runs, "recipe", "method"):
        assert not [part for part in parts if secret in part], secret
    assert any(asset in parts[2] for asset in key)


def test_a_choice_can_be_taken_back_and_left_undone(browser: Browser, tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, kind="rank", questions=QUESTIONS, prompts=1)
    browser.open(folder / "index.html", SHOWN.format("intro"))
    browser.click(BUTTON.format("begin"))
    browser.press("b")
    assert browser.value(LABELS) == ["A", "B – number 1", "C"]
    browser.press("a")
    assert browser.value(LABELS) == ["A – number 2", "B – number 1", "C – number 3"]
    browser.click(f"{CARDS}[1].querySelector('button')")
    assert browser.value(LABELS) == ["A – number 1", "B", "C – number 2"]
    assert browser.value(f"{BUTTON.format('next')}.disabled")
    browser.press("b")
    assert browser.value(LABELS) == ["A – number 1", "B – number 3", "C – number 2"]
    browser.press("Enter")
    browser.click(BUTTON.format("skip"))
    browser.wait(SHOWN.format("end"))
    shown = browser.value("screens[0].shown")
    data = json.loads(downloaded(browser, tmp_path).read_text())
    assert [row["chosen"] for row in data["answers"]] == [[shown[0], shown[2], shown[1]], []]
    tally = tally_study(folder, list(tmp_path.glob("answers-*.json")))
    assert (tally.counted, tally.incomplete, tally.finished) == (1, 1, 0)
    assert browser.errors == []
    assert study.kind == "rank"


@pytest.mark.parametrize("kind", ["pick", "rank"])
def test_answers_to_a_served_study_arrive(
    kind: str, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study = make_study(tmp_path, kind=kind, questions=QUESTIONS)
    owners, asked_before = read_key(folder, study), len(browser.addresses)
    with StudyServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            browser.open(server.address, SHOWN.format("intro"))
            given = answer_all(browser, owners, rank=kind == "rank", keys=False)
            browser.wait("document.getElementById('kept').textContent.startsWith('They have been')")
            data = json.loads(downloaded(browser, tmp_path).read_text())
        finally:
            server.shutdown()
            thread.join()
        assert kinds_of(browser.addresses[asked_before:]) <= {"http", "blob", "data"}
        http = [a for a in browser.addresses[asked_before:] if a.startswith("http")]
        assert all(address.startswith(server.address) for address in http)
    kept = read_kept(server.answers, study)
    assert {
        (study.by_id[a.group].prompt, QUESTIONS[a.question]): list(a.chosen) for a in kept
    } == given
    assert chosen_in(study, data) == given
    assert {answer.participant for answer in kept} == {data["participant"]}
    assert main(["study", "tally", str(folder)]) == 0
    assert "1 participants, 1 of them finished; 4 answers count" in capsys.readouterr().out
    assert browser.errors == []


def test_answers_wait_for_a_server_that_is_away(browser: Browser, tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, kind="pick", questions=QUESTIONS, prompts=1)
    owners = read_key(folder, study)
    with StudyServer(folder) as server:
        port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        browser.open(server.address, SHOWN.format("intro"))
        server.shutdown()
        thread.join()
    answer_all(browser, owners, rank=False, keys=True)
    browser.wait("document.getElementById('kept').textContent.includes('not on the study')")
    assert read_kept(server.answers, study) == []
    with StudyServer(folder, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            browser.reload(SHOWN.format("intro"))
            browser.wait("unsent().length === 0")
        finally:
            server.shutdown()
            thread.join()
    assert len(read_kept(server.answers, study)) == 2
    assert browser.errors
    assert all("ERR_CONNECTION_REFUSED" in error for error in browser.errors)
    browser.errors.clear()
