"""What diagnosing the tree reads of it: the best of each technique, the last moves, how often dev has decided.

Invariant: read-only; answers of bounded size, from one scan or one index walk each. Contaminated experiments say
nothing; discarded ones do. Numbers are in the metric's own units but for gains, which are direction-adjusted, in units.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

_COUNTS = "epoch = :epoch AND number > 0 AND state <> 'contaminated' AND origin = ''"


class TechniqueRow(NamedTuple):
    """The experiment of best score of a technique, and in how many runs the technique was scored."""

    technique: str
    id: str
    score: float
    se: float
    n: int
    runs: int


class MoveRow(NamedTuple):
    id: str
    delta: float | None
    """Gain over the root less the parent's; None where it was not evaluated, being worse by mid-evaluation."""


class RewardRow(NamedTuple):
    id: str
    reward: float
    score: float
    se: float


class DecisionRow(NamedTuple):
    """`best`: the candidate of highest gain among those that are newer than `after`."""

    decided: int
    best: str | None
    gain: float | None
    gain_var: float | None
    items: int | None


def techniques(db: sqlite3.Connection, epoch: str, *, sign: float) -> list[TechniqueRow]:
    better = "max" if sign > 0 else "min"
    rows = db.execute(
        f"SELECT technique, id, {better}(score_mean) AS score, score_se, score_n, sum(max(seeds, 1)) AS runs"
        f" FROM experiment WHERE {_COUNTS} AND score_mean IS NOT NULL GROUP BY technique",
        {"epoch": epoch},
    )
    return [TechniqueRow(*row) for row in rows]


def was_scored(db: sqlite3.Connection, technique: str) -> bool:
    """In any epoch."""
    asked = "SELECT EXISTS (SELECT 1 FROM experiment WHERE technique = ? AND score_mean IS NOT NULL AND number > 0)"
    return bool(db.execute(asked, (technique,)).fetchone()[0])


def latest_technique(db: sqlite3.Connection, epoch: str) -> str | None:
    """That of the newest experiment with a score."""
    row = db.execute(
        f"SELECT technique FROM experiment WHERE {_COUNTS} ORDER BY number DESC LIMIT 1", {"epoch": epoch}
    ).fetchone()
    return None if row is None else str(row[0])


def of_technique(db: sqlite3.Connection, epoch: str, technique: str, *, limit: int) -> list[MoveRow]:
    """Its finished experiments, the newest first."""
    rows = db.execute(
        "SELECT e.id, iif(e.is_regressed, NULL, e.gain - coalesce(p.gain, 0)) AS delta FROM experiment e"
        " JOIN experiment p ON p.id = e.parent"
        " WHERE e.technique = :technique AND e.state <> 'contaminated' AND e.origin = '' AND e.number > 0"
        " AND (e.is_regressed OR (e.epoch = :epoch AND e.gain IS NOT NULL AND (p.epoch = :epoch OR p.number = 0)))"
        " ORDER BY e.number DESC LIMIT :limit",
        {"epoch": epoch, "technique": technique, "limit": limit},
    )
    return [MoveRow(*row) for row in rows]


def rewarded(db: sqlite3.Connection, epoch: str, *, limit: int, among: int) -> list[RewardRow]:
    """Of the newest `among` scored experiments the last `limit` that were rewarded by the workspace's own measure."""
    rows = db.execute(
        "SELECT e.id, a.summary, e.score_mean, e.score_se FROM (SELECT * FROM experiment"
        f" WHERE {_COUNTS} AND score_mean IS NOT NULL AND state <> 'discarded' ORDER BY number DESC LIMIT :among) e"
        " JOIN attempt a ON a.experiment = e.id AND a.n = e.primary_attempt"
        " WHERE a.summary LIKE '%\"train_score\"%' ORDER BY e.number DESC LIMIT :limit",
        {"epoch": epoch, "limit": limit, "among": among},
    )
    return [RewardRow(row[0], json.loads(row[1])["train_score"], row[2], row[3]) for row in rows]


def decisions(db: sqlite3.Connection, epoch: str, *, after: str) -> DecisionRow:
    """How many experiments dev has scored since `after` was made, and the one that it prefers."""
    since = "number > (SELECT number FROM experiment WHERE id = :after)"
    count = db.execute(
        f"SELECT count(*) FROM experiment WHERE {_COUNTS} AND {since}", {"epoch": epoch, "after": after}
    ).fetchone()[0]
    row = db.execute(
        f"SELECT id, gain, gain_var, score_n FROM experiment WHERE {_COUNTS} AND {since} AND gain IS NOT NULL"
        " AND state IN ('open', 'committed') ORDER BY gain DESC, number LIMIT 1",
        {"epoch": epoch, "after": after},
    ).fetchone()
    return DecisionRow(count, *(row if row is not None else (None, None, None, None)))
