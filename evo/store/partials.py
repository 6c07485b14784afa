"""Partial runs: what a child showed after a share of its training, and which were chosen to be finished.

Invariant: a reading is stored once and decided once; a reading is no score.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from evo import clock
from evo.lightdata import dataclass
from evo.store import events
from evo.store.db import transaction


@dataclass(frozen=True)
class PartialRun:
    """`gain`: over the parent, direction-adjusted, in units; `parent_mean`: the parent's shrunken gain at that time.

    `is_promoted` is None until its round is decided.
    """

    experiment: str
    n: int
    fidelity: float
    parent_mean: float
    gain: float
    is_promoted: bool | None = None


_COLUMNS = "partial_run.*, attempt.n AS n FROM partial_run JOIN attempt ON attempt.id = partial_run.attempt"


def add(db: sqlite3.Connection, run: PartialRun) -> bool:
    """False where the experiment has a reading already."""
    with transaction(db):
        added = db.execute(
            "INSERT INTO partial_run (experiment, attempt, fidelity, parent_mean, gain, created_at)"
            " SELECT :experiment, id, :fidelity, :parent_mean, :gain, :now FROM attempt"
            " WHERE experiment = :experiment AND n = :n ON CONFLICT DO NOTHING RETURNING experiment",
            {**vars(run), "now": clock.now()},
        ).fetchone()
        if added is not None:
            data = {"fidelity": run.fidelity, "gain": run.gain, "parent_mean": run.parent_mean}
            events.append(db, "partial", experiment=run.experiment, attempt=run.n, data=data)
        return added is not None


def decide(db: sqlite3.Connection, *, promoted: Collection[str], others: Collection[str]) -> None:
    """Close a round; what has been decided before stays as it is."""
    with transaction(db):
        for experiment in (*promoted, *others):
            is_promoted = experiment in promoted
            changed = db.execute(
                "UPDATE partial_run SET is_promoted = ?, decided_at = ? WHERE experiment = ? AND is_promoted IS NULL"
                " RETURNING experiment",
                (is_promoted, clock.now(), experiment),
            ).fetchone()
            if changed is not None:
                events.append(db, "promoted" if is_promoted else "not_promoted", experiment=experiment)


def of(db: sqlite3.Connection, experiment: str) -> PartialRun | None:
    row = db.execute(f"SELECT {_COLUMNS} WHERE partial_run.experiment = ?", (experiment,)).fetchone()
    return None if row is None else _run(row)


def undecided(db: sqlite3.Connection) -> list[PartialRun]:
    """The open round: experiments that are still pending, oldest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} JOIN experiment ON experiment.id = partial_run.experiment"
        " WHERE is_promoted IS NULL AND experiment.state = 'pending' ORDER BY experiment.number"
    )
    return [_run(row) for row in rows]


def finished(db: sqlite3.Connection, *, epoch: str | None) -> list[tuple[float, float]]:
    """(early gain, gain after the full run) over the parent, of every promoted run that both ends of are scored."""
    rows = db.execute(
        "SELECT partial_run.gain AS early, child.gain - coalesce(parent.gain, 0) AS late FROM partial_run"
        " JOIN experiment AS child ON child.id = partial_run.experiment"
        " JOIN experiment AS parent ON parent.id = child.parent"
        " WHERE partial_run.is_promoted AND child.gain IS NOT NULL AND child.epoch = ?"
        " AND (parent.epoch = child.epoch) AND (parent.gain IS NOT NULL OR parent.number = 0) ORDER BY child.number",
        (epoch,),
    )
    return [(row["early"], row["late"]) for row in rows]


def _run(row: sqlite3.Row) -> PartialRun:
    decided = row["is_promoted"]
    return PartialRun(
        row["experiment"],
        row["n"],
        row["fidelity"],
        row["parent_mean"],
        row["gain"],
        None if decided is None else bool(decided),
    )
