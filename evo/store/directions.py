"""What the person says to whoever drives the tree: shown until it is acknowledged.

Invariant: a direction keeps its words and its place; acknowledging it is recorded once, with the answer.
"""

from __future__ import annotations

import sqlite3

from evo import clock
from evo.errors import NotFound
from evo.lightdata import dataclass
from evo.store import events, requests
from evo.store.db import transaction


@dataclass(frozen=True)
class Direction:
    """`acked_at` is None while it is open."""

    id: int
    text: str
    author: str
    answer: str
    created_at: str
    acked_at: str | None


def add(db: sqlite3.Connection, text: str, *, author: str = "", key: str | None = None) -> tuple[Direction, bool]:
    """The direction, and whether it was given now; under a key that is known, the one that was given then."""
    with transaction(db):
        if requests.was_made(db, key, f"direct {text}"):
            row = db.execute("SELECT * FROM direction WHERE text = ? ORDER BY id DESC LIMIT 1", (text,)).fetchone()
            return _direction(row), False
        row = db.execute(
            "INSERT INTO direction (text, author, created_at) VALUES (?, ?, ?) RETURNING *", (text, author, clock.now())
        ).fetchone()
        events.append(db, "direction", data={"direction": row["id"]})
        return _direction(row), True


def open_ones(db: sqlite3.Connection, *, limit: int = 50) -> list[Direction]:
    """Those that nobody has acknowledged, oldest first."""
    rows = db.execute("SELECT * FROM direction WHERE acked_at IS NULL ORDER BY id LIMIT ?", (limit,))
    return [_direction(row) for row in rows]


def ack(db: sqlite3.Connection, id: int | None = None, *, answer: str = "") -> list[Direction]:
    """Acknowledge one, or all that are open. Again changes nothing. NotFound: there is no such direction."""
    with transaction(db):
        known = db.execute("SELECT * FROM direction WHERE id = ?", (id,)).fetchone()
        if id is not None and known is None:
            raise NotFound(f"there is no direction {id}", hint="evo direct lists those that are open")
        if known is not None and known["acked_at"] is not None:
            return [_direction(known)]
        rows = db.execute(
            "UPDATE direction SET acked_at = ?, answer = ? WHERE acked_at IS NULL AND id = coalesce(?, id) RETURNING *",
            (clock.now(), answer, id),
        ).fetchall()
        for row in rows:
            events.append(db, "acknowledged", data={"direction": row["id"], "answer": answer})
        return sorted((_direction(row) for row in rows), key=lambda found: found.id)


def _direction(row: sqlite3.Row) -> Direction:
    return Direction(row["id"], row["text"], row["author"], row["answer"], row["created_at"], row["acked_at"])
