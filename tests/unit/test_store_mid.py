"""Mid-evaluations, interrupted attempts and skipped evaluations in the store: what is held to be true of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from growing import EPOCH, claimed, ended_well, graded, planted, scored

from evo.domain.attempt import MOST_RESUMES, Attempt
from evo.domain.experiment import ROOT
from evo.domain.score import Score
from evo.errors import Busy, Refused, UsageError
from evo.store import attempts, events, experiments, fsck, mid, nodes, record, results
from evo.store.mid import MidRow
from evo.store.record import Finished
from evo.store.results import Epoch

ROWS = [
    MidRow(200, 0.25, 0.08, 32, 4.5),
    MidRow(400, 0.5, 0.09, 32, 4.0, is_best=True),
    MidRow(600, 0.4, 0.09, 32, 4.0),
]


def kinds(db: sqlite3.Connection, experiment: str) -> list[str]:
    return [event.kind for event in events.read(db, experiment=experiment)]


def regressed(attempt: Attempt, **changes: Any) -> Finished:
    told: dict[str, Any] = {
        "failure": "regressed", "message": "clearly worse", "weights_hash": "w", "is_regressed": True,
        "eval_hash": EPOCH, "mid": ROWS, "mid_results": graded([0.0, 1.0]),
    }  # fmt: skip
    return Finished(attempt.experiment, attempt.n, attempt.token, "ok", **(told | changes))


def interrupted(db: sqlite3.Connection, attempt: Attempt) -> Attempt:
    assert record.interrupt(db, attempt, message="interrupted at step 4", train_seconds=10.0, gpu_seconds=20.0)
    return attempts.get(db, attempt.experiment, attempt.n)


def resumed(db: sqlite3.Connection, attempt: Attempt, token: str) -> Attempt:
    return attempts.resume(db, attempt, token=token, controller="host boot 2 2", is_detached=False)


def test_mid_evaluations_come_with_the_end_of_the_attempt_and_touch_no_score(db: sqlite3.Connection) -> None:
    """A10: each is a row; A7: they are no part of the score."""
    id = planted(db)
    end = ended_well(claimed(db, id), (1.0, 0.0), mid=ROWS, mid_results=graded([0.0, 0.0, 1.0]))
    assert record.finish(db, end)
    assert mid.of(db, id, 1) == ROWS
    assert experiments.get(db, id).score_mean == 0.5
    assert [r.score for r in results.items(db, id, n=1, eval_hash=EPOCH, split="mid")] == [0.0, 0.0, 1.0]
    assert [r.score for r in results.items(db, id, n=1, eval_hash=EPOCH)] == [1.0, 0.0]
    told = next(event for event in events.read(db, experiment=id) if event.kind == "mid_evaluated")
    assert told.data == {"steps": 3, "best": 400, "mean": 0.5}
    assert not record.finish(db, end)
    assert kinds(db, id).count("mid_evaluated") == 1


@pytest.mark.parametrize("outcome", ["failed", "killed", "timed_out"])
def test_those_of_a_failed_run_are_kept_too(db: sqlite3.Connection, outcome: Any) -> None:
    attempt = claimed(db, planted(db))
    assert record.finish(db, Finished(attempt.experiment, 1, attempt.token, outcome, mid=ROWS))
    assert len(mid.of(db, attempt.experiment, 1)) == 3


@pytest.mark.parametrize(
    "changes",
    [{"mean": float("nan")}, {"se": float("inf")}, {"n": 0}, {"n": True}, {"step": -1}, {"step": 2.5}, {"mean": "1"}],
)
def test_what_is_no_mid_evaluation_is_not_sound_and_the_table_refuses_it(
    db: sqlite3.Connection, changes: dict[str, Any]
) -> None:
    row = ROWS[0]._replace(**changes)
    assert not row.is_sound
    assert all(row.is_sound for row in ROWS)
    if changes in ({"n": True}, {"mean": "1"}):
        return  # SQLite alone takes them for 1
    attempt = claimed(db, planted(db))
    with pytest.raises(sqlite3.IntegrityError):
        record.finish(db, Finished(attempt.experiment, 1, attempt.token, "failed", mid=[row]))


def test_a_regressed_experiment_is_open_and_has_no_score(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A12: standing open, score null, class regressed; it stands below all that have a score, and fsck agrees."""
    id = planted(db)
    assert record.finish(db, regressed(claimed(db, id)))
    now = experiments.get(db, id)
    assert (now.state, now.score_mean, now.is_regressed, now.state_class) == ("open", None, True, "regressed")
    assert (now.primary_attempt, now.state_reason) == (1, "clearly worse")
    assert nodes.light_node(db, id).is_regressed
    assert len(results.items(db, id, n=1, eval_hash=EPOCH, split="mid")) == 2
    assert [found for found in fsck.check(db, tmp_path) if found.severity == "error"] == []


def test_its_score_when_it_comes_ends_the_regression(db: sqlite3.Connection) -> None:
    id = planted(db)
    assert record.finish(db, regressed(claimed(db, id)))
    late = Epoch(id, 1, EPOCH, graded([1.0, 0.0]), Score(0.5, 0.3, 2), 0.1, 0.01)
    assert results.add_epoch(db, late)
    now = experiments.get(db, id)
    assert (now.score_mean, now.is_regressed, now.state_class, now.state_reason) == (0.5, False, "", "")


def test_a_later_attempt_with_a_score_ends_it_too_and_a_discard_keeps_its_reason(db: sqlite3.Connection) -> None:
    id, other = planted(db), planted(db)
    for name in (id, other):
        assert record.finish(db, regressed(claimed(db, name)))
    scored(db, id)
    assert (experiments.get(db, id).is_regressed, experiments.get(db, id).state_class) == (False, "")
    experiments.move(db, other, "discarded", reason="a bad idea", class_="hypothesis")
    assert results.add_epoch(db, Epoch(other, 1, EPOCH, graded([1.0]), Score(1.0, 0.3, 1), 0.1, 0.01))
    assert (experiments.get(db, other).state_class, experiments.get(db, other).state_reason) == (
        "hypothesis", "a bad idea",
    )  # fmt: skip


def test_a_score_that_is_there_stands(db: sqlite3.Connection) -> None:
    id = planted(db)
    scored(db, id)
    assert record.finish(db, regressed(claimed(db, id)))
    now = experiments.get(db, id)
    assert (now.is_regressed, now.state_class, now.primary_attempt) == (False, "", 1)
    assert now.score_mean is not None


def test_only_a_good_end_can_be_without_a_score_and_only_so(db: sqlite3.Connection) -> None:
    attempt = claimed(db, planted(db))
    for wrong in (
        {"outcome": "failed", "is_regressed": True},
        {"outcome": "ok"},
        {"outcome": "ok", "is_regressed": True, "score": Score(1.0, 0.1, 1), "results": graded([1.0])},
    ):
        with pytest.raises(UsageError):
            Finished(attempt.experiment, 1, attempt.token, eval_hash=EPOCH, **wrong)  # type: ignore[arg-type]


def test_an_interrupted_attempt_is_live_and_goes_to_one_bearer(db: sqlite3.Connection) -> None:
    """§5: resuming continues the same attempt. §12: two simultaneous runs both starting."""
    id = planted(db)
    first = claimed(db, id)
    seen = interrupted(db, first)
    assert (seen.is_interrupted, seen.outcome, seen.resumes, seen.train_seconds) == (True, None, 0, 10.0)
    assert experiments.get(db, id).state == "pending"
    assert not record.interrupt(db, first, message="again", train_seconds=1.0), "told twice"
    with pytest.raises(Refused, match="interrupted at step 4"):
        claimed(db, id)
    assert nodes.next_pending(db) == id
    again = resumed(db, seen, "second token")
    assert (again.n, again.resumes, again.failure, again.is_interrupted) == (1, 1, "", False)
    assert nodes.next_pending(db) is None
    with pytest.raises(Busy):
        resumed(db, seen, "third token")
    assert not record.finish(db, ended_well(first)), "the old bearer has written"
    assert record.finish(db, ended_well(again))
    assert kinds(db, id)[-4:] == ["claimed", "interrupted", "resumed", "finished"]
    with pytest.raises(Refused):
        resumed(db, seen, "fourth token")


def test_who_saw_an_earlier_interruption_is_too_late(db: sqlite3.Connection) -> None:
    seen = interrupted(db, claimed(db, planted(db)))
    interrupted(db, resumed(db, seen, "second token"))
    with pytest.raises(Busy):
        resumed(db, seen, "third token")


def test_resumes_are_bounded(db: sqlite3.Connection) -> None:
    """§12: the cap not binding crashes."""
    attempt = claimed(db, planted(db))
    for k in range(MOST_RESUMES):
        attempt = resumed(db, interrupted(db, attempt), f"token of resume {k}")
    last = interrupted(db, attempt)
    assert last.resumes == MOST_RESUMES
    with pytest.raises(Busy):
        resumed(db, last, "one too many")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE attempt SET resumes = resumes + 1 WHERE token = ?", (last.token,))


def test_a_planned_pause_is_none_of_the_resumes(db: sqlite3.Connection) -> None:
    """§9: the promotion of a partial run takes none of the three chances that a kill leaves."""
    attempt = claimed(db, planted(db))
    for k in range(MOST_RESUMES):
        attempt = resumed(db, interrupted(db, attempt), f"token of resume {k}")
    paused = interrupted(db, attempt)
    bearer = {"token": "after the pause", "controller": "host boot 2 2", "is_detached": False}
    assert attempts.resume(db, paused, **bearer, is_planned=True).resumes == MOST_RESUMES


def test_what_has_ended_or_is_trained_is_not_interrupted(db: sqlite3.Connection) -> None:
    attempt = claimed(db, planted(db))
    assert record.finish(db, Finished(attempt.experiment, 1, attempt.token, "trained"))
    assert not record.interrupt(db, attempt, message="late", train_seconds=1.0)
    ended = claimed(db, planted(db))
    assert record.finish(db, ended_well(ended))
    assert not record.interrupt(db, ended, message="late", train_seconds=1.0)
    assert ROOT not in (attempt.experiment, ended.experiment)
