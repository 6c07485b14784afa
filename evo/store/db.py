"""Opening evo.db, and the one kind of transaction that writes to it.

Invariant: a missing, empty, damaged, foreign or newer file is an error that names the file and the way out, and opening
never creates one; a writer holds the write lock from the first statement on (`BEGIN IMMEDIATE`), so what it read is
still true when it writes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

from evo.errors import Busy, EvoError, StoreError
from evo.files import new_draft
from evo.store.schema import APPLICATION_ID, VERSION

LOCK_TIMEOUT_S = 30.0
FREE_BYTES_TO_WRITE = 8 << 20
FREE_BYTES_TO_READ = 1 << 20
"""With nothing free, merely opening a WAL database can kill the process (SIGBUS), so even readers are refused."""
OLDEST_SQLITE = (3, 37, 0)

WAY_OUT = "put back a copy made by `evo backup`; `evo fsck` says what is wrong with a file"
_SMALLEST_PAGE = 512
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def create(path: Path) -> None:
    """A new, empty database of mode 0600. StoreError where `path` exists; killed midway, it leaves no `path`."""
    _check_library(path)
    _check_disk(path, FREE_BYTES_TO_WRITE)
    handle, draft = new_draft(path)
    os.close(handle)
    try:
        with contextlib.closing(_open(draft, "rw")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            _migrate(db)
        os.link(draft, path)
    except FileExistsError:
        raise StoreError(f"{path} exists already", hint="`evo status` shows what is in it") from None
    finally:
        draft.unlink()


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """An open connection in autocommit mode, rows by name. A read-only one cannot write, never migrates, and leaves no
    byte and no file on disk other than it was.

    StoreError: missing, empty, damaged, not evo's, newer, no room on the disk. Busy: locked for 30 s.
    """
    _check_library(path)
    _check_file(path)
    _check_disk(path, FREE_BYTES_TO_READ if readonly else FREE_BYTES_TO_WRITE)
    db = None
    try:
        db = _open_to_read(path) if readonly else _open(path, "rw")
        version = _checked_version(db, path)
        if version < VERSION:
            if readonly:
                raise StoreError(
                    f"{path} was made by an older evo (schema {version}, now {VERSION}) and is opened only to read",
                    hint="any command that writes brings it up to date: `evo fsck` does",
                )
            _migrate(db)
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.Error) and (told := explained(error, path)) is not None:
            raise told from None
        raise
    return db


@contextlib.contextmanager
def opened(path: Path, *, readonly: bool = False) -> Iterator[sqlite3.Connection]:
    """`connect`, closed at the end; damage and locks that show up in between are told like those at the start."""
    with contextlib.closing(connect(path, readonly=readonly)) as db:
        try:
            yield db
        except sqlite3.Error as error:
            if (told := explained(error, path)) is not None:
                raise told from error
            raise


@contextlib.contextmanager
def copied(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A copy in memory, to be written to and thrown away."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        db.backup(copy)
        copy.row_factory = sqlite3.Row
        copy.execute("PRAGMA foreign_keys = ON")
        yield copy


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised. Not nestable.

    When COMMIT itself fails (StoreError) the change may still be durable: reopen, and look before writing again.
    """
    if db.in_transaction:
        raise RuntimeError("transactions do not nest")
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):  # there is none to roll back where BEGIN failed
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and (told := explained(error, file_of(db))) is not None:
            raise told from error
        raise


def explained(error: sqlite3.Error, path: Path) -> EvoError | None:
    """What an error of SQLite means to a user; None when it is a bug of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _LOCKED:
        return Busy(f"{path} was locked by another process for {LOCK_TIMEOUT_S:g} s", hint="try again")
    if code in _DAMAGED:
        return StoreError(f"{path} is damaged or no database: {error}", hint=WAY_OUT)
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"{path}: the disk is full", hint="free some space, then repeat the command")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(f"{path} cannot be opened or written: {error}", hint="check its owner and mode")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(f"{path}: the disk reported an error: {error}", hint=f"check the disk; {WAY_OUT}")
    return None


def file_of(db: sqlite3.Connection) -> Path:
    return Path(db.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0])


def _open(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
    )
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Never a writer, and yet opened `rw` where nobody else has it open: of a WAL database that was closed cleanly,
    SQLite then takes away again, at the end, the -wal and -shm files that it needs, and `ro` would leave them.
    """
    db = _open(path, "ro" if _wal_of(path).exists() else "rw")
    db.execute("PRAGMA query_only = ON")
    return db


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _check_library(path: Path) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"{path} needs SQLite {needed}; this Python brings {sqlite3.sqlite_version}", hint="use a newer Python"
        )


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path} is missing", hint=WAY_OUT) from None
    if not path.is_file():
        raise StoreError(f"{path} is not a file", hint=WAY_OUT)
    if size == 0:
        raise StoreError(f"{path} is empty", hint=WAY_OUT)
    if size % _SMALLEST_PAGE and not _wal_of(path).exists():
        raise StoreError(f"{path} is damaged: it ends within a page, at byte {size}", hint=WAY_OUT)


def _check_disk(path: Path, needed: int) -> None:
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise StoreError(
            f"{path}: {free >> 10} KiB free on its disk, {needed >> 20} MiB needed to open it safely",
            hint="free some space: `evo gc --dry-run` lists weights that nothing needs",
        )


def _checked_version(db: sqlite3.Connection, path: Path) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"{path} is a SQLite database, but not one of evo's", hint=WAY_OUT)
    if version > VERSION:
        raise StoreError(
            f"{path} was made by a newer evo (schema {version}; this one knows {VERSION})",
            hint="pip install --upgrade evo-tree",
        )
    return version


def _migrate(db: sqlite3.Connection) -> None:
    """Loaded by name: sqlite-utils takes 0.2 s to import, and hardly any command migrates."""
    import_module("evo.store.migrate").migrate(db)
