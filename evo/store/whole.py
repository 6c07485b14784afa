"""The whole tree at once, for what reasons about all of it: three scans, whatever its size.

Invariant: read-only; an attempt's text is the end of its message, so that a row stays small.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

_TAIL = 1500


class WholeRow(NamedTuple):
    """An experiment; `params` and `summary` are JSON as stored, `summary` that of the attempt which stands for it."""

    id: str
    parent: str | None
    state: str
    recipe: str
    technique: str
    params: str
    hypothesis: str
    gain: float | None
    gain_var: float | None
    score_mean: float | None
    score_se: float | None
    epoch: str | None
    is_noop: int
    is_regressed: int
    state_class: str
    state_reason: str
    insight: str
    commit_sha: str | None
    start_from: str
    updated_at: str
    gpu_seconds: float
    summary: str | None


class Ended(NamedTuple):
    """The newest attempt of an experiment that has ended without a score."""

    failure: str
    message: str


def experiments(db: sqlite3.Connection) -> list[WholeRow]:
    """Parents before children."""
    columns = ", ".join(f"e.{name}" for name in WholeRow._fields[:-1])
    rows = db.execute(
        f"SELECT {columns}, a.summary FROM experiment e"
        " LEFT JOIN attempt a ON a.experiment = e.id AND a.n = e.primary_attempt ORDER BY e.number"
    )
    return [WholeRow(*row) for row in rows]


def failures(db: sqlite3.Connection) -> dict[str, Ended]:
    """By experiment; one whose newest attempt went well, or still runs, is not among them."""
    rows = db.execute(
        "SELECT experiment, outcome, failure, substr(message, -?), max(id) FROM attempt"
        " WHERE outcome IS NULL OR outcome <> 'lost' GROUP BY experiment",
        (_TAIL,),
    )
    return {row[0]: Ended(row[2] or row[1], row[3]) for row in rows if row[1] not in (None, "ok")}


def further_seeds(db: sqlite3.Connection) -> dict[str, int]:
    """By experiment that evo trains itself: the lowest seed above all that it was tried with."""
    rows = db.execute(
        "SELECT e.id, 1 + coalesce(max(a.seed), e.seed) FROM experiment e LEFT JOIN attempt a ON a.experiment = e.id"
        " WHERE e.number > 0 AND e.origin = '' GROUP BY e.id"
    )
    return dict(rows.fetchall())


def finding_kinds(db: sqlite3.Connection) -> dict[str | None, list[str]]:
    """Experiment (None: the tree as a whole) -> kinds of its open findings; what was said of a plan is no result."""
    found: dict[str | None, list[str]] = {}
    rows = db.execute("SELECT DISTINCT experiment, kind FROM finding WHERE settled = '' AND source <> 'plan'")
    for experiment, kind in rows:
        found.setdefault(experiment, []).append(kind)
    return found
