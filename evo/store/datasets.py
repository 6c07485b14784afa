"""Datasets by the hash of their content, and which experiment used which of them as what.

Invariant: a hash is registered once; where it is seen again under another path, the first row stands.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from evo import clock
from evo.errors import NotFound
from evo.lightdata import dataclass
from evo.store.db import transaction


@dataclass(frozen=True)
class Dataset:
    """`parents` are the hashes of the datasets that `transform` made it from; `source` as the recipe names it."""

    sha256: str
    path: str
    lines: int
    source: str
    transform: str = ""
    parents: tuple[str, ...] = ()


def register(db: sqlite3.Connection, dataset: Dataset) -> bool:
    """True when it was not known before."""
    with transaction(db):
        row = db.execute(
            "INSERT INTO dataset (sha256, path, lines, source, transform, parents, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING sha256",
            (
                dataset.sha256, dataset.path, dataset.lines, dataset.source, dataset.transform,
                json.dumps(dataset.parents), clock.now(),
            ),
        ).fetchone()  # fmt: skip
    return row is not None


def get(db: sqlite3.Connection, sha256: str) -> Dataset:
    row = db.execute("SELECT * FROM dataset WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None:
        raise NotFound(f"no dataset {sha256[:12]} is registered", hint="evo data status lists them")
    return _dataset(row)


def link(db: sqlite3.Connection, experiment: str, *, used: Iterable[tuple[str, str]]) -> None:
    """Record (role, sha256) pairs of registered datasets; linking again changes nothing."""
    with transaction(db):
        db.executemany(
            "INSERT INTO experiment_dataset (experiment, role, dataset) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(experiment, role, sha256) for role, sha256 in used],
        )


def of(db: sqlite3.Connection, experiment: str) -> list[tuple[str, Dataset]]:
    """(role, dataset) pairs, by role."""
    rows = db.execute(
        "SELECT x.role, d.* FROM experiment_dataset x JOIN dataset d ON d.sha256 = x.dataset"
        " WHERE x.experiment = ? ORDER BY x.role, d.path",
        (experiment,),
    )
    return [(row["role"], _dataset(row)) for row in rows]


def users(db: sqlite3.Connection, sha256: str) -> list[str]:
    """Ids of the experiments that used it, oldest first."""
    rows = db.execute(
        "SELECT DISTINCT e.id, e.number FROM experiment_dataset x JOIN experiment e ON e.id = x.experiment"
        " WHERE x.dataset = ? ORDER BY e.number",
        (sha256,),
    )
    return [row["id"] for row in rows]


def _dataset(row: sqlite3.Row) -> Dataset:
    parents = tuple(json.loads(row["parents"]))
    return Dataset(row["sha256"], row["path"], row["lines"], row["source"], row["transform"], parents)
