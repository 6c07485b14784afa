"""Bounded lists for the read commands: the first of something, and how many there are.

Invariant: read-only; each answer is at most `limit` rows long, whatever the size of the tree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from evo.domain.experiment import Experiment, Standing
from evo.store.experiments import from_row


def child_counts(db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, int]:
    """How many children each of `ids` has."""
    found = dict.fromkeys(ids, 0)
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        places = ", ".join("?" * len(part))
        rows = db.execute(f"SELECT parent, count(*) FROM experiment WHERE parent IN ({places}) GROUP BY parent", part)
        found.update((row[0], row[1]) for row in rows)
    return found


def child_ids(db: sqlite3.Connection, id: str, *, limit: int) -> list[str]:
    """Oldest first."""
    rows = db.execute("SELECT id FROM experiment WHERE parent = ? ORDER BY number LIMIT ?", (id, limit))
    return [row["id"] for row in rows]


def with_state(db: sqlite3.Connection, state: Standing, *, limit: int, newest_first: bool = False) -> list[Experiment]:
    order = "DESC" if newest_first else "ASC"
    rows = db.execute(f"SELECT * FROM experiment WHERE state = ? ORDER BY number {order} LIMIT ?", (state, limit))
    return [from_row(row) for row in rows]


def with_insight(db: sqlite3.Connection, *, limit: int) -> list[tuple[Experiment, str]]:
    """Experiments that carry an insight, and when they were last changed, newest first."""
    rows = db.execute(
        "SELECT * FROM experiment WHERE insight <> '' ORDER BY updated_at DESC, number DESC LIMIT ?", (limit,)
    )
    return [(from_row(row), row["updated_at"]) for row in rows]


def changed_at(db: sqlite3.Connection, id: str) -> str:
    """When the experiment's row was last written."""
    return str(db.execute("SELECT updated_at FROM experiment WHERE id = ?", (id,)).fetchone()["updated_at"])


def open_before(db: sqlite3.Connection, epoch: str, *, limit: int) -> list[str]:
    """Open experiments whose score is of an earlier epoch, highest first."""
    rows = db.execute(
        "SELECT id FROM experiment WHERE state = 'open' AND epoch <> ? ORDER BY gain DESC, number LIMIT ?",
        (epoch, limit),
    )
    return [row["id"] for row in rows]


def newest(db: sqlite3.Connection, *, limit: int) -> list[Experiment]:
    rows = db.execute("SELECT * FROM experiment ORDER BY number DESC LIMIT ?", (limit,))
    return [from_row(row) for row in rows]


def open_ideas(db: sqlite3.Connection) -> int:
    """How many ideas wait to be taken."""
    return int(db.execute("SELECT count(*) FROM idea WHERE state = 'open'").fetchone()[0])


def idea_titles(db: sqlite3.Connection, *, limit: int) -> list[tuple[int, str]]:
    """Ideas that wait: the newest asking first, and in it the best first."""
    order = "ORDER BY created_at DESC, id LIMIT ?"
    rows = db.execute(f"SELECT id, title FROM idea WHERE state = 'open' {order}", (limit,))
    return [(row["id"], row["title"]) for row in rows]


def given_up(db: sqlite3.Connection, parents: Sequence[str], *, limit: int) -> list[Experiment]:
    """Discarded and failed children of `parents`, newest first."""
    places = ", ".join("?" * len(parents))
    rows = db.execute(
        f"SELECT * FROM experiment WHERE parent IN ({places}) AND state IN ('discarded', 'failed')"
        " ORDER BY number DESC LIMIT ?",
        (*parents, limit),
    )
    return [from_row(row) for row in rows]


def tried(db: sqlite3.Connection, parent: str, *, limit: int = 500) -> list[tuple[str, str]]:
    """(recipe, parameters as JSON) of the children of `parent`, and of whatever has failed anywhere, newest first."""
    rows = db.execute(
        "SELECT recipe, params FROM experiment WHERE number > 0 AND (parent = ? OR state IN ('failed', 'contaminated')"
        " OR state_class IN ('build', 'data')) ORDER BY number DESC LIMIT ?",
        (parent, limit),
    )
    return [(row["recipe"], row["params"]) for row in rows]
