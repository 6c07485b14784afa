"""Datasets by the hash of their content, what they were made from, and which experiment used which of them as what.

Invariant: a hash is registered once; where it is seen again under another path, the first row stands, and only what
it did not say yet is added. A label `derived: dev` reaches every dataset that is made from a labelled one, whichever of
the two is registered first, and is never taken off.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal

from evo import clock
from evo.errors import NotFound, UsageError
from evo.lightdata import dataclass
from evo.store import events
from evo.store.db import transaction

Derived = Literal["", "dev"]

_BELOW = """WITH RECURSIVE below (sha256) AS (
    SELECT ? UNION SELECT d.sha256 FROM below JOIN dataset d, json_each(d.parents) p WHERE p.value = below.sha256)"""


@dataclass(frozen=True)
class Dataset:
    """`parents` are the hashes of the datasets that `transform` made it from; `source` as the recipe names it.

    `derived`: dev, where it was made from what the model got wrong on dev. `retracted`: why it was taken back; None
    while it stands.
    """

    sha256: str
    path: str
    lines: int
    source: str
    transform: str = ""
    parents: tuple[str, ...] = ()
    derived: Derived = ""
    retracted: str | None = None


def register(db: sqlite3.Connection, dataset: Dataset) -> bool:
    """True when it was not known before."""
    with transaction(db):
        known = db.execute("SELECT 1 FROM dataset WHERE sha256 = ?", (dataset.sha256,)).fetchone()
        db.execute(
            "INSERT INTO dataset (sha256, path, lines, source, transform, parents, derived, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET"
            " parents = CASE parents WHEN '[]' THEN excluded.parents ELSE parents END,"
            " transform = CASE transform WHEN '' THEN excluded.transform ELSE transform END,"
            " derived = CASE derived WHEN '' THEN excluded.derived ELSE derived END",
            (
                dataset.sha256, dataset.path, dataset.lines, dataset.source, dataset.transform,
                json.dumps(dataset.parents), dataset.derived, clock.now(),
            ),
        )  # fmt: skip
        labelled = db.execute(
            "SELECT 1 FROM dataset d WHERE d.sha256 = ? AND (d.derived = 'dev' OR EXISTS (SELECT 1 FROM"
            " json_each(d.parents) p JOIN dataset o ON o.sha256 = p.value WHERE o.derived = 'dev'))",
            (dataset.sha256,),
        ).fetchone()
        if labelled is not None:
            db.execute(
                f"{_BELOW} UPDATE dataset SET derived = 'dev' WHERE derived = '' AND sha256 IN below", (dataset.sha256,)
            )
    return known is None


def get(db: sqlite3.Connection, sha256: str) -> Dataset:
    found = known(db, sha256)
    if found is None:
        raise NotFound(f"no dataset {sha256[:12]} is registered", hint="evo data status lists them")
    return found


def known(db: sqlite3.Connection, sha256: str) -> Dataset | None:
    row = db.execute("SELECT * FROM dataset WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else _dataset(row)


def find(db: sqlite3.Connection, name: str) -> Dataset:
    """By path, source, hash, or the beginning of a hash. NotFound; UsageError where it could be several."""
    rows = db.execute(
        "SELECT * FROM dataset WHERE path = :name OR source = :name OR substr(sha256, 1, length(:name)) = :name"
        " ORDER BY created_at DESC, sha256",
        {"name": name},
    ).fetchall()
    if not rows:
        raise NotFound(f"no dataset {name} is registered", hint="evo data status lists them")
    if len(rows) > 1:
        some = ", ".join(row["sha256"][:12] for row in rows[:5])
        raise UsageError(f"{name} could be {len(rows)} datasets: {some}", hint="name the hash")
    return _dataset(rows[0])


def newest(db: sqlite3.Connection, *, limit: int) -> list[Dataset]:
    rows = db.execute("SELECT * FROM dataset ORDER BY created_at DESC, sha256 LIMIT ?", (limit,))
    return [_dataset(row) for row in rows]


def has_retracted(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM dataset WHERE retracted IS NOT NULL)").fetchone()[0])


def retract(db: sqlite3.Connection, sha256: str, *, reason: str) -> list[Dataset]:
    """Take a dataset and all that was made from it back; those that stood until now."""
    with transaction(db):
        rows = db.execute(
            f"{_BELOW} UPDATE dataset SET retracted = ? WHERE retracted IS NULL AND sha256 IN below RETURNING *",
            (sha256, reason),
        ).fetchall()
        for row in rows:
            events.append(db, "retract", data={"dataset": row["sha256"], "reason": reason})
    return [_dataset(row) for row in rows]


def descended(db: sqlite3.Connection, sha256: str) -> list[str]:
    """Experiments that used the dataset or one made from it, and all that descend from them; oldest first."""
    rows = db.execute(
        f"{_BELOW}, touched (id) AS ("
        " SELECT x.experiment FROM experiment_dataset x JOIN below ON x.dataset = below.sha256"
        " UNION SELECT e.id FROM experiment e JOIN touched ON e.parent = touched.id)"
        " SELECT e.id FROM experiment e JOIN touched USING (id) ORDER BY e.number",
        (sha256,),
    )
    return [row["id"] for row in rows]


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


def dev_exposed(db: sqlite3.Connection) -> frozenset[str]:
    """Experiments that trained on data made from dev failures themselves; their descendants are exposed with them."""
    rows = db.execute(
        "SELECT DISTINCT x.experiment FROM dataset d JOIN experiment_dataset x ON x.dataset = d.sha256"
        " WHERE d.derived <> ''"
    )
    return frozenset(row["experiment"] for row in rows)


def exposed_among(db: sqlite3.Connection, nodes: Sequence[tuple[str, str | None]]) -> frozenset[str]:
    """Those of `nodes`, (id, parent) with parents first, that are dev-exposed."""
    exposed = set(dev_exposed(db))
    if not exposed or not nodes:
        return frozenset()
    if is_dev_exposed(db, nodes[0][0]):
        exposed.add(nodes[0][0])
    for id, parent in nodes:
        if parent in exposed:
            exposed.add(id)
    return frozenset(exposed)


def is_dev_exposed(db: sqlite3.Connection, experiment: str) -> bool:
    """True for an experiment that trained on data made from dev failures, or that descends from one."""
    exposed = dev_exposed(db)
    if not exposed:
        return False
    rows = db.execute(
        "WITH RECURSIVE above (id, parent) AS (SELECT id, parent FROM experiment WHERE id = ?"
        " UNION ALL SELECT e.id, e.parent FROM above JOIN experiment e ON e.id = above.parent) SELECT id FROM above",
        (experiment,),
    )
    return any(row["id"] in exposed for row in rows)


def _dataset(row: sqlite3.Row) -> Dataset:
    parents = tuple(json.loads(row["parents"]))
    made = (row["source"], row["transform"], parents, row["derived"], row["retracted"])
    return Dataset(row["sha256"], row["path"], row["lines"], *made)
