"""Loops and their picks: what was planned, what became of it, and who is at it.

Invariant: a pick is written before its experiment is made and ended once, so whoever comes after a kill finds exactly
what was begun; one loop runs at a time.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from evo import clock
from evo.domain.loop import Loop, LoopOptions, LoopStatus, Pick, PickKind, Plan
from evo.errors import Busy
from evo.lightdata import fields
from evo.store import events
from evo.store.db import transaction


def begin(db: sqlite3.Connection, options: LoopOptions, *, key: str | None, controller: str, start_commit: str) -> Loop:
    """A new loop, running. Busy where another one is marked as running."""
    now = clock.now()
    try:
        with transaction(db):
            row = db.execute(
                "INSERT INTO loop (key, options, controller, start_commit, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                (key, _plain(options), controller, start_commit, now, now),
            ).fetchone()
            events.append(db, "loop_began", data={"loop": row["id"]})
    except sqlite3.IntegrityError as error:
        raise Busy("another loop has begun in this workspace", hint="evo status") from error
    return _loop(row)


def take_over(db: sqlite3.Connection, loop: Loop, options: LoopOptions, *, controller: str) -> Loop:
    """Go on with a loop that nobody is at. Busy where somebody else was quicker, with it or with another one."""
    try:
        with transaction(db):
            row = db.execute(
                "UPDATE loop SET status = 'running', reason = '', options = ?, controller = ?, updated_at = ?"
                " WHERE id = ? AND controller = ? RETURNING *",
                (_plain(options), controller, clock.now(), loop.id, loop.controller),
            ).fetchone()
            if row is None:
                raise taken_up(loop)
            events.append(db, "loop_resumed", data={"loop": loop.id})
    except sqlite3.IntegrityError as error:
        raise Busy("another loop has begun in this workspace", hint="evo status") from error
    return _loop(row)


def end(db: sqlite3.Connection, loop: Loop, status: LoopStatus, reason: str) -> None:
    """Of the process that is known to be at it. Busy where another one has taken it over since."""
    with transaction(db):
        changed = db.execute(
            "UPDATE loop SET status = ?, reason = ?, updated_at = ? WHERE id = ? AND controller = ?",
            (status, reason, clock.now(), loop.id, loop.controller),
        ).rowcount
        if not changed:
            raise taken_up(loop)
        events.append(db, "loop_ended", data={"loop": loop.id, "status": status, "reason": reason})


def taken_up(loop: Loop) -> Busy:
    return Busy(f"loop {loop.id} was taken up by another process", hint="evo status")


def last(db: sqlite3.Connection) -> Loop | None:
    row = db.execute("SELECT * FROM loop ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else _loop(row)


def with_key(db: sqlite3.Connection, key: str) -> Loop | None:
    row = db.execute("SELECT * FROM loop WHERE key = ?", (key,)).fetchone()
    return None if row is None else _loop(row)


def plan(db: sqlite3.Connection, loop: int, kind: PickKind, planned: Plan) -> Pick:
    """Write the next pick down, before anything of it is made."""
    with transaction(db):
        row = db.execute(
            "INSERT INTO loop_pick (loop, k, kind, plan, created_at)"
            " SELECT ?, coalesce(max(k), 0) + 1, ?, ?, ? FROM loop_pick WHERE loop = ? RETURNING *",
            (loop, kind, _plain(planned), clock.now(), loop),
        ).fetchone()
    return _pick(row)


def link(db: sqlite3.Connection, pick: Pick, experiment: str) -> Pick:
    row = db.execute(
        "UPDATE loop_pick SET experiment = ? WHERE loop = ? AND k = ? RETURNING *", (experiment, pick.loop, pick.k)
    ).fetchone()
    return _pick(row)


def finish(db: sqlite3.Connection, pick: Pick, outcome: str, told: dict[str, Any]) -> Pick:
    """What became of it; ending it again changes nothing."""
    db.execute(
        "UPDATE loop_pick SET outcome = ?, told = ?, ended_at = ? WHERE loop = ? AND k = ? AND outcome = ''",
        (outcome, json.dumps(told, ensure_ascii=False, allow_nan=False), clock.now(), pick.loop, pick.k),
    )
    return get(db, pick.loop, pick.k)


def set_commit(db: sqlite3.Connection, pick: Pick, commit: str) -> None:
    db.execute("UPDATE loop_pick SET commit_sha = ? WHERE loop = ? AND k = ?", (commit, pick.loop, pick.k))


def get(db: sqlite3.Connection, loop: int, k: int) -> Pick:
    return _pick(db.execute("SELECT * FROM loop_pick WHERE loop = ? AND k = ?", (loop, k)).fetchone())


def picks(db: sqlite3.Connection, loop: int | None = None) -> list[Pick]:
    """In the order of planning; of all loops where none is named."""
    if loop is None:
        rows = db.execute("SELECT * FROM loop_pick ORDER BY loop, k")
    else:
        rows = db.execute("SELECT * FROM loop_pick WHERE loop = ? ORDER BY k", (loop,))
    return [_pick(row) for row in rows]


def made(db: sqlite3.Connection, loop: int) -> int:
    """How many experiments the loop has made, as `Pick.counts` has it."""
    words = (
        "SELECT count(*) FROM loop_pick"
        " WHERE loop = ? AND kind <> 'seed' AND outcome <> 'refused' AND experiment IS NOT NULL"
    )
    return int(db.execute(words, (loop,)).fetchone()[0])


def _plain(value: LoopOptions | Plan) -> str:
    named = {item.name: getattr(value, item.name) for item in fields(value)}
    return json.dumps(named, ensure_ascii=False, allow_nan=False)


def _loop(row: sqlite3.Row) -> Loop:
    return Loop(
        id=row["id"],
        options=LoopOptions(**json.loads(row["options"])),
        status=row["status"],
        start_commit=row["start_commit"],
        reason=row["reason"],
        controller=row["controller"],
        created_at=row["created_at"],
    )


def _pick(row: sqlite3.Row) -> Pick:
    return Pick(
        loop=row["loop"],
        k=row["k"],
        kind=row["kind"],
        plan=Plan(**json.loads(row["plan"])),
        experiment=row["experiment"],
        outcome=row["outcome"],
        told=json.loads(row["told"]),
        commit=row["commit_sha"],
        ended_at=row["ended_at"],
    )
