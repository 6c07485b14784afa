"""What a run will take, from what earlier ones took.

Invariant: read-only; from the newest good attempts, so that the cost does not grow with the tree.
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


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
