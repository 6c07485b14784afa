"""Loops in the store: who may begin, take over and end one, and how its picks are counted."""

from __future__ import annotations

import sqlite3

import pytest
from growing import planted

from evo.domain.loop import Loop, LoopOptions, PickKind, Plan
from evo.errors import Busy
from evo.store import loops


def begun(db: sqlite3.Connection, controller: str) -> Loop:
    return loops.begin(db, LoopOptions(), key=None, controller=controller, start_commit="")


def test_one_that_was_taken_over_is_not_ended_by_who_had_found_it_gone(db: sqlite3.Connection) -> None:
    """Two see that its process is gone: one goes on with it, and the other begins no second one."""
    gone = begun(db, "gone")
    taken = loops.take_over(db, gone, gone.options, controller="quicker")
    with pytest.raises(Busy, match="taken up"):
        loops.end(db, gone, "stopped", "its process was gone")
    assert loops.last(db) == taken
    loops.end(db, taken, "completed", "done")
    assert (ended := loops.last(db)) is not None
    assert (ended.status, ended.reason) == ("completed", "done")


def test_one_is_not_taken_over_beside_another_that_has_begun(db: sqlite3.Connection) -> None:
    first = begun(db, "a")
    loops.end(db, first, "stopped", "")
    begun(db, "b")
    with pytest.raises(Busy, match="another loop has begun"):
        loops.take_over(db, first, first.options, controller="c")


def test_what_was_refused_and_a_further_seed_are_no_experiments_of_the_loop(db: sqlite3.Connection) -> None:
    loop = begun(db, "a")
    kinds: tuple[tuple[PickKind, str], ...] = (
        ("move", "scored"), ("move", "refused"), ("seed", "scored"), ("idea", ""),
    )  # fmt: skip
    for kind, outcome in kinds:
        pick = loops.link(db, loops.plan(db, loop.id, kind, Plan("a hypothesis", "why")), planted(db))
        if outcome:
            loops.finish(db, pick, outcome, {})
    assert loops.made(db, loop.id) == sum(pick.counts for pick in loops.picks(db, loop.id)) == 2
    loops.end(db, loop, "stopped", "")
    other = begun(db, "b")
    loops.plan(db, other.id, "move", Plan("one more", "why"))
    assert [(pick.loop, pick.k) for pick in loops.picks(db)] == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]
    assert [(pick.loop, pick.k) for pick in loops.picks(db, other.id)] == [(2, 1)]


def test_the_picks_of_one_loop_are_found_by_their_key(db: sqlite3.Connection) -> None:
    """A driver reads them many times a second."""
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    loops.picks(db, 1)
    db.set_trace_callback(None)
    plan = db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}").fetchall()
    assert all("SCAN" not in row[3] and "TEMP B-TREE" not in row[3] for row in plan), [tuple(row) for row in plan]
