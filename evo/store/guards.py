"""Guards' dev results, and the checks that a branch was given.

Invariant: the results of one attempt under one guard_hash are written once and whole; held-out ones have no place here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from evo import clock
from evo.domain.item import ItemResult
from evo.errors import NotFound
from evo.store import events
from evo.store.checks import finite_results
from evo.store.db import transaction


def add(
    db: sqlite3.Connection, experiment: str, n: int, *, guard: str, guard_hash: str, found: Sequence[ItemResult]
) -> bool:
    """False, and nothing written, where these results are there already. NotFound: no such attempt."""
    rows = finite_results(list(found), of=f"{experiment}, guard {guard}")
    with transaction(db):
        attempt = db.execute("SELECT id FROM attempt WHERE experiment = ? AND n = ?", (experiment, n)).fetchone()
        if attempt is None:
            raise NotFound(f"{experiment} has no attempt {n}", hint=f"evo show {experiment}")
        if means(db, experiment, n, guard_hash=guard_hash):
            return False
        db.executemany(
            "INSERT INTO guard_result (attempt, guard, guard_hash, item, sample, score, output_hash, output)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(attempt["id"], guard, guard_hash, r.item, r.sample, r.score, r.output_hash, r.output) for r in rows],
        )
        told = {"guard": guard, "n": len(rows)}
        events.append(db, "guarded", experiment=experiment, attempt=n, data=told)
    return True


def means(db: sqlite3.Connection, experiment: str, n: int | None, *, guard_hash: str) -> dict[str, float]:
    """Dev item of the guard -> mean over samples, for attempt `n`; empty where it was not measured."""
    rows = db.execute(
        "SELECT item, avg(score) AS mean FROM guard_result"
        " WHERE attempt = (SELECT id FROM attempt WHERE experiment = ? AND n = ?) AND guard_hash = ? GROUP BY item",
        (experiment, n, guard_hash),
    )
    return {row["item"]: row["mean"] for row in rows}


def set_checks(db: sqlite3.Connection, experiment: str, commands: Iterable[str]) -> None:
    """Commands that must succeed before the held-out question is asked about `experiment` or what descends from it."""
    with transaction(db):
        for command in commands:
            db.execute("INSERT OR IGNORE INTO branch_check VALUES (?, ?, ?)", (experiment, command, clock.now()))


def checks_of(db: sqlite3.Connection, experiment: str) -> list[str]:
    """Those of the experiment and of its ancestors, the eldest's first, each once."""
    rows = db.execute(
        "WITH RECURSIVE line (id, parent, depth) AS ("
        " SELECT id, parent, 0 FROM experiment WHERE id = ?"
        " UNION ALL SELECT e.id, e.parent, line.depth + 1 FROM experiment e JOIN line ON e.id = line.parent)"
        " SELECT c.command FROM branch_check c JOIN line ON line.id = c.experiment"
        " ORDER BY line.depth DESC, c.created_at, c.command",
        (experiment,),
    )
    return list(dict.fromkeys(row["command"] for row in rows))
