"""Bulk reads of the tree for `status`, `tree` and `next`: few columns, no JSON, no object per experiment but a tuple.

Invariant: read-only; every query is answered from an index or by one scan, and what is listed is bounded by the caller.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from evo.domain.experiment import STANDINGS


class LightNode(NamedTuple):
    """What the search needs of an experiment. `gpu_seconds` is the sum over its attempts."""

    number: int
    id: str
    parent: str | None
    state: str
    score_mean: float | None
    score_se: float | None
    gain: float | None
    gain_var: float | None
    epoch: str | None
    recipe: str
    gpu_seconds: float
    seeds: int
    former_state: str | None
    is_regressed: int


class TreeRow(NamedTuple):
    """What a picture of the tree needs. `depth` counts from the node that was asked for."""

    id: str
    parent: str | None
    state: str
    score_mean: float | None
    score_se: float | None
    epoch: str | None
    hypothesis: str
    recipe: str
    technique: str
    depth: int


def light_nodes(db: sqlite3.Connection) -> list[LightNode]:
    """Every experiment, parents before children."""
    cursor = db.cursor()
    cursor.row_factory = None
    rows = cursor.execute(f"SELECT {', '.join(LightNode._fields)} FROM experiment ORDER BY number")
    return list(map(LightNode._make, rows))


def light_node(db: sqlite3.Connection, id: str) -> LightNode:
    """The row of one experiment that is known to be there."""
    cursor = db.cursor()
    cursor.row_factory = None
    row = cursor.execute(f"SELECT {', '.join(LightNode._fields)} FROM experiment WHERE id = ?", (id,)).fetchone()
    return LightNode._make(row)


def is_from_idea(db: sqlite3.Connection, id: str) -> bool:
    """Whether an idea was taken into the experiment."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM idea WHERE experiment = ?)", (id,)).fetchone()[0])


def has_children(db: sqlite3.Connection, id: str) -> bool:
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM experiment WHERE parent = ?)", (id,)).fetchone()[0])


def newest(db: sqlite3.Connection) -> int:
    """The number of the last experiment that was made."""
    return int(db.execute("SELECT max(number) FROM experiment").fetchone()[0])


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """Every standing and how many experiments hold it."""
    found = dict.fromkeys(STANDINGS, 0)
    found.update((row[0], row[1]) for row in db.execute("SELECT state, count(*) FROM experiment GROUP BY state"))
    return {str(state): n for state, n in found.items()}


def best(db: sqlite3.Connection, epoch: str) -> str | None:
    """The open or committed experiment of highest recorded gain in this epoch, lowest id on ties."""
    row = db.execute(
        "SELECT id FROM experiment WHERE epoch = ? AND gain IS NOT NULL AND state IN ('open', 'committed')"
        " ORDER BY gain DESC, number LIMIT 1",
        (epoch,),
    ).fetchone()
    return None if row is None else str(row["id"])


def since_best(db: sqlite3.Connection, epoch: str) -> int:
    """How many experiments of this epoch were scored since the one of highest gain was made; 0 before the first."""
    row = db.execute(
        "SELECT count(*) FROM experiment WHERE epoch = :epoch AND gain IS NOT NULL AND number > coalesce((SELECT number"
        " FROM experiment WHERE epoch = :epoch AND gain > 0 AND number > 0 AND state <> 'contaminated'"
        " ORDER BY gain DESC, number LIMIT 1), 0)",
        {"epoch": epoch},
    ).fetchone()
    return int(row[0])


def leaders(db: sqlite3.Connection, epoch: str, *, limit: int) -> list[tuple[str, float]]:
    """Id and gain of the open and committed experiments of highest recorded gain in this epoch, the root aside."""
    rows = db.execute(
        "SELECT id, gain FROM experiment WHERE epoch = ? AND gain IS NOT NULL AND state IN ('open', 'committed')"
        " AND number > 0 ORDER BY gain DESC LIMIT ?",
        (epoch, limit),
    )
    return [(str(row["id"]), float(row["gain"])) for row in rows]


def next_pending(db: sqlite3.Connection) -> str | None:
    """The oldest pending experiment that no attempt is at, and no round of partial runs has set aside."""
    row = db.execute(
        "SELECT id FROM experiment e WHERE state = 'pending'"
        " AND NOT EXISTS (SELECT 1 FROM attempt a"
        " WHERE a.experiment = e.id AND a.outcome IS NULL AND a.state <> 'trained' AND a.failure <> 'interrupted')"
        " AND NOT EXISTS (SELECT 1 FROM partial_run p WHERE p.experiment = e.id AND p.is_promoted IS NOT 1)"
        " ORDER BY number LIMIT 1"
    ).fetchone()
    return None if row is None else str(row[0])


def awaits_score(db: sqlite3.Connection, identifier: str) -> bool:
    """Whether a run of it would have something to bring: it has no score, and nothing was said against it."""
    row = db.execute(
        "SELECT 1 FROM experiment WHERE id = ? AND score_mean IS NULL AND state IN ('pending', 'failed')", (identifier,)
    ).fetchone()
    return row is not None


def subtree(db: sqlite3.Connection, root: str, *, limit: int, depth: int | None = None) -> list[TreeRow]:
    """`root` and what descends from it, depth first, children by number; at most `limit` rows, `depth` levels below."""
    cursor = db.cursor()
    cursor.row_factory = None
    rows = cursor.execute(
        "WITH RECURSIVE below (number, id, depth) AS ("
        " SELECT number, id, 0 FROM experiment WHERE id = :root"
        " UNION ALL SELECT e.number, e.id, below.depth + 1 FROM below JOIN experiment e ON e.parent = below.id"
        " WHERE :depth IS NULL OR below.depth < :depth ORDER BY 3 DESC, 1 LIMIT :limit)"
        " SELECT e.id, e.parent, e.state, e.score_mean, e.score_se, e.epoch, e.hypothesis, e.recipe, e.technique,"
        " below.depth FROM below CROSS JOIN experiment e ON e.number = below.number",
        {"root": root, "depth": depth, "limit": limit},
    )
    return list(map(TreeRow._make, rows))
