"""The event log: what happened, in the order in which it was written. Rows are appended, never changed.

Invariant: an event is written in the transaction of the change that it tells about.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from evo import clock
from evo.lightdata import dataclass


@dataclass(frozen=True)
class Event:
    """`id` grows with every event; `attempt` is the attempt's number within its experiment."""

    id: int
    at: str
    kind: str
    experiment: str | None
    attempt: int | None
    data: dict[str, object]


def append(
    db: sqlite3.Connection,
    kind: str,
    *,
    experiment: str | None = None,
    attempt: int | None = None,
    data: Mapping[str, object] | None = None,
) -> int:
    """The new event's id. Alone it is a transaction of its own."""
    text = json.dumps(dict(data or {}), ensure_ascii=False, allow_nan=False)
    row = db.execute(
        "INSERT INTO event (at, kind, experiment, attempt, data) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (clock.now(), kind, experiment, attempt, text),
    ).fetchone()
    return int(row["id"])


def read(db: sqlite3.Connection, *, experiment: str | None = None, after: int = 0, limit: int = 50) -> list[Event]:
    """Events with an id above `after`, oldest first, at most `limit`."""
    return _select(db, experiment, f"id > ? ORDER BY id LIMIT {int(limit)}", after)


def latest(db: sqlite3.Connection, *, experiment: str | None = None, limit: int = 50) -> list[Event]:
    """The last `limit` events, newest first."""
    return _select(db, experiment, f"id > ? ORDER BY id DESC LIMIT {int(limit)}", 0)


def _select(db: sqlite3.Connection, experiment: str | None, rest: str, after: int) -> list[Event]:
    if experiment is None:
        rows = db.execute(f"SELECT * FROM event WHERE {rest}", (after,))
    else:
        rows = db.execute(f"SELECT * FROM event WHERE experiment = ? AND {rest}", (experiment, after))
    return [
        Event(row["id"], row["at"], row["kind"], row["experiment"], row["attempt"], json.loads(row["data"]))
        for row in rows
    ]
