"""Fixtures of the whole suite; being here, it also makes the modules of tests/ importable for every test."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from evo.store import db as database
from evo.store import experiments

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # and none asks the network, but for a service of its own
os.environ["EVO_LESSONS"] = "none"  # no test reads or writes what this person's workspaces have learnt


@pytest.fixture(scope="session")
def blank_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing in it but the root: copy it, never open it."""
    path = tmp_path_factory.mktemp("blank") / "evo.db"
    database.create(path)
    with contextlib.closing(database.connect(path)) as db:
        experiments.add_root(db, hypothesis="the untouched base", recipe="base", technique="none")
    return path


@pytest.fixture
def store_path(tmp_path: Path, blank_store: Path) -> Path:
    """A database of this test's own, in the `.evo` folder that `tmp_path` is here."""
    return Path(shutil.copy(blank_store, tmp_path / "evo.db"))


@pytest.fixture
def db(store_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(database.connect(store_path)) as connection:
        yield connection
