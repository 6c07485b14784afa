"""Opening evo.db: what is wrong with a file is said by name, and nothing is made up in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from growing import planted

from evo.errors import Busy, StoreError
from evo.store import db as database
from evo.store import experiments, nodes
from evo.store.schema import VERSION


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_database_is_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "evo.db"
    database.create(path)
    assert sorted(files(tmp_path)) == ["evo.db"]
    assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(database.connect(path)) as db:
        pragmas = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        assert db.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000
        assert db.execute("PRAGMA user_version").fetchone()[0] == VERSION


def test_creating_never_replaces(store_path: Path) -> None:
    before = store_path.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        database.create(store_path)
    assert files(store_path.parent) == {"evo.db": before}


@pytest.mark.parametrize("readonly", [True, False])
def test_a_missing_database_is_never_an_empty_tree(tmp_path: Path, readonly: bool) -> None:
    """§12: a missing state file read as an empty tree."""
    path = tmp_path / "evo.db"
    with pytest.raises(StoreError, match=r"evo\.db is missing") as caught:
        database.connect(path, readonly=readonly)
    assert str(path) in caught.value.message
    assert "evo backup" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0, 7, 100, 5_000, 0.5, -1])
@pytest.mark.parametrize("readonly", [True, False])
def test_a_truncated_database_is_reported_by_name(store_path: Path, kept: float, readonly: bool) -> None:
    """§12: a truncated state file reported without its name. Half the file, a few bytes, all but one byte, none."""
    whole = store_path.read_bytes()
    size = {0.5: len(whole) // 2, -1: len(whole) - 1}.get(kept, int(kept))
    store_path.write_bytes(whole[:size])
    with pytest.raises(StoreError) as caught:
        database.connect(store_path, readonly=readonly)
    assert str(store_path) in caught.value.message
    assert "evo backup" in caught.value.hint
    assert store_path.read_bytes() == whole[:size]


def test_garbage_and_folders_are_no_databases(tmp_path: Path) -> None:
    (tmp_path / "text").write_text('{"experiments": []}' * 100)
    (tmp_path / "folder").mkdir()
    for name in ("text", "folder"):
        with pytest.raises(StoreError) as caught:
            database.connect(tmp_path / name)
        assert str(tmp_path / name) in caught.value.message


def test_damage_in_the_middle_is_reported_by_name(store_path: Path) -> None:
    with contextlib.closing(database.connect(store_path)) as db:
        for _ in range(200):
            planted(db)
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'experiment'").fetchone()[0]
    with store_path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match="damaged") as caught, database.opened(store_path, readonly=True) as db:
        list(experiments.all(db))
    assert str(store_path) in caught.value.message


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evo.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE experiment (id)")
    with pytest.raises(StoreError, match="not one of evo's"):
        database.connect(path)


def test_a_newer_database_is_refused_and_left_alone(store_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(store_path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = files(store_path.parent)
    for readonly in (True, False):
        with pytest.raises(StoreError, match="made by a newer evo") as caught:
            database.connect(store_path, readonly=readonly)
        assert str(store_path) in caught.value.message
    assert files(store_path.parent) == before


def test_an_older_database_is_brought_up_to_date_by_a_writer_only(tmp_path: Path) -> None:
    """A file whose last migration has not run, as an evo before it would have left it."""
    path = tmp_path / "evo.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")
    with pytest.raises(StoreError, match="older evo"):
        database.connect(path, readonly=True)
    opened: list[int] = []

    def open_it() -> None:
        with contextlib.closing(database.connect(path)) as db:
            opened.append(sum(nodes.counts(db).values()))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [0, 0, 0, 0]


def test_a_reader_changes_nothing_on_disk(store_path: Path) -> None:
    """§12: a read command that writes. Neither of a database at rest nor of one that a killed writer left."""
    before = files(store_path.parent)
    with contextlib.closing(database.connect(store_path, readonly=True)) as db:
        assert nodes.counts(db)["committed"] == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM meta")
        with pytest.raises(StoreError, match="cannot be opened or written"):
            planted(db)
    assert files(store_path.parent) == before
    _write_and_die(store_path)
    left = {name: data for name, data in files(store_path.parent).items() if not name.endswith("-shm")}
    assert left["evo.db-wal"]
    with contextlib.closing(database.connect(store_path, readonly=True)) as db:
        assert nodes.counts(db)["pending"] == 1
    assert {name: data for name, data in files(store_path.parent).items() if not name.endswith("-shm")} == left


def _write_and_die(path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from evo.store import db, experiments\n"
        "store = db.connect(Path(sys.argv[1]))\n"
        "experiments.add(store, experiments.NewExperiment('exp_0000', 'h', 'sft', 'sft', 'f'))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9


def test_a_full_disk_is_refused_before_sqlite_sees_it(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers need 8 MiB, readers one: with nothing free, opening a WAL database can kill the process."""
    real = os.statvfs(store_path.parent)

    def with_free(size: int) -> None:
        nearly_full = os.statvfs_result((*real[:4], size // real.f_frsize, *real[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _: nearly_full)

    with_free(4 << 20)
    with pytest.raises(StoreError, match="8 MiB needed"):
        database.connect(store_path)
    database.connect(store_path, readonly=True).close()
    with_free(100 << 10)
    with pytest.raises(StoreError, match="100 KiB free"):
        database.connect(store_path, readonly=True)


def test_a_transaction_is_all_or_nothing_and_does_not_nest(db: sqlite3.Connection) -> None:
    def interrupted() -> None:
        with database.transaction(db):
            db.execute("INSERT INTO meta VALUES ('a', '1')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not db.in_transaction
    assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == 0
    with database.transaction(db), pytest.raises(RuntimeError, match="do not nest"), database.transaction(db):
        pass


def test_a_locked_database_is_busy_and_not_a_bug(db: sqlite3.Connection, store_path: Path) -> None:
    with contextlib.closing(database.connect(store_path)) as other:
        other.execute("PRAGMA busy_timeout = 50")
        with database.transaction(db), pytest.raises(Busy, match=r"evo\.db was locked"):
            planted(other)
        assert planted(other) == "exp_0001"


def test_a_disk_that_fails_under_a_write_is_named(store_path: Path) -> None:
    """SQLITE_FULL in the middle of a transaction: the file is named and nothing of it is kept."""
    with contextlib.closing(database.connect(store_path)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full") as caught:
            _ = [planted(db) for _ in range(1_000)]
        kept = nodes.counts(db)["pending"]
    assert str(store_path) in caught.value.message
    with contextlib.closing(database.connect(store_path)) as db:
        assert nodes.counts(db)["pending"] == kept
        assert planted(db) == f"exp_{kept + 1:04d}"


def test_hot_reads_import_only_the_standard_library() -> None:
    """§13: status, tree, show and next load neither sqlite_utils nor numpy."""
    script = (
        "import sys; from evo.store import db, nodes, experiments, attempts, gate_rows, results, events, notes, meta\n"
        "heavy = {'sqlite_utils', 'numpy', 'pandas', 'pydantic', 'rich', 'typer'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or None)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_copied_database_opens_elsewhere(store_path: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a folder with 100% odd?#name"
    odd.mkdir()
    shutil.copy(store_path, odd / "evo.db")
    with contextlib.closing(database.connect(odd / "evo.db")) as db:
        assert database.file_of(db) == odd / "evo.db"
        assert planted(db) == "exp_0001"
