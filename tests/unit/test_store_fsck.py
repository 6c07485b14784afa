"""What fsck finds, and that a backup is whole."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from growing import asked, claimed, committed, ended_well, failed, planted, scored
from synthetic import synthetic_tree

from evo.domain.experiment import ROOT
from evo.domain.score import Score
from evo.errors import Refused, StoreError
from evo.store import db as database
from evo.store import experiments, fsck, gate_rows, nodes, record


def grown(db: sqlite3.Connection, root: Path) -> None:
    """A tree with every standing, attempts in every state, a void certificate, an open question, three seeds."""
    scored(db, ROOT)
    first = committed(db, scored(db, planted(db)))
    second = committed(db, scored(db, planted(db, first)))
    gate_rows.void(db, second, reason="data retracted")
    experiments.move(db, scored(db, planted(db)), "contaminated")
    experiments.move(db, failed(db, planted(db)), "discarded")
    asked(db, scored(db, planted(db)))
    claimed(db, planted(db))
    record.lose(db, "exp_0006", 1, reason="host vanished")
    seeds = planted(db)
    for seed in range(3):
        pooled = Score((1.0, 0.5, 2 / 3)[seed], 0.1, 1)
        attempt = claimed(db, seeds, seed=seed)
        result = ended_well(attempt, (1.0 - seed % 2,), score=pooled, seeds=seed + 1, is_primary=seed == 0)
        record.finish(db, result)
    for row in db.execute("SELECT experiment, n FROM attempt WHERE outcome = 'ok'"):
        output = root / "attempts" / row["experiment"] / str(row["n"]) / "output"
        output.mkdir(parents=True)
        (output / "model.safetensors").touch()
    for row in db.execute("SELECT id FROM experiment"):
        (root / "worktrees" / row["id"]).mkdir(parents=True)
        (root / "worktrees" / row["id"] / ".git").touch()


def told(db: sqlite3.Connection, root: Path) -> list[str]:
    return [f"{finding.severity}: {finding.what}" for finding in fsck.check(db, root)]


def test_a_sound_tree_has_no_findings_and_is_not_written_to(db: sqlite3.Connection, store_path: Path) -> None:
    grown(db, store_path.parent)
    with contextlib.closing(database.connect(store_path, readonly=True)) as reader:
        before = db.execute("PRAGMA data_version").fetchone()[0]
        assert told(reader, store_path.parent) == []
        assert db.execute("PRAGMA data_version").fetchone()[0] == before


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("UPDATE experiment SET score_mean = 0.99 WHERE id = 'exp_0001'", "exp_0001 is scored 0.99 on 3 items"),
        ("DELETE FROM item_result WHERE item = 'item-1' AND attempt = 2", "exp_0001 is scored 0.666667 on 3 items"),
        ("DELETE FROM item_result WHERE attempt = 2", "exp_0001 has a score without per-item results"),
        ("UPDATE item_result SET score = 0 WHERE attempt = 10", "exp_0007 is scored"),
        ("UPDATE experiment SET parent = 'exp_0004' WHERE id = 'exp_0002'", "exp_0002 descends from exp_0004"),
        (
            "UPDATE experiment SET parent = 'exp_0444' WHERE id = 'exp_0002'",
            "points at a row of experiment that does not exist",
        ),
        ("DELETE FROM experiment WHERE id = 'exp_0006'", "exp_0006 is missing"),
        ("UPDATE experiment SET state = 'excellent' WHERE id = 'exp_0001'", "CHECK constraint failed"),
        ("UPDATE experiment SET state = 'pending' WHERE id = 'exp_0001'", "exp_0001 is pending with a score"),
        (
            "UPDATE experiment SET state = 'committed' WHERE id = 'exp_0002'",
            "exp_0002 is committed without a certificate",
        ),
        ("UPDATE certificate SET passed = 0 WHERE id = 1", "look 1 and the certificate of exp_0001 contradict"),
        ("DELETE FROM look WHERE k = 2", "a look at held-out set heldout-1 is missing"),
        ("DELETE FROM certificate WHERE id = 1", "exp_0001 is committed without a certificate"),
        ("DELETE FROM event WHERE kind = 'finished' AND experiment = 'exp_0004'", "ended without an event"),
        ("DELETE FROM event WHERE kind = 'created' AND experiment = 'exp_0004'", "exp_0004 was created 0 times"),
        ("UPDATE event SET at = '2020-01-01T00:00:00.000Z' WHERE id = 5", "event 5 (2020"),
        ("UPDATE attempt SET n = 7 WHERE experiment = 'exp_0007' AND n = 3", "exp_0007 has lost an attempt"),
        ("UPDATE attempt SET outcome = 'failed' WHERE experiment = 'exp_0001'", "its attempt 1 is failed"),
    ],
)
def test_every_harm_is_found(db: sqlite3.Connection, store_path: Path, harm: str, finding: str) -> None:
    """§4: what triggers and constraints refuse, done by force with them torn out, is named afterwards."""
    grown(db, store_path.parent)
    for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {row['name']}")
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.execute(harm)
    db.execute("PRAGMA ignore_check_constraints = OFF")
    assert any(finding in line for line in told(db, store_path.parent)), told(db, store_path.parent)


def test_folders_and_rows_are_compared(db: sqlite3.Connection, store_path: Path) -> None:
    grown(db, store_path.parent)
    place = store_path.parent / "attempts"
    shutil.rmtree(place / "exp_0001" / "1")
    (place / "exp_0099" / "1").mkdir(parents=True)
    found = told(db, store_path.parent)
    assert [line for line in found if not line.startswith("warning")] == []
    assert "exp_0099/1 belongs to no attempt" in found[0]
    assert "exp_0001/1 is missing" in found[1]
    assert len(found) == 2


def test_lost_worktrees_and_weights_are_named(db: sqlite3.Connection, store_path: Path) -> None:
    """Whatever may be run, branched from or certified needs them; of a discarded or failed one nothing is missed."""
    grown(db, store_path.parent)
    for id in ("exp_0002", "exp_0004", "exp_0006"):  # open, discarded, pending
        shutil.rmtree(store_path.parent / "worktrees" / id)
    for id in ("exp_0000", "exp_0001", "exp_0003"):  # the base, committed, contaminated
        shutil.rmtree(store_path.parent / "attempts" / id / "1" / "output")
    found = told(db, store_path.parent)
    assert [line.split(" is missing")[0].rpartition(str(store_path.parent))[2] for line in found] == [
        "/worktrees/exp_0002", "/worktrees/exp_0006", "/attempts/exp_0001/1/output",
    ]  # fmt: skip
    assert all(line.startswith("warning: ") for line in found)


def test_a_damaged_page_is_a_finding_and_no_crash(store_path: Path) -> None:
    with contextlib.closing(database.connect(store_path)) as db:
        for _ in range(100):
            scored(db, planted(db))
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempt_content'").fetchone()[0]
    with store_path.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\x00" * 64)
    with contextlib.closing(database.connect(store_path, readonly=True)) as db:
        found = fsck.check(db, store_path.parent)
    assert found
    assert all("damaged" in finding.what and "evo backup" in finding.fix for finding in found)


def test_a_backup_is_whole_while_others_write(db: sqlite3.Connection, store_path: Path, tmp_path: Path) -> None:
    """§4: `evo backup`. The copy opens, holds everything up to one moment, and is private."""
    grown(db, store_path.parent)
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(database.connect(store_path)) as other:
            while not stop.is_set():
                planted(other)

    writer = threading.Thread(target=write)
    writer.start()
    target = tmp_path / "copies" / "evo.db"
    try:
        for _ in range(5):
            assert fsck.backup(db, target) == target
    finally:
        stop.set()
        writer.join()
    assert [path.name for path in target.parent.iterdir()] == ["evo.db"]
    assert target.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(database.connect(target)) as copy:
        assert [line for line in told(copy, target.parent) if line.startswith("error")] == []
        assert 8 < sum(nodes.counts(copy).values()) <= sum(nodes.counts(db).values())
        assert planted(copy)


def test_a_backup_never_goes_over_the_database_and_a_failed_one_leaves_the_old(
    store_path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    with contextlib.closing(database.connect(store_path)) as db:
        for _ in range(60):
            planted(db)
        with pytest.raises(Refused, match="is the database itself"):
            fsck.backup(db, store_path)
        fsck.backup(db, target)
        good = target.read_bytes()
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'experiment_state'").fetchone()[0]
    with store_path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x0a\xff\xff" * 100)
    with (
        contextlib.closing(database.connect(store_path, readonly=True)) as db,
        pytest.raises(StoreError, match=r"evo\.db is damaged"),
    ):
        fsck.backup(db, target)
    assert target.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "evo.db"]


def test_synthetic_trees_are_sound(tmp_path: Path) -> None:
    """The trees that benchmarks and speed tests stand on say nothing that a real one would not."""
    synthetic_tree(tmp_path / "evo.db", 500, 3)
    with contextlib.closing(database.connect(tmp_path / "evo.db")) as db:
        assert [line for line in told(db, tmp_path) if line.startswith("error")] == []
        assert planted(db) == "exp_0500"
