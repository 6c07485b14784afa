"""Claims, starts and take-ups: who may run what, and who may speak for it."""

from __future__ import annotations

import sqlite3

import pytest
from growing import claimed, committed, ended_well, failed, planted, scored

from evo.domain.experiment import ROOT
from evo.errors import Busy, NotFound, Refused
from evo.store import attempts, events, experiments, record
from evo.store.record import Finished


def trained(db: sqlite3.Connection, id: str) -> str:
    """The token of an attempt whose evaluation is owed."""
    attempt = claimed(db, id)
    attempts.start(db, id, attempt.n, token=attempt.token, isolation="bwrap")
    assert record.finish(db, Finished(id, attempt.n, attempt.token, "trained", train_seconds=60.0, gpu_seconds=60.0))
    return attempt.token


def test_the_way_of_an_attempt(db: sqlite3.Connection) -> None:
    id = planted(db)
    queued = claimed(db, id, is_detached=True, seed=5)
    assert (queued.n, queued.state, queued.seed, queued.detached, queued.outcome) == (1, "queued", 5, True, None)
    running = attempts.start(db, id, 1, token=queued.token, isolation="landlock")
    assert (running.state, running.isolation) == ("running", "landlock")
    assert attempts.start(db, id, 1, token=queued.token, isolation="landlock") == running
    assert attempts.live(db) == [running]
    assert attempts.live_of(db, id) == running
    assert attempts.by_token(db, queued.token) == running
    record.finish(db, ended_well(running))
    assert attempts.live(db) == []
    assert attempts.of(db, id)[0].outcome == "ok"
    assert attempts.count(db) == 1
    kinds = [event.kind for event in events.read(db, experiment=id)]
    assert kinds == ["created", "claimed", "started", "finished"]


def test_a_second_run_of_the_same_node_is_busy(db: sqlite3.Connection) -> None:
    """§12: two simultaneous runs of one node both starting (eight processes at once: test_store_processes)."""
    id = planted(db)
    first = claimed(db, id)
    with pytest.raises(Busy, match="attempt 1 of exp_0001 is queued"):
        claimed(db, id)
    attempts.start(db, id, 1, token=first.token, isolation="none")
    with pytest.raises(Busy, match="is running") as caught:
        claimed(db, id, seed=1)
    assert caught.value.exit_code == 9
    assert len(attempts.of(db, id)) == 1


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "killed", "ok"])
def test_every_attempt_that_started_counts(db: sqlite3.Connection, outcome: str) -> None:
    """A14, §12: the cap not binding crashes. Attempt 2 under a cap of 1 is refused, whatever became of the first."""
    id = planted(db)
    (scored if outcome == "ok" else failed)(db, id, *([] if outcome == "ok" else [outcome]))
    with pytest.raises(Refused, match="1 of 1 attempts with seed 0") as caught:
        claimed(db, id, cap=1)
    assert "evo discard" in caught.value.hint
    assert f"evo new --parent {ROOT}" in caught.value.hint
    assert caught.value.exit_code == 4
    assert claimed(db, id, cap=1, seed=1).n == 2


def test_the_cap_binds_after_three_and_an_edit_does_not_reset_it(db: sqlite3.Connection) -> None:
    """A14: the default of 3, with other content each time."""
    id = planted(db)
    for n in range(3):
        attempt = claimed(db, id, content_hash=f"edit {n}")
        record.finish(db, Finished(id, attempt.n, attempt.token, "killed"))
    with pytest.raises(Refused, match="3 of 3"):
        claimed(db, id, content_hash="edit 3")
    assert claimed(db, id, is_free=True).n == 4


def test_a_lost_attempt_does_not_count_and_leaves_the_standing(db: sqlite3.Connection) -> None:
    """§5: lost attempts are recorded and do not count."""
    id = planted(db)
    attempt = claimed(db, id, cap=1)
    assert not record.lose(db, id, 1, reason="boot id changed", token="somebody else's")
    assert record.lose(db, id, 1, reason="boot id changed", token=attempt.token)
    assert not record.lose(db, id, 1, reason="boot id changed")
    assert experiments.get(db, id).state == "pending"
    assert attempts.get(db, id, 1).message == "boot id changed"
    assert claimed(db, id, cap=1).n == 2
    assert not record.finish(db, ended_well(attempt))


@pytest.mark.parametrize("standing", ["discarded", "contaminated"])
def test_what_was_given_up_is_not_run(db: sqlite3.Connection, standing: str) -> None:
    id = planted(db)
    experiments.move(db, id, standing)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=f"{id} is {standing}"):
        claimed(db, id)
    with pytest.raises(NotFound):
        claimed(db, "exp_0099")
    assert attempts.count(db) == 0


def test_an_owed_evaluation_costs_no_attempt_and_kills_the_old_token(db: sqlite3.Connection) -> None:
    """§2, §10: `trained` goes on at evaluation; the bearer before is fenced off."""
    id = planted(db)
    old = trained(db, id)
    with pytest.raises(Refused, match="evaluation is owed"):
        claimed(db, id)
    assert [a.state for a in attempts.live(db)] == ["trained"]
    taken = attempts.take_up(db, id, 1, token="new", controller="host boot 2 2")
    assert (taken.n, taken.state, taken.token, taken.train_seconds) == (1, "running", "new", 60.0)
    with pytest.raises(Busy):
        attempts.take_up(db, id, 1, token="newer", controller="host boot 3 3")
    stale = Finished(id, 1, old, "failed")
    assert not record.finish(db, stale)
    assert attempts.by_token(db, old) is None
    assert record.finish(db, ended_well(taken, train_seconds=None, gpu_seconds=5.0))
    whole = attempts.get(db, id, 1)
    assert (whole.train_seconds, whole.gpu_seconds) == (60.0, 65.0)
    with pytest.raises(Refused, match="has ended"):
        attempts.take_up(db, id, 1, token="late", controller="host boot 4 4")


def test_a_start_needs_the_live_token(db: sqlite3.Connection) -> None:
    id = planted(db)
    attempt = claimed(db, id)
    with pytest.raises(Refused):
        attempts.start(db, id, 1, token="guessed", isolation="none")
    with pytest.raises(NotFound):
        attempts.start(db, id, 2, token=attempt.token, isolation="none")
    assert attempts.get(db, id, 1).state == "queued"


def test_a_committed_node_at_its_cap_is_told_to_branch_only(db: sqlite3.Connection) -> None:
    """§2: a committed experiment is never discarded, so no hint may say so."""
    id = committed(db, scored(db, planted(db)))
    with pytest.raises(Refused) as caught:
        claimed(db, id, cap=1)
    assert "discard" not in caught.value.hint


def test_finished_content_is_not_claimed_again(db: sqlite3.Connection) -> None:
    """Two shells that both saw no score: the second one's claim finds that the first has finished."""
    id = planted(db)
    scored(db, id)
    with pytest.raises(attempts.FinishedBefore, match="attempt 1"):
        claimed(db, id, is_rerun=False)
    assert claimed(db, id, is_rerun=False, content_hash="an edit").n == 2
