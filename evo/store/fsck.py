"""Is everything in the database true of itself and of the folders beside it? And a copy of it, for when it is not.

Invariant: `check` writes nothing; every score is computed again from its per-item results, and every commit is traced
to its certificate and that to its look.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from evo.domain.experiment import ROOT, experiment_id
from evo.errors import Refused, StoreError
from evo.files import new_draft
from evo.lightdata import dataclass
from evo.store import db as database
from evo.store import results

TOLERANCE = 1e-9
_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """`error`: something that must never be; `warning`: something to know. `fix` is what to do about it."""

    severity: Literal["error", "warning"]
    what: str
    fix: str


def check(db: sqlite3.Connection, root: Path) -> list[Finding]:
    """Everything that is wrong; empty when all is well. `root` is the `.evo` folder."""
    broken = list(_file(db))
    if broken:
        return broken
    in_rows = [finding for part in _PARTS for finding in part(db)]
    return [*in_rows, *_folders(db, root), *_worktrees(db, root), *_weights(db, root)]


def backup(db: sqlite3.Connection, target: Path) -> Path:
    """A consistent copy while others go on writing, mode 0600. `target` is replaced as a whole; a folder gets a file.

    Refused: `target` is the database itself. StoreError: what was copied is damaged, or the disk is full.
    """
    path = target / "evo-backup.db" if target.is_dir() else target
    if path.exists() and path.samefile(database.file_of(db)):
        raise Refused(f"{path} is the database itself", hint="name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = new_draft(path)
    try:
        with contextlib.closing(sqlite3.connect(draft)) as copy:
            db.backup(copy)
            verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreError(f"{database.file_of(db)} is damaged: {verdict}", hint=database.WAY_OUT)
        os.fsync(handle)
        os.replace(draft, path)
    except sqlite3.Error as error:
        if (told := database.explained(error, path)) is not None:
            raise told from error
        raise
    finally:
        os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return path


def _file(db: sqlite3.Connection) -> Iterator[Finding]:
    """Pages, indexes, types and CHECKs, by SQLite's own check."""
    try:
        for row in db.execute(f"PRAGMA integrity_check({_SHOWN})").fetchall():
            if row[0] != "ok":
                yield Finding("error", f"the file is damaged: {row[0]}", database.WAY_OUT)
    except sqlite3.DatabaseError as error:
        yield Finding("error", f"the file is damaged: {error}", database.WAY_OUT)


def _references(db: sqlite3.Connection) -> Iterator[Finding]:
    for row in db.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN):
        yield Finding("error", f"a row of {row[0]} points at a row of {row[2]} that does not exist", database.WAY_OUT)


def _tree(db: sqlite3.Connection) -> Iterator[Finding]:
    """Parents are older than children, hence no cycle and one way to the root; numbers have no gap."""
    for expected, row in enumerate(db.execute("SELECT number FROM experiment ORDER BY number")):
        if row["number"] != expected:
            yield Finding("error", f"{experiment_id(expected)} is missing", database.WAY_OUT)
            break
    rows = db.execute(
        "SELECT e.id, e.parent FROM experiment e JOIN experiment p ON p.id = e.parent WHERE p.number >= e.number"
    )
    for row in rows.fetchmany(_SHOWN):
        yield Finding("error", f"{row['id']} descends from {row['parent']}, which is not older", database.WAY_OUT)


def _standings(db: sqlite3.Connection) -> Iterator[Finding]:
    """A standing agrees with score and attempts (a discarded one: the standing that it would return to)."""
    rows = db.execute(
        "SELECT id, state, score_mean, is_regressed, coalesce(clean_state, former_state, state) AS standing,"
        " EXISTS (SELECT 1 FROM attempt WHERE experiment = e.id AND outcome <> 'lost') AS has_ended"
        f" FROM experiment e WHERE id <> '{ROOT}'"
    )
    for row in rows:
        has_score = row["score_mean"] is not None
        if (has_score or bool(row["is_regressed"])) != (row["standing"] in ("open", "committed")):
            yield Finding("error", f"{row['id']} is {row['state']} {'with' if has_score else 'without'} a score", _SHOW)
        if row["standing"] == "pending" and row["has_ended"]:
            yield Finding("error", f"{row['id']} is {row['state']}, but an attempt of it has ended", _SHOW)


def _attempts(db: sqlite3.Connection) -> Iterator[Finding]:
    """Numbers run from 1 without a gap; every attempt has its events; the primary one ended well."""
    rows = db.execute("SELECT experiment FROM attempt GROUP BY experiment HAVING count(*) <> max(n)")
    for row in rows:
        yield Finding("error", f"{row['experiment']} has lost an attempt: its numbers have a gap", database.WAY_OUT)
    rows = db.execute(
        "SELECT experiment, n FROM attempt a WHERE outcome IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event v"
        " WHERE v.experiment = a.experiment AND v.attempt = a.n AND v.kind IN ('finished', 'lost'))"
    )
    for row in rows:
        yield Finding("error", f"attempt {row['n']} of {row['experiment']} ended without an event", _SHOW)
    rows = db.execute(
        "SELECT e.id, e.primary_attempt, a.outcome FROM experiment e LEFT JOIN attempt a ON a.experiment = e.id"
        " AND a.n = e.primary_attempt WHERE e.score_mean IS NOT NULL AND a.outcome IS NOT 'ok'"
    )
    for row in rows:
        what = f"{row['id']} has a score, but its attempt {row['primary_attempt']} is {row['outcome']}"
        yield Finding("error", what, _SHOW)


def _scores(db: sqlite3.Connection) -> Iterator[Finding]:
    """Each score is the mean over dev items of the means over samples (and seeds)."""
    recomputed = {row["id"]: (row["mean"], row["n"]) for row in db.execute(_SCORES_SQL)}
    rows = db.execute("SELECT id, score_mean, score_n, epoch, seeds FROM experiment WHERE score_mean IS NOT NULL")
    for row in rows:
        mean, n = recomputed.get(row["id"], (math.nan, 0))
        if row["seeds"] > 1:
            means = results.pooled_means(db, row["id"], eval_hash=row["epoch"])
            mean, n = math.fsum(means.values()) / max(1, len(means)), len(means)
        if n == 0:
            yield Finding("error", f"{row['id']} has a score without per-item results", f"evo rescore {row['id']}")
        elif n != row["score_n"] or abs(mean - row["score_mean"]) > TOLERANCE * max(1.0, abs(mean)):
            what = (
                f"{row['id']} is scored {row['score_mean']:.6g} on {row['score_n']} items; they say {mean:.6g} on {n}"
            )
            yield Finding("error", what, f"evo rescore {row['id']}")


def _certificates(db: sqlite3.Connection) -> Iterator[Finding]:
    """Look, certificate and standing tell the same story."""
    rows = db.execute(
        "SELECT l.k, l.experiment FROM look l LEFT JOIN certificate c ON c.look = l.id"
        " WHERE (l.passed IS NULL) <> (c.id IS NULL) OR c.passed <> l.passed"
        " OR c.experiment <> l.experiment OR c.against <> l.against OR c.weights_hash <> l.weights_hash"
    )
    for row in rows:
        what = f"look {row['k']} and the certificate of {row['experiment']} contradict each other"
        yield Finding("error", what, database.WAY_OUT)
    for row in db.execute("SELECT heldout_hash FROM look GROUP BY heldout_hash HAVING count(*) <> max(k)"):
        yield Finding("error", f"a look at held-out set {row[0][:12]} is missing", database.WAY_OUT)
    valid = "EXISTS (SELECT 1 FROM certificate WHERE experiment = e.id AND passed AND NOT is_void)"
    rows = db.execute(f"SELECT id FROM experiment e WHERE state = 'committed' AND id <> '{ROOT}' AND NOT {valid}")
    for row in rows:
        yield Finding("error", f"{row['id']} is committed without a certificate", database.WAY_OUT)
    for row in db.execute(f"SELECT id, state FROM experiment e WHERE state <> 'committed' AND {valid}"):
        yield Finding("warning", f"{row['id']} is {row['state']} with a passed certificate", _SHOW)


def _events(db: sqlite3.Connection) -> Iterator[Finding]:
    """Every experiment was created once, and time went forward."""
    rows = db.execute(
        "SELECT e.id, (SELECT count(*) FROM event v WHERE v.experiment = e.id AND v.kind = 'created') AS n"
        " FROM experiment e WHERE n <> 1"
    )
    for row in rows.fetchmany(_SHOWN):
        yield Finding("error", f"{row['id']} was created {row['n']} times, says the event log", database.WAY_OUT)
    rows = db.execute("SELECT id, at, before FROM (SELECT id, at, lag(at) OVER (ORDER BY id) AS before FROM event)"
                      " WHERE at < before")  # fmt: skip
    for row in rows.fetchmany(_SHOWN):
        what = f"event {row['id']} ({row['at']}) is dated before the one that precedes it ({row['before']})"
        yield Finding("warning", what, "the machine's clock was set back: durations around it are wrong")


def _folders(db: sqlite3.Connection, root: Path) -> Iterator[Finding]:
    """attempts/exp_0007/1 and the rows."""
    rows = {(row[0], str(row[1])): row[2] for row in db.execute("SELECT experiment, n, outcome FROM attempt")}
    folders = {(folder.parent.name, folder.name) for folder in root.glob("attempts/*/*") if folder.is_dir()}
    for experiment, n in sorted(folders - set(rows)):
        where = root / "attempts" / experiment / n
        yield Finding("warning", f"{where} belongs to no attempt in the database", "remove it, or keep it aside")
    for experiment, n in sorted(key for key in set(rows) - folders if rows[key] == "ok"):
        where = root / "attempts" / experiment / n
        what = f"{where} is missing: weights and logs of a finished attempt are gone; its score stands"
        yield Finding("warning", what, f"evo discard {experiment}, or restore the folder from a copy")


def _worktrees(db: sqlite3.Connection, root: Path) -> Iterator[Finding]:
    """worktrees/exp_0007 of everything that may be run or branched from."""
    states = "('pending', 'open', 'committed', 'failed')"
    for row in db.execute(f"SELECT id FROM experiment WHERE id <> '{ROOT}' AND state IN {states} ORDER BY number"):
        folder = root / "worktrees" / row["id"]
        if not (folder / ".git").exists():
            yield Finding("warning", f"{folder} is missing or half made", "evo recover makes it again from its branch")


def _weights(db: sqlite3.Connection, root: Path) -> Iterator[Finding]:
    """attempts/exp_0007/1/output: what children start from and certificates speak about."""
    rows = db.execute(
        "SELECT id, primary_attempt AS n FROM experiment WHERE primary_attempt IS NOT NULL"
        f" AND score_mean IS NOT NULL AND state IN ('open', 'committed') AND id <> '{ROOT}' ORDER BY number"
    )
    for row in rows:
        folder = root / "attempts" / row["id"] / str(row["n"])
        output = folder / "output"
        if folder.is_dir() and not (output.is_dir() and any(output.iterdir())):
            what = f"{output} is missing or empty: the weights of {row['id']} are gone; its score stands"
            yield Finding("warning", what, "restore the folder from a copy; no child or certificate can do without")


_PARTS: tuple[Callable[[sqlite3.Connection], Iterator[Finding]], ...] = (
    _references,
    _tree,
    _standings,
    _attempts,
    _scores,
    _certificates,
    _events,
)
_SHOW = "evo show and evo log tell its story; then " + database.WAY_OUT
_SCORES_SQL = (
    "SELECT id, avg(mean) AS mean, count(*) AS n FROM ("
    " SELECT e.id, avg(r.score) AS mean FROM experiment e"
    " JOIN attempt a ON a.experiment = e.id AND a.n = e.primary_attempt"
    " JOIN item_result r ON r.attempt = a.id AND r.eval_hash = e.epoch AND r.split = 'dev'"
    " WHERE e.score_mean IS NOT NULL GROUP BY e.id, r.item) GROUP BY id"
)
