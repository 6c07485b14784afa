"""What checks have found, by experiment; a check that is made again replaces what it said before.

Invariant: a settled finding stays on record, with who settled it and why; the same finding is not raised twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from evo import clock
from evo.domain.finding import Finding, Severity
from evo.errors import NotFound
from evo.lightdata import dataclass
from evo.store import events
from evo.store.db import transaction


@dataclass(frozen=True)
class Recorded:
    """A finding in the store; `experiment` is None where it is about the workspace, `settled` says why it is over."""

    id: int
    experiment: str | None
    attempt: int | None
    finding: Finding
    settled: str
    created_at: str


def replace(
    db: sqlite3.Connection, source: str, found: Iterable[Finding], *, experiment: str | None, attempt: int | None = None
) -> None:
    """What `source` has to say of this experiment now: open findings that it no longer makes are gone."""
    latest = {(finding.kind, finding.message): finding for finding in found}
    with transaction(db):
        rows = db.execute("SELECT * FROM finding WHERE experiment IS ? AND source = ?", (experiment, source)).fetchall()
        for row in rows:
            known = latest.pop((row["kind"], row["message"]), None)
            if known is None and not row["settled"]:
                db.execute("DELETE FROM finding WHERE id = ?", (row["id"],))
        for finding in latest.values():
            db.execute(
                "INSERT INTO finding (experiment, attempt, source, kind, severity, message, evidence, next, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    experiment, attempt, source, finding.kind, finding.severity, finding.message,
                    json.dumps(finding.evidence, allow_nan=False), finding.next, clock.now(),
                ),
            )  # fmt: skip
            data = {"source": source, "kind": finding.kind, "severity": finding.severity}
            events.append(db, "finding", experiment=experiment, attempt=attempt, data=data)


def settle(db: sqlite3.Connection, id: int, *, why: str) -> None:
    """A person or a check has looked at it. NotFound where there is no such finding."""
    with transaction(db):
        row = db.execute("UPDATE finding SET settled = ? WHERE id = ? RETURNING experiment", (why, id)).fetchone()
        if row is None:
            raise NotFound(f"there is no finding {id}", hint="evo diagnose lists them")
        events.append(db, "settled", experiment=row["experiment"], data={"finding": id, "why": why})


def of(db: sqlite3.Connection, experiment: str | None, *, source: str = "", limit: int = 50) -> list[Recorded]:
    """Those of one experiment (None: of the workspace), the gravest first, then the newest."""
    rows = db.execute(
        "SELECT * FROM finding WHERE experiment IS ? AND (? = '' OR source = ?)"
        " ORDER BY CASE severity WHEN 'block' THEN 0 WHEN 'warn' THEN 1 ELSE 2 END, id DESC LIMIT ?",
        (experiment, source, source, limit),
    )
    return [_recorded(row) for row in rows]


def open_ones(
    db: sqlite3.Connection, *, severities: Iterable[Severity] = ("block", "warn"), limit: int = 50
) -> list[Recorded]:
    """What is not settled anywhere in the tree, the newest first."""
    wanted = list(severities)
    marks = ", ".join("?" * len(wanted))
    rows = db.execute(
        f"SELECT * FROM finding WHERE settled = '' AND severity IN ({marks}) ORDER BY id DESC LIMIT ?", (*wanted, limit)
    )
    return [_recorded(row) for row in rows]


def blocks(db: sqlite3.Connection, experiment: str) -> list[Recorded]:
    """What stands between this experiment and a commit: unsettled findings of severity `block`."""
    return [found for found in of(db, experiment) if found.finding.severity == "block" and not found.settled]


def _recorded(row: sqlite3.Row) -> Recorded:
    finding = Finding(
        row["source"], row["kind"], row["severity"], row["message"], json.loads(row["evidence"]), row["next"]
    )
    return Recorded(row["id"], row["experiment"], row["attempt"], finding, row["settled"], row["created_at"])
