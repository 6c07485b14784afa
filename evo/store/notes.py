"""Notes that people and agents leave on an experiment, or on the workspace."""

from __future__ import annotations

import sqlite3

from evo import clock
from evo.lightdata import dataclass
from evo.store import events, experiments, requests
from evo.store.db import transaction


@dataclass(frozen=True)
class Note:
    """`experiment` is None for a note on the workspace."""

    id: int
    text: str
    experiment: str | None
    author: str
    created_at: str


def add(
    db: sqlite3.Connection, text: str, *, experiment: str | None = None, author: str = "", key: str | None = None
) -> Note:
    """Under a key that is known, the note that was written then. NotFound where there is no such experiment."""
    with transaction(db):
        if experiment is not None:
            experiments.get(db, experiment)
        if requests.was_made(db, key, f"note {experiment} {text}"):
            return _note(_newest_of(db, experiment, text))
        row = db.execute(
            "INSERT INTO note (experiment, text, author, created_at) VALUES (?, ?, ?, ?) RETURNING *",
            (experiment, text, author, clock.now()),
        ).fetchone()
        events.append(db, "note", experiment=experiment, data={"note": row["id"]})
        return _note(row)


def _newest_of(db: sqlite3.Connection, experiment: str | None, text: str) -> sqlite3.Row:
    found: sqlite3.Row = db.execute(
        "SELECT * FROM note WHERE experiment IS ? AND text = ? ORDER BY id DESC LIMIT 1", (experiment, text)
    ).fetchone()
    return found


def of(db: sqlite3.Connection, experiment: str | None, *, limit: int = 50) -> list[Note]:
    """Notes on one experiment (None: on the workspace), newest first."""
    rows = db.execute("SELECT * FROM note WHERE experiment IS ? ORDER BY id DESC LIMIT ?", (experiment, limit))
    return [_note(row) for row in rows]


def latest(db: sqlite3.Connection, *, limit: int = 50) -> list[Note]:
    """All notes, newest first."""
    return [_note(row) for row in db.execute("SELECT * FROM note ORDER BY id DESC LIMIT ?", (limit,))]


def _note(row: sqlite3.Row) -> Note:
    return Note(row["id"], row["text"], row["experiment"], row["author"], row["created_at"])
