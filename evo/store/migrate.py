"""Brings a database file to the schema of this evo, in one transaction.

Invariant: the tables, the record of each migration, and `PRAGMA user_version` change together or not at all, and
processes that migrate the same file at once wait for each other. The only module that imports sqlite-utils.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial

from sqlite_utils import Database, Migrations

from evo.store.schema import APPLICATION_ID, MIGRATIONS, VERSION


def migrate(db: sqlite3.Connection) -> None:
    """Apply what is pending. `db` is in autocommit mode, outside a transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        _migrations().apply(Database(db, execute_plugins=False))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _migrations() -> Migrations:
    steps = Migrations("evo")
    for name, script in MIGRATIONS:
        steps(name=name)(partial(_run, script=script))
    return steps


def _run(database: Database, *, script: str) -> None:
    for statement in _statements(script):
        database.conn.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit the transaction around it."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        raise ValueError(f"the script ends within a statement: {pending.strip()[:60]!r}")
