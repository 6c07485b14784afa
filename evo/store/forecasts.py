"""What earlier attempts tell of the next: how long it takes, and how such attempts have failed.

Invariant: read-only; from the newest attempts, so that the cost does not grow with the tree.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

NEWEST = 20


class Forecast(NamedTuple):
    """Medians over the newest `n` good attempts of a recipe."""

    recipe: str
    n: int
    wall_seconds: float
    gpu_seconds: float


def evaluation_s(db: sqlite3.Connection) -> float:
    """The longest of the last evaluations on dev; 0 before the first."""
    row = db.execute(
        "SELECT max(eval_seconds) FROM (SELECT eval_seconds FROM attempt WHERE outcome = 'ok' ORDER BY id DESC LIMIT 5)"
    ).fetchone()
    return float(row[0] or 0.0)


def of_recipe(db: sqlite3.Connection, recipe: str) -> Forecast | None:
    """None where it has no good attempt yet."""
    rows = db.execute(
        "SELECT coalesce(a.train_seconds, 0) + coalesce(a.eval_seconds, 0), a.gpu_seconds FROM attempt a"
        " JOIN experiment e ON e.id = a.experiment WHERE e.recipe = ? AND a.outcome = 'ok' ORDER BY a.id DESC LIMIT ?",
        (recipe, NEWEST),
    ).fetchall()
    if not rows:
        return None
    return Forecast(recipe, len(rows), _median([row[0] for row in rows]), _median([row[1] for row in rows]))


def recipes(db: sqlite3.Connection, *, limit: int = 10) -> list[str]:
    """Recipes of the newest experiments, each once, newest first."""
    rows = db.execute("SELECT recipe FROM experiment WHERE number > 0 ORDER BY number DESC LIMIT 200")
    return list(dict.fromkeys(str(row[0]) for row in rows))[:limit]


def last_failure(db: sqlite3.Connection) -> str:
    """The class of the newest attempt's failure; empty where it went well, or nothing has ended."""
    row = db.execute(
        "SELECT outcome, failure FROM attempt WHERE outcome IS NOT NULL AND outcome <> 'lost' ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return "" if row is None or row["outcome"] == "ok" else str(row["failure"] or row["outcome"])


class FailureClass(NamedTuple):
    """Attempts without a score of one class; `last` is the newest of them."""

    class_: str
    n: int
    last: str
    message: str


def failure_classes(db: sqlite3.Connection, *, limit: int = 5) -> list[FailureClass]:
    """Of the newest thousand attempts, the class that was seen last first."""
    rows = db.execute(
        "SELECT failure, count(*) n, max(id), experiment, message"
        " FROM (SELECT * FROM attempt ORDER BY id DESC LIMIT 1000)"
        " WHERE outcome IS NOT NULL AND outcome <> 'ok' GROUP BY failure ORDER BY max(id) DESC LIMIT ?",
        (limit,),
    )  # SQLite takes the other columns from the row that holds the maximum
    return [FailureClass(row["failure"], row["n"], row["experiment"], row["message"]) for row in rows]


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
