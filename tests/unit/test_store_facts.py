"""Events, notes, datasets and facts of the workspace."""

from __future__ import annotations

import math
import sqlite3

import pytest
from growing import planted

from evo.errors import NotFound
from evo.store import datasets, events, meta, notes
from evo.store.datasets import Dataset


def test_events_are_read_in_pieces(db: sqlite3.Connection) -> None:
    id = planted(db)
    for n in range(5):
        events.append(db, "tick", experiment=id, attempt=1, data={"n": n, "text": "né"})
    first = events.read(db, limit=4)
    rest = events.read(db, after=first[-1].id)
    assert [e.kind for e in first + rest] == ["created", "created", *["tick"] * 5]
    assert [e.data.get("n") for e in events.read(db, experiment=id, limit=3)] == [None, 0, 1]
    assert [e.data["n"] for e in events.latest(db, experiment=id, limit=2)] == [4, 3]
    assert events.latest(db, limit=1)[0].attempt == 1
    with pytest.raises(ValueError, match="JSON compliant"):
        events.append(db, "tick", data={"n": math.nan})


def test_meta_keeps_json(db: sqlite3.Connection) -> None:
    assert meta.get(db, "epoch") is None
    assert meta.get(db, "epoch", default="none") == "none"
    for value in ("e1", {"n": [1, 2.5, None]}, False):
        meta.set(db, "epoch", value)
        assert meta.get(db, "epoch") == value


def test_notes_on_a_node_and_on_the_whole(db: sqlite3.Connection) -> None:
    id = planted(db)
    notes.add(db, "loss is flat", experiment=id, author="agent")
    whole = notes.add(db, "ask about licences")
    assert [(n.text, n.author) for n in notes.of(db, id)] == [("loss is flat", "agent")]
    assert notes.of(db, None) == [whole]
    assert [n.text for n in notes.latest(db, limit=1)] == ["ask about licences"]
    with pytest.raises(NotFound):
        notes.add(db, "nobody", experiment="exp_0099")


def test_datasets_are_known_by_content_and_linked_once(db: sqlite3.Connection) -> None:
    id, other = planted(db), planted(db)
    base = Dataset("aa", "data/train.jsonl", 100, "train.jsonl")
    made = Dataset("bb", "cache/mix.jsonl", 40, "train.jsonl", "filter", ("aa",))
    assert datasets.register(db, base)
    assert not datasets.register(db, Dataset("aa", "elsewhere.jsonl", 100, "copy"))
    datasets.register(db, made)
    for user in (id, id, other):
        datasets.link(db, user, used=[("train", "bb")])
    assert datasets.of(db, id) == [("train", made)]
    assert datasets.users(db, "bb") == [id, other]
    assert datasets.get(db, "aa") == base
    with pytest.raises(NotFound):
        datasets.get(db, "cc")
    with pytest.raises(sqlite3.IntegrityError):
        datasets.link(db, id, used=[("train", "cc")])
