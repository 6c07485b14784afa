"""Lessons of one person's workspaces, in one small database outside of them: what earlier work has to say to new work.

It lies in `$EVO_LESSONS`, else in the user's data folder (`$XDG_DATA_HOME`, `~/.local/share`); `EVO_LESSONS=none` is
without. Invariant: nothing depends on it. What cannot be opened or written is passed over; a lesson holds no item and
no output, only the line of insight, what it is about, and where it comes from.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from evo import clock

VARIABLE = "EVO_LESSONS"
OFF = "none"
VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS workspace (root TEXT PRIMARY KEY, name TEXT NOT NULL, seen_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lesson (
    root TEXT NOT NULL,
    experiment TEXT NOT NULL,
    name TEXT NOT NULL,
    technique TEXT NOT NULL,
    family TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL CHECK (text <> ''),
    is_derived INTEGER NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (root, experiment)
) STRICT, WITHOUT ROWID;
"""


class Lesson(NamedTuple):
    """`name`: the workspace's, with `root` its origin. `family`: of the base model; `kind`: of the task; `at`: when it
    was learnt."""

    root: str
    experiment: str
    name: str
    technique: str
    family: str
    kind: str
    text: str
    is_derived: bool
    at: str = ""


def place() -> Path | None:
    """Where it lies; None where there is to be none."""
    named = os.environ.get(VARIABLE, "")
    if named == OFF:
        return None
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "evo" / "lessons.db"


@contextlib.contextmanager
def opened(*, create: bool = False) -> Iterator[sqlite3.Connection | None]:
    """None where it is off, not there, of a later version, or cannot be opened."""
    db = _connect(create=create)
    try:
        yield db
    finally:
        if db is not None:
            db.close()


def _connect(*, create: bool) -> sqlite3.Connection | None:
    try:
        path = place()
        if path is None or not (create or path.is_file()):
            return None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = sqlite3.connect(path, timeout=5, isolation_level=None)
    except (OSError, RuntimeError, sqlite3.Error):  # RuntimeError: a user without a home
        return None
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            db.close()
            return None
        if version < VERSION:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.Error:
        db.close()
        return None
    return db


def register(db: sqlite3.Connection, root: str, name: str) -> None:
    """This workspace will have lessons."""
    db.execute(
        "INSERT INTO workspace VALUES (?, ?, ?) ON CONFLICT (root) DO UPDATE SET name = excluded.name",
        (root, name, clock.now()),
    )


def workspaces(db: sqlite3.Connection) -> list[str]:
    """Roots of all that were ever registered, whether they are still there or not."""
    return [row[0] for row in db.execute("SELECT root FROM workspace ORDER BY root")]


def keep(db: sqlite3.Connection, lessons: Iterable[Lesson]) -> None:
    """Add them; what is known of an experiment is replaced."""
    rows = [(*lesson[:-1], lesson.at or clock.now()) for lesson in lessons]
    db.execute("BEGIN IMMEDIATE")
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: db.execute("ROLLBACK") if db.in_transaction else None)
        db.executemany("INSERT OR REPLACE INTO lesson VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")


class About(NamedTuple):
    """What a workspace is about; an empty family or kind matches nothing."""

    root: str
    family: str
    kind: str
    techniques: frozenset[str] = frozenset()


def recall(db: sqlite3.Connection, about: About, *, limit: int) -> list[Lesson]:
    """Of other workspaces with the same kind of task, model family or technique: most in common, then newest; among
    equals no workspace takes more than a third while others have something to say."""
    wanted = {**about._asdict(), "techniques": json.dumps(sorted(about.techniques)), "limit": limit}
    rows = db.execute(_RECALL, wanted | {"share": max(1, limit // 3)})
    return [lesson._replace(is_derived=bool(lesson.is_derived)) for lesson in map(Lesson._make, rows)]


_RECALL = f"""
WITH near AS (
    SELECT *, kind <> '' AND kind = :kind AS same_kind, family <> '' AND family = :family AS same_family,
        technique IN (SELECT value FROM json_each(:techniques)) AS same_technique
    FROM lesson WHERE root <> :root
), weighed AS (
    SELECT *, same_kind + same_family + same_technique + (NOT is_derived AND (same_kind OR same_family)) AS common
    FROM near
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY root, common ORDER BY at DESC, experiment) AS place
    FROM weighed WHERE common > 0
)
SELECT {", ".join(Lesson._fields)} FROM placed
ORDER BY common DESC, place > :share, at DESC, root, experiment LIMIT :limit
"""
