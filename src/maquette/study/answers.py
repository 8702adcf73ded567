"""Answers: what counts as one, and the two places where they are kept.

A participant's page offers its answers as a JSON file; a server keeps them in SQLite, each request
in a transaction of its own, so that an answer that was acknowledged outlives every kill. Nothing is
overwritten: an answer that was changed is one more answer, and the last one counts. What comes from
outside is checked against the study before it is kept or counted.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette import store
from maquette.errors import DiskError, InputError
from maquette.study.plan import PARTICIPANT, Study, beside

__all__ = ["Answer", "answers_path", "keep", "parse", "prepare", "read_answers", "read_kept"]

LATEST_MS = 1 << 53
"""The largest time that JavaScript counts exactly."""
PATIENCE_S = 10.0
"""How long one writer waits for another."""
_DISK = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY,
    study TEXT NOT NULL,
    participant TEXT NOT NULL,
    answer TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Answer:
    """One answer to one question about one group.

    Attributes:
        participant: who gave it, anonymously.
        group: what it is about.
        question: its number, from 0.
        shown: the group's assets in the order in which they stood on the page.
        chosen: the best asset, or all from the best to the worst; fewer where it was left undone.
        time_ms: when it was given by the participant's clock, since 1970.
    """

    participant: str
    group: str
    question: int
    shown: tuple[str, ...]
    chosen: tuple[str, ...]
    time_ms: int


def parse(study: Study, data: Any) -> list[Answer]:
    """The answers in plain data, in the form in which the page hands them out.

    Raises:
        InputError: they are no answers, or not to this study.
    """
    if not isinstance(data, dict) or data.get("schema") != store.SCHEMA:
        raise InputError("This is no set of answers")
    if data.get("study") != study.id:
        raise InputError("These are answers to another study")
    participant, rows = data.get("participant"), data.get("answers")
    if not isinstance(participant, str) or not PARTICIPANT.fullmatch(participant):
        raise InputError("The participant has no proper name")
    if not isinstance(rows, list) or len(rows) > len(study.groups) * len(study.questions):
        raise InputError("The answers are no list, or more than there are questions")
    return [_answer(study, participant, row) for row in rows]


def _answer(study: Study, participant: str, row: Any) -> Answer:
    row = row if isinstance(row, dict) else {}
    group = study.by_id.get(_text(row.get("group")))
    shown, chosen = _names(row.get("shown")), _names(row.get("chosen"))
    numbers = (row.get("question"), row.get("time"))
    # A truth value is a whole number to Python, and no answer.
    proper = all(type(number) is int and number >= 0 for number in numbers)
    if group is None or not proper or shown is None or chosen is None:
        raise InputError("An answer does not say what it is about")
    question, time_ms = int(row["question"]), int(row["time"])
    if question >= len(study.questions) or time_ms > LATEST_MS:
        raise InputError("An answer is about a question or from a time that there is not")
    most = study.chosen_when_complete(group)
    if tuple(sorted(shown)) != group.assets or not set(chosen) <= set(shown):
        raise InputError("An answer names assets that are not those of its prompt")
    if len(set(chosen)) < len(chosen) or len(chosen) > most:
        raise InputError("An answer chooses an asset twice, or too many")
    return Answer(participant, group.id, question, shown, chosen, time_ms)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _names(value: Any) -> tuple[str, ...] | None:
    texts = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return tuple(value) if texts else None


def read_answers(path: Path, study: Study) -> list[Answer]:
    """The answers in a file: JSON as the page hands it out, or SQLite as a server keeps it.

    Raises:
        InputError: the file is damaged, missing, or holds something else; it is named.
    """
    try:
        with path.open("rb") as file:
            is_database = file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if is_database:
        return read_kept(path, study)
    data = store.read_json(path)
    try:
        return parse(study, data)
    except InputError as error:
        raise InputError(f"{path} cannot be counted: {error.what}") from error


def answers_path(folder: Path) -> Path:
    """Where a server keeps the answers to the study in ``folder``."""
    return beside(folder, "-answers.sqlite")


def prepare(path: Path, study: Study) -> None:
    """Make the file of answers where there is none.

    Raises:
        InputError: what is there holds something else, or answers to another study.
        DiskError: it cannot be written.
    """
    with _database(path, "rwc") as database:
        database.execute(TABLE)
        rows = database.execute("SELECT DISTINCT study FROM answers").fetchall()
    if any(row != (study.id,) for row in rows):
        raise InputError(
            f"{path} holds answers to another study", "Move it away; it will not be touched"
        )


def keep(path: Path, study: Study, answers: list[Answer]) -> None:
    """Add answers in one transaction; when this returns they are on the disk.

    Raises:
        InputError: the file is damaged.
        DiskError: it cannot be written.
    """
    rows = [(study.id, answer.participant, _row(answer)) for answer in answers]
    with _database(path, "rw") as database:
        database.executemany(
            "INSERT INTO answers (study, participant, answer) VALUES (?, ?, ?)", rows
        )


def read_kept(path: Path, study: Study) -> list[Answer]:
    """All answers that a server has kept, in the order in which they came.

    Raises:
        InputError: the file is damaged, or holds answers to another study.
    """
    with _database(path, "rw") as database:
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise InputError(f"{path} is damaged", "Copy it before anything else is tried")
        order = "SELECT number, study, participant, answer FROM answers ORDER BY number"
        rows = database.execute(order).fetchall()
    answers = []
    for number, of_study, participant, text in rows:
        try:
            about = {"schema": store.SCHEMA, "study": of_study, "participant": participant}
            answers += parse(study, {**about, "answers": [json.loads(text)]})
        except (InputError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be counted: row {number}: {error}") from error
    return answers


def _row(answer: Answer) -> str:
    """An answer as the JSON that ``parse`` reads."""
    return json.dumps(
        {
            "group": answer.group,
            "question": answer.question,
            "shown": answer.shown,
            "chosen": answer.chosen,
            "time": answer.time_ms,
        }
    )


@contextlib.contextmanager
def _database(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction: kept where the block succeeds, and else undone.

    Readers too may write: after a kill it is they who clear away what was half done.
    """
    try:
        address = f"{path.absolute().as_uri()}?mode={mode}"
        with contextlib.closing(sqlite3.connect(address, PATIENCE_S, uri=True)) as database:
            database.execute("PRAGMA synchronous = FULL")
            with database:
                yield database
    except sqlite3.DatabaseError as error:
        # The low byte is the class of an error, whatever it is in detail.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK:
            raise DiskError(
                f"{path} could not be opened or written: {error}",
                "Check the disk and who may write there; what was acknowledged is kept",
            ) from error
        raise InputError(
            f"{path} is damaged, or no file of answers ({error})",
            "Copy it before anything else is tried",
        ) from error
