"""Bulk reads: right, bounded, answered from an index, and safe on trees of any depth."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from growing import EPOCH, claimed, committed, failed, planted, scored
from synthetic import EPOCH as SYNTHETIC_EPOCH
from synthetic import chain, synthetic_tree

from evo.domain.experiment import ROOT
from evo.store import db as database
from evo.store import experiments, nodes


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forest") / "evo.db"
    synthetic_tree(path, 10_000, 1, items=0)
    return path


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pole") / "evo.db"
    chain(path, 1_100)
    return path


def plan(db: sqlite3.Connection, read: str, *arguments: object) -> str:
    """The query plan of what `nodes` really asks."""
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    getattr(nodes, read)(db, *arguments)
    db.set_trace_callback(None)
    return "; ".join(row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}"))


def test_light_nodes_agree_with_the_experiments(db: sqlite3.Connection) -> None:
    a = committed(db, scored(db, planted(db)))
    b = failed(db, planted(db, a))
    experiments.move(db, b, "discarded")
    rows = {row.id: row for row in nodes.light_nodes(db)}
    assert list(rows) == [ROOT, a, b]
    for found in experiments.all(db):
        row = rows[found.id]
        for name in (
            "parent",
            "state",
            "score_mean",
            "score_se",
            "gain",
            "gain_var",
            "epoch",
            "recipe",
            "former_state",
        ):
            assert getattr(row, name) == getattr(found, name)
    assert rows[a].gpu_seconds == 60.0
    assert nodes.counts(db) == {
        "pending": 0, "open": 0, "committed": 2, "failed": 0, "contaminated": 0, "discarded": 1,
    }  # fmt: skip


def test_the_best_is_a_standing_node_of_this_epoch_lowest_id_first(db: sqlite3.Connection) -> None:
    """§12: old-epoch scores compared with new ones; discarded nodes are not the best of anything."""
    assert nodes.best(db, EPOCH) is None
    gains = (0.1, 0.3, 0.3, 0.9, 0.8)
    ids = [scored(db, planted(db), gain=gain, eval_hash=EPOCH if gain != 0.8 else "older") for gain in gains]
    experiments.move(db, ids[3], "discarded")
    assert nodes.best(db, EPOCH) == ids[1]
    assert nodes.best(db, "older") == ids[4]


def test_the_next_pending_one_is_not_at_work(db: sqlite3.Connection) -> None:
    assert nodes.next_pending(db) is None
    first, second = planted(db), planted(db)
    assert nodes.next_pending(db) == first
    claimed(db, first)
    assert nodes.next_pending(db) == second


def test_a_subtree_is_depth_first_and_bounded(db: sqlite3.Connection) -> None:
    """§5: output is bounded; children by number, below their own parent."""
    a = scored(db, planted(db))
    b = scored(db, planted(db))
    a1, b1, a2 = scored(db, planted(db, a)), planted(db, b), planted(db, a)
    a11 = planted(db, a1)
    rows = nodes.subtree(db, ROOT, limit=50)
    assert [(row.id, row.depth) for row in rows] == [
        (ROOT, 0), (a, 1), (a1, 2), (a11, 3), (a2, 2), (b, 1), (b1, 2),
    ]  # fmt: skip
    assert [row.id for row in nodes.subtree(db, ROOT, limit=3)] == [ROOT, a, a1]
    assert [row.id for row in nodes.subtree(db, ROOT, limit=50, depth=1)] == [ROOT, a, b]
    assert [row.id for row in nodes.subtree(db, a, limit=50)] == [a, a1, a11, a2]
    assert nodes.subtree(db, "exp_0099", limit=50) == []


def test_counting_and_choosing_use_an_index_at_any_size(forest: Path) -> None:
    """§13: status is flat; no read of it scans the table of experiments, which holds the long texts."""
    with contextlib.closing(database.connect(forest, readonly=True)) as db:
        states = Counter(row.state for row in nodes.light_nodes(db))
        assert {state: n for state, n in nodes.counts(db).items() if n} == states
        assert sum(states.values()) == 10_000
        assert "USING COVERING INDEX experiment_state" in plan(db, "counts")
        best = plan(db, "best", SYNTHETIC_EPOCH)
        assert "USING INDEX experiment_best" in best
        assert "TEMP B-TREE" not in best
        pending = plan(db, "next_pending")
        assert "USING INDEX experiment_state" in pending.replace("COVERING ", "")
        assert "attempt_live" in pending


def test_a_picture_of_a_large_tree_reads_only_what_it_shows(forest: Path) -> None:
    """The number of rows that are looked at, not a time: 50 of 10,000 nodes, breadth of the frontier included."""
    with contextlib.closing(database.connect(forest, readonly=True)) as db:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        db.set_progress_handler(count, 1_000)
        assert len(nodes.subtree(db, ROOT, limit=50)) == 50
        few, steps = steps, 0
        assert len(nodes.light_nodes(db)) == 10_000
        assert few * 10 < steps


def test_a_deep_tree_hangs_nothing(pole: Path) -> None:
    """§12: a 1,100-deep tree hanging a command."""
    with contextlib.closing(database.connect(pole, readonly=True)) as db:
        way = experiments.ancestors(db, "exp_1100")
        assert [way[0].id, way[-1].id, len(way)] == ["exp_1099", ROOT, 1_100]
        rows = nodes.subtree(db, ROOT, limit=5_000)
        assert [row.depth for row in rows] == list(range(1_101))


def test_a_cycle_made_by_force_hangs_nothing(pole: Path, tmp_path: Path) -> None:
    """§12: a cyclic tree hanging a command. The triggers refuse one; here they are torn out first."""
    with (
        contextlib.closing(sqlite3.connect(pole)) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "x")) as copy,
    ):
        source.backup(copy)
    with contextlib.closing(database.connect(tmp_path / "x")) as db:
        db.execute("DROP TRIGGER experiment_parent_stays")
        db.execute("UPDATE experiment SET parent = 'exp_0900' WHERE id = 'exp_0500'")
        assert len(experiments.ancestors(db, "exp_0950")) == 450
        assert len(nodes.subtree(db, "exp_0500", limit=60)) == 60
