"""Findings in the store."""

from __future__ import annotations

import sqlite3

import pytest
from growing import planted

from evo.domain.finding import Finding
from evo.errors import NotFound
from evo.store import events, findings

LEAK = Finding("leaks", "exact", "block", "line 3 holds item q1", {"line": 3}, "evo data check train.jsonl")
DRIFT = Finding("outputs", "length", "warn", "outputs are 4 times as long")


def test_a_check_made_again_replaces_what_it_said(db: sqlite3.Connection) -> None:
    id = planted(db)
    findings.replace(db, "leaks", [LEAK], experiment=id)
    findings.replace(db, "outputs", [DRIFT], experiment=id, attempt=1)
    assert [found.finding for found in findings.of(db, id)] == [LEAK, DRIFT]
    assert [found.finding for found in findings.blocks(db, id)] == [LEAK]
    findings.replace(db, "leaks", [], experiment=id)
    assert [found.finding for found in findings.of(db, id)] == [DRIFT]
    assert findings.of(db, id)[0].attempt == 1
    assert findings.blocks(db, id) == []


def test_a_settled_finding_stays_on_record_and_is_not_raised_again(db: sqlite3.Connection) -> None:
    id = planted(db)
    findings.replace(db, "leaks", [LEAK], experiment=id)
    findings.settle(db, findings.of(db, id)[0].id, why="a false alarm")
    findings.replace(db, "leaks", [LEAK], experiment=id)
    assert [(found.finding, found.settled) for found in findings.of(db, id)] == [(LEAK, "a false alarm")]
    assert (findings.blocks(db, id), findings.open_ones(db)) == ([], [])
    assert [event.kind for event in events.read(db, experiment=id)][-2:] == ["finding", "settled"]
    with pytest.raises(NotFound, match="finding 99"):
        findings.settle(db, 99, why="")


def test_findings_about_the_workspace_stand_by_themselves(db: sqlite3.Connection) -> None:
    findings.replace(db, "outputs", [DRIFT], experiment=None)
    findings.replace(db, "leaks", [LEAK], experiment=planted(db))
    assert [found.finding for found in findings.of(db, None)] == [DRIFT]
    assert [found.finding for found in findings.open_ones(db)] == [LEAK, DRIFT]
    assert [found.finding for found in findings.open_ones(db, severities=["block"])] == [LEAK]
