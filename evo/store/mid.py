"""Mid-evaluations: how the checkpoints of an attempt stood on the mid slice.

Invariant: they are facts about one run and never rank nodes; written once, with the end of the attempt, at most one of
them the best.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from evo import clock


class MidRow(NamedTuple):
    """One checkpoint: mean and standard error over `n` items of the mid slice."""

    step: int
    mean: float
    se: float
    n: int
    seconds: float
    is_best: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether the store would take it: counts are counts, and numbers finite."""
        numbers = (self.mean, self.se, self.seconds)
        counts = type(self.step) is int and type(self.n) is int and self.step >= 0 and self.n >= 1
        return counts and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)


def insert(db: sqlite3.Connection, attempt_id: int, rows: Iterable[MidRow]) -> None:
    """Rows of `attempt.id`, as a part of the caller's transaction; a step that is there already stays as it is."""
    now = clock.now()
    db.executemany(
        "INSERT INTO mid_eval (attempt, step, mean, se, n, seconds, is_best, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(attempt_id, *row, now) for row in rows],
    )


def of(db: sqlite3.Connection, experiment: str, n: int) -> list[MidRow]:
    """The mid-evaluations of one attempt, by step."""
    rows = db.execute(
        "SELECT step, mean, se, n, seconds, is_best FROM mid_eval"
        " WHERE attempt = (SELECT id FROM attempt WHERE experiment = ? AND n = ?) ORDER BY step",
        (experiment, n),
    )
    return [MidRow(r["step"], r["mean"], r["se"], r["n"], r["seconds"], bool(r["is_best"])) for r in rows]
