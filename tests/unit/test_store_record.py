"""How an attempt ends: all of it in one transaction, once, and only for the bearer of the live token."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from growing import EPOCH, claimed, committed, ended_well, failed, graded, planted, scored

from evo.domain.experiment import ROOT
from evo.domain.score import Score
from evo.errors import NotFound, Refused, UsageError
from evo.store import artifacts, attempts, events, experiments, record, results
from evo.store import db as database
from evo.store.record import DeclaredArtifact, Finished


def everything(db: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    tables = ("experiment", "attempt", "item_result", "artifact", "event")
    return [[tuple(row) for row in db.execute(f"SELECT * FROM {table}")] for table in tables]


def test_a_good_end_is_stored_whole(db: sqlite3.Connection) -> None:
    """A28: score, gain, items, cost, weights, artifacts and event, together."""
    id = planted(db)
    attempt = claimed(db, id)
    declared = [DeclaredArtifact("adapter", "weights", "/out/adapter", "key")]
    assert record.finish(db, ended_well(attempt, (1.0, 0.0), commit="beef", artifacts=declared, isolation="bwrap"))
    now = experiments.get(db, id)
    assert (now.state, now.score_mean, now.score_n, now.epoch, now.gain) == ("open", 0.5, 2, EPOCH, 0.1)
    assert (now.primary_attempt, now.seeds, now.commit, now.content_hash) == (1, 1, "beef", f"content of {id}")
    ended = attempts.get(db, id, 1)
    assert (ended.outcome, ended.isolation, ended.weights_hash, ended.gpu_seconds) == (
        "ok", "bwrap", f"weights of {id}/1", 60.0,
    )  # fmt: skip
    assert results.items(db, id, n=1, eval_hash=EPOCH) == graded((1.0, 0.0))
    assert [(a.label, a.created_by) for a in artifacts.of(db, id)] == [("adapter", f"{id}/1")]
    assert events.latest(db, experiment=id, limit=1)[0].data["outcome"] == "ok"
    assert record.was_recorded(db, attempt.token)


def test_a_result_is_recorded_once(db: sqlite3.Connection) -> None:
    """§12: none recorded twice."""
    attempt = claimed(db, planted(db))
    assert not record.was_recorded(db, attempt.token)
    assert record.finish(db, ended_well(attempt))
    before = everything(db)
    assert not record.finish(db, ended_well(attempt, (1.0, 1.0)))
    assert not record.finish(db, Finished(attempt.experiment, 1, attempt.token, "failed"))
    assert everything(db) == before


def test_a_stranger_writes_nothing(db: sqlite3.Connection) -> None:
    """§10: ingestion accepts a result only while its token is the live one."""
    attempt = claimed(db, planted(db))
    before = everything(db)
    assert not record.finish(db, replace(ended_well(attempt), token="forged"))
    assert not record.finish(db, replace(ended_well(attempt), n=2))
    assert not record.finish(db, replace(ended_well(attempt), experiment=ROOT))
    assert everything(db) == before


@pytest.mark.parametrize("value", [True, False, "0.5", None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["item", "mean", "se", "gain"])
def test_no_number_no_score(db: sqlite3.Connection, place: str, value: Any) -> None:
    """§12: NaN, inf, bool or string recorded as a score. The item is named, and nothing at all is written."""
    attempt = claimed(db, planted(db))
    before = everything(db)
    wrong: dict[str, Any] = {
        "item": {"results": graded((1.0, value))},
        "mean": {"score": Score(value, 0.1, 2)},
        "se": {"score": Score(0.5, value, 2)},
        "gain": {"gain": "0.1" if value is None else value},
    }[place]
    with pytest.raises(Refused, match="item-1" if place == "item" else "exp_0001, attempt 1"):
        record.finish(db, ended_well(attempt, (1.0, 0.0), **wrong))
    assert everything(db) == before


def test_an_item_counts_once_per_sample(db: sqlite3.Connection) -> None:
    attempt = claimed(db, planted(db))
    with pytest.raises(Refused, match="'item-0' has two results"):
        record.finish(db, ended_well(attempt, results=graded((1.0,)) * 2))


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "failed"}, {"results": []}, {"score": None}, {"eval_hash": None}, {"outcome": "ok", "score": None}],
)
def test_a_score_without_a_measurement_cannot_be_written_down(changes: dict[str, Any]) -> None:
    """§12: a hand-typed score, or a failed evaluator replaced by a made-up number."""
    whole: dict[str, Any] = {
        "outcome": "ok",
        "eval_hash": EPOCH,
        "results": graded((1.0,)),
        "score": Score(1.0, 0.0, 1),
    }
    with pytest.raises(UsageError, match="score"):
        Finished("exp_0001", 1, "token", **(whole | changes))


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "killed"])
def test_a_failure_moves_only_what_was_never_scored(db: sqlite3.Connection, outcome: str) -> None:
    """§2: pending → failed; a further attempt that fails leaves open and committed as they are; failed → open."""
    pending, open_, sure = planted(db), scored(db, planted(db)), committed(db, scored(db, planted(db)))
    for id in (pending, open_, sure):
        failed(db, id, outcome)
    assert [experiments.get(db, id).state for id in (pending, open_, sure)] == ["failed", "open", "committed"]
    assert experiments.get(db, open_).score_mean is not None
    assert experiments.get(db, scored(db, pending)).state == "open"


def test_a_result_that_comes_after_a_discard_is_kept_behind_it(db: sqlite3.Connection) -> None:
    """§10: a finished score is not lost; the discard stands, and restoring gives the standing that was earned."""
    id, other = planted(db), planted(db)
    attempt, second = claimed(db, id), claimed(db, other)
    experiments.move(db, id, "contaminated")
    experiments.move(db, id, "discarded")
    experiments.move(db, other, "discarded")
    assert record.finish(db, ended_well(attempt))
    assert record.finish(db, Finished(other, 1, second.token, "killed"))
    assert [experiments.get(db, each).state for each in (id, other)] == ["discarded", "discarded"]
    assert experiments.restore(db, id, reason="r").state == "contaminated"
    assert experiments.restore(db, id, reason="r").state == "open"
    assert experiments.restore(db, other, reason="r").state == "failed"


def test_the_baseline_is_scored_and_stays_committed(db: sqlite3.Connection) -> None:
    scored(db, ROOT)
    base = experiments.get(db, ROOT)
    assert (base.state, base.score_mean) == ("committed", pytest.approx(2 / 3))


def test_further_seeds_pool_and_keep_the_primary_attempt(db: sqlite3.Connection) -> None:
    """§8: a certificate speaks about the weights of one attempt; the score is over all seeds of the content."""
    id = planted(db)
    for seed, scores in ((0, (1.0, 0.0)), (1, (1.0, 1.0)), (2, (0.0, 0.0))):
        attempt = claimed(db, id, seed=seed)
        pooled = Score((0.5, 0.75, 0.5)[seed], 0.1, 2)
        assert record.finish(db, ended_well(attempt, scores, score=pooled, seeds=seed + 1, is_primary=seed == 0))
    now = experiments.get(db, id)
    assert (now.primary_attempt, now.seeds, now.score_mean) == (1, 3, 0.5)
    assert results.seed_means(db, id, eval_hash=EPOCH)[1] == {"item-0": 1.0, "item-1": 1.0}
    assert results.pooled_means(db, id, eval_hash=EPOCH) == pytest.approx({"item-0": 2 / 3, "item-1": 1 / 3})
    assert results.item_means(db, id, eval_hash=EPOCH) == {"item-0": 1.0, "item-1": 0.0}


def test_an_error_of_the_disk_can_be_looked_into(store_path: Path) -> None:
    """FACTS: after a failed commit the row may be durable; the token tells, on a new connection."""
    with contextlib.closing(database.connect(store_path)) as db:
        attempt = claimed(db, planted(db))
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        many = ended_well(attempt, (1.0,) * 2_000)
        with pytest.raises(Exception, match="disk is full"):
            record.finish(db, many)
    with contextlib.closing(database.connect(store_path)) as db:
        assert not record.was_recorded(db, attempt.token)
        assert record.finish(db, many)
        assert record.was_recorded(db, attempt.token)


def test_artifacts_outlive_a_discard(db: sqlite3.Connection) -> None:
    """A26: declared artifacts survive discard and are found by label, the newest first."""
    id = planted(db)
    for n in (1, 2):
        attempt = claimed(db, id)
        record.finish(db, ended_well(attempt, artifacts=[DeclaredArtifact("adapter", "weights", f"/out/{n}", "key")]))
    experiments.move(db, id, "discarded")
    assert artifacts.find(db, id, label="adapter").uri == "/out/2"
    with pytest.raises(NotFound, match="no artifact 'adaptor'") as caught:
        artifacts.find(db, id, label="adaptor")
    assert "'adapter'" in caught.value.hint
