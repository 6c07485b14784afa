"""Per-item results and their epochs."""

from __future__ import annotations

import sqlite3

import pytest
from growing import EPOCH, claimed, ended_well, failed, graded, planted, scored

from evo.domain.item import ItemResult
from evo.domain.score import Score
from evo.errors import NotFound, Refused
from evo.store import events, experiments, record, results
from evo.store.results import Epoch

AFTER = "epoch-2"


def anew(id: str, **changes: object) -> Epoch:
    told = {"results": graded((0.0, 1.0, 0.0)), "score": Score(1 / 3, 0.2, 3), "gain": -0.1, "gain_var": 0.02}
    return Epoch(id, 1, AFTER, **(told | changes))  # type: ignore[arg-type]


def test_samples_are_averaged_within_an_item_and_outputs_come_back(db: sqlite3.Connection) -> None:
    id = planted(db)
    drawn = [
        ItemResult("a", 0, 1.0, "h", "six"),
        ItemResult("a", 1, 0.0, "h", None, is_forbidden=True),
        ItemResult("b", 0, 0.5, "h", "né 世"),
    ]
    record.finish(db, ended_well(claimed(db, id), results=drawn, score=Score(0.5, 0.1, 2)))
    assert results.items(db, id, n=1, eval_hash=EPOCH) == drawn
    assert results.item_means(db, id, eval_hash=EPOCH) == {"a": 0.5, "b": 0.5}
    assert results.item_means(db, id, eval_hash=EPOCH, n=2) == {}
    assert results.items(db, id, n=1, eval_hash=EPOCH, split="mid") == []


def test_epochs_stand_beside_each_other(db: sqlite3.Connection) -> None:
    """§7, §12: old-epoch scores compared with new ones. A re-scoring replaces the score whole and keeps old results."""
    id = scored(db, planted(db), (1.0, 0.0, 1.0))
    assert results.add_epoch(db, anew(id, has_forbidden=True))
    now = experiments.get(db, id)
    assert (now.epoch, now.score_mean, now.gain, now.has_forbidden, now.state) == (AFTER, 1 / 3, -0.1, True, "open")
    assert results.item_means(db, id, eval_hash=EPOCH) == {"item-0": 1.0, "item-1": 0.0, "item-2": 1.0}
    assert results.item_means(db, id, eval_hash=AFTER) == {"item-0": 0.0, "item-1": 1.0, "item-2": 0.0}
    assert events.latest(db, experiment=id, limit=1)[0].kind == "rescored"


def test_results_of_an_epoch_are_written_once(db: sqlite3.Connection) -> None:
    id = scored(db, planted(db))
    assert results.add_epoch(db, anew(id))
    assert not results.add_epoch(db, anew(id, results=graded((1.0, 1.0, 1.0)), score=Score(1.0, 0.1, 3)))
    assert experiments.get(db, id).score_mean == 1 / 3


def test_only_what_ended_well_is_scored_anew(db: sqlite3.Connection) -> None:
    crashed, good = failed(db, planted(db)), scored(db, planted(db))
    with pytest.raises(Refused, match="did not end well"):
        results.add_epoch(db, anew(crashed))
    with pytest.raises(NotFound):
        results.add_epoch(db, anew("exp_0099"))
    with pytest.raises(Refused, match="item-1"):
        results.add_epoch(db, anew(good, results=graded((1.0, "1.0"))))
    assert experiments.get(db, good).epoch == EPOCH


def test_seeds_of_other_content_do_not_pool(db: sqlite3.Connection) -> None:
    """§5: the latest content's results are the score; those of an earlier edit stay on record only."""
    id = planted(db)
    for seed, content, scores in ((0, "before", (0.0,)), (1, "after", (1.0,)), (2, "after", (0.5,))):
        attempt = claimed(db, id, seed=seed, content_hash=content)
        record.finish(db, ended_well(attempt, scores, is_primary=seed < 2))
    assert results.seed_means(db, id, eval_hash=EPOCH) == {1: {"item-0": 1.0}, 2: {"item-0": 0.5}}
    assert results.pooled_means(db, id, eval_hash=EPOCH) == {"item-0": 0.75}
    assert experiments.get(db, id).content_hash == "after"
