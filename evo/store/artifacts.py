"""What runs declared to leave behind: weights, logs, data. Rows are written by `record.finish` and stay.

Invariant: an artifact outlives the discard of its experiment.
"""

from __future__ import annotations

import sqlite3

from evo.errors import NotFound, nearest
from evo.lightdata import dataclass


@dataclass(frozen=True)
class Artifact:
    """`content_key` identifies what it was made from; `created_by` is `exp_0003/1`, the attempt."""

    experiment: str
    attempt: int
    label: str
    kind: str
    uri: str
    content_key: str
    created_by: str
    created_at: str


def of(db: sqlite3.Connection, experiment: str) -> list[Artifact]:
    """Newest attempt first, then by label."""
    rows = db.execute(
        "SELECT f.*, a.n FROM artifact f JOIN attempt a ON a.id = f.attempt WHERE f.experiment = ?"
        " ORDER BY a.n DESC, f.label",
        (experiment,),
    )
    return [
        Artifact(
            row["experiment"],
            row["n"],
            row["label"],
            row["kind"],
            row["uri"],
            row["content_key"],
            row["created_by"],
            row["created_at"],
        )
        for row in rows
    ]


def find(db: sqlite3.Connection, experiment: str, *, label: str) -> Artifact:
    """The newest artifact of that label. NotFound names the nearest one."""
    known = of(db, experiment)
    for artifact in known:
        if artifact.label == label:
            return artifact
    hint = nearest(label, (artifact.label for artifact in known))
    raise NotFound(f"{experiment} declared no artifact {label!r}", hint=hint)
