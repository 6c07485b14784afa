"""The person's store of lessons: what comes back, in which order, and with which date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from evo.ops.ideas import lessons as ops
from evo.store import lessons as store
from evo.store.lessons import About, Lesson

HERE = About("/new", "qwen2", "hf:exact", frozenset({"sft", "grpo"}))


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "lessons.db"))
    with store.opened(create=True) as opened:
        assert opened is not None
        yield opened


def lesson(root: str, number: int = 1, **more: object) -> Lesson:
    known = Lesson(
        root, f"exp_{number:04d}", root.strip("/"), "dpo", "llama", "command", "x", True, "2026-01-02T00:00:00Z"
    )
    return known._replace(**more)  # type: ignore[arg-type]


def test_what_has_most_in_common_comes_first_and_what_has_nothing_never(db: sqlite3.Connection) -> None:
    store.keep(db, [lesson("/apart")])
    store.keep(db, [lesson("/technique", technique="grpo"), lesson("/family", family="qwen2", technique="grpo")])
    store.keep(db, [lesson("/all", family="qwen2", kind="hf:exact", technique="sft"), lesson("/new", kind="hf:exact")])
    store.keep(db, [lesson("/written", kind="hf:exact", family="qwen2", technique="sft", is_derived=False)])
    found = store.recall(db, HERE, limit=12)
    assert [one.root for one in found] == ["/written", "/all", "/family", "/technique"]
    assert [one.is_derived for one in found] == [False, True, True, True]
    nothing = About("/new", "", "")
    store.keep(db, [lesson("/blank", family="", kind="", technique="")])
    assert store.recall(db, nothing, limit=12) == []


def test_thousands_of_lessons_of_one_workspace_hide_no_other(db: sqlite3.Connection) -> None:
    day = "2026-02-0{}T00:00:00Z"
    store.keep(db, [lesson("/big", k, kind="hf:exact", at=day.format(9)) for k in range(3000)])
    store.keep(db, [lesson("/old", k, kind="hf:exact", at=day.format(1)) for k in range(3)])
    store.keep(db, [lesson("/less", technique="sft")])
    found = [one.root for one in store.recall(db, HERE, limit=12)]
    assert found == ["/big"] * 4 + ["/old"] * 3 + ["/less"] + ["/big"] * 4
    assert [one.root for one in store.recall(db, HERE._replace(kind=""), limit=12)] == ["/less"]


def test_a_lesson_that_is_shared_again_keeps_its_date(db: sqlite3.Connection) -> None:
    store.keep(db, [lesson("/old", kind="hf:exact", at="2025-03-04T05:06:07Z")])
    store.keep(db, [lesson("/old", kind="hf:exact", at="2025-03-04T05:06:07Z", text="mended")])
    (found,) = store.recall(db, HERE, limit=12)
    assert (found.text, found.at) == ("mended", "2025-03-04T05:06:07Z")


def test_workspaces_in_use_are_asked_however_many_demos_came_later(tmp_path: Path) -> None:
    for number in range(ops.MOST_HARVESTED + 5):
        stored(tmp_path / f"demo{number}", at=1000 + number)
    live = stored(tmp_path / "live", at=5000)
    roots = sorted(str(path) for path in tmp_path.iterdir())
    found = ops._alive([*roots, str(tmp_path / "gone"), "a\0b"])
    assert len(found) == ops.MOST_HARVESTED
    assert found[0] == live


def stored(root: Path, *, at: int) -> Path:
    (root / ".evo").mkdir(parents=True)
    (root / ".evo" / "evo.db").touch()
    os.utime(root / ".evo" / "evo.db", (at, at))
    return root
