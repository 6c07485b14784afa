"""Looks and certificates: a budget that crashes cannot overdraw, and one bit per question."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

import pytest
from growing import EPOCH, HELDOUT, asked, committed, planted, scored

from evo.domain.certificate import Certificate, Look
from evo.domain.experiment import ROOT
from evo.domain.finding import Finding
from evo.errors import BudgetSpent, Refused
from evo.lightdata import replace
from evo.store import events, experiments, findings, gate_rows


def answered(db: sqlite3.Connection, look: Look, passed: bool, **changes: Any) -> Certificate:
    terms: dict[str, Any] = {"mode": "certify", "isolation": "bwrap", "epoch": EPOCH, "move_to_committed": True}
    return gate_rows.answer(db, look, passed=passed, **(terms | changes))


def test_a_passed_look_commits_and_becomes_the_reference(db: sqlite3.Connection) -> None:
    """§2: only certificates commit; the reference is the last committed node."""
    assert gate_rows.last_committed(db) == ROOT
    first, second, denied = (scored(db, planted(db)) for _ in range(3))
    for k, id in enumerate((first, second), 1):
        certificate = answered(db, asked(db, id), True)
        assert (certificate.look, certificate.passed, certificate.is_void) == (k, True, False)
        assert experiments.get(db, id).state == "committed"
        assert gate_rows.last_committed(db) == id
        assert gate_rows.certificate_of(db, id) == certificate
    answered(db, asked(db, denied, against=second, against_weights_hash="w2"), False)
    assert experiments.get(db, denied).state == "open"
    assert gate_rows.last_committed(db) == second
    assert [(look.k, look.passed, look.evidence) for look in gate_rows.asks(db, HELDOUT)] == [
        (1, True, 1.7), (2, True, 1.7), (3, False, 1.7),
    ]  # fmt: skip
    assert [event.kind for event in events.latest(db, experiment=first, limit=3)] == ["moved", "certificate", "look"]


def test_the_same_weights_are_never_asked_about_twice(db: sqlite3.Connection) -> None:
    """§8, §12: no repeat of a question that was answered; another reference is another question."""
    id, twin = scored(db, planted(db)), scored(db, planted(db))
    answered(db, asked(db, id), False)
    for again in (id, twin):
        with pytest.raises(Refused, match="asked about already") as caught:
            asked(db, again, weights_hash=f"weights of {id}")
        assert caught.value.exit_code == 4
    assert gate_rows.looks_used(db, HELDOUT) == 1
    assert asked(db, id, against_weights_hash="another").k == 2
    assert asked(db, id, heldout_hash="new items").k == 1


def test_a_crash_between_question_and_answer_costs_no_second_look(db: sqlite3.Connection) -> None:
    id, twin = scored(db, planted(db)), scored(db, planted(db))
    first = asked(db, id, limit=1)
    assert asked(db, id, limit=1) == first
    with pytest.raises(Refused, match=f"{twin} has the weights of {id}"):
        asked(db, twin, weights_hash=first.weights_hash)
    assert gate_rows.looks_used(db, HELDOUT) == 1
    kept = answered(db, first, True)
    assert answered(db, first, False) == kept
    assert experiments.get(db, id).state == "committed"


def test_the_budget_of_looks_binds_across_epochs(db: sqlite3.Connection) -> None:
    """§7, §8: looks belong to the hash of the held-out items; a pip upgrade does not renew them (§12)."""
    for _ in range(2):
        answered(db, asked(db, scored(db, planted(db)), limit=2), False)
    with pytest.raises(BudgetSpent, match="all 2 looks") as caught:
        asked(db, scored(db, planted(db), eval_hash="epoch after an upgrade"), limit=2)
    assert caught.value.exit_code == 8
    assert gate_rows.looks_used(db, HELDOUT) == 2


@pytest.mark.parametrize("mark", ["is_noop", "has_forbidden", "rerun", "pending", "discarded", "same_weights", "root"])
def test_what_can_never_be_certified_costs_no_look(db: sqlite3.Connection, mark: str) -> None:
    """§6, §12: a tie or a no-op committed; a rerun, forbidden outputs, a node given up."""
    id = planted(db)
    if mark != "pending":
        scored(db, id, is_noop=mark == "is_noop", has_forbidden=mark == "has_forbidden")
    if mark == "rerun":
        experiments.link_rerun(db, id, of=planted(db))
    if mark == "discarded":
        experiments.move(db, id, "discarded")
    changes = {"same_weights": {"weights_hash": "weights of the base"}, "root": {"experiment": ROOT, "against": id}}
    with pytest.raises(Refused, match="cannot be certified"):
        asked(db, id, **changes.get(mark, {}))
    assert gate_rows.looks_used(db, HELDOUT) == 0


@pytest.mark.parametrize("evidence", [math.nan, math.inf, True, "1.7"])
def test_evidence_is_a_number(db: sqlite3.Connection, evidence: Any) -> None:
    with pytest.raises(Refused, match="evidence"):
        asked(db, scored(db, planted(db)), evidence=evidence)
    assert gate_rows.looks_used(db, HELDOUT) == 0


def test_an_answer_that_comes_after_a_contamination_commits_nothing(db: sqlite3.Connection) -> None:
    id = scored(db, planted(db))
    look = asked(db, id)
    experiments.move(db, id, "contaminated", reason="late finding")
    certificate = answered(db, look, True)
    assert certificate.is_void
    assert "contaminated" in certificate.void_reason
    assert experiments.get(db, id).state == "contaminated"
    assert gate_rows.last_committed(db) == ROOT


def test_void_takes_the_commit_back_and_the_reference_with_it(db: sqlite3.Connection) -> None:
    """§2: committed → open when the certificate is void; the look stays used."""
    first, second = (committed(db, scored(db, planted(db))) for _ in range(2))
    assert [c.experiment for c in gate_rows.void(db, second, reason="data retracted")] == [second]
    assert experiments.get(db, second).state == "open"
    assert gate_rows.last_committed(db) == first
    assert gate_rows.certificate_of(db, second) is None
    assert [(c.is_void, c.void_reason) for c in gate_rows.certificates(db, second)] == [(True, "data retracted")]
    assert gate_rows.looks_used(db, HELDOUT) == 2
    with pytest.raises(Refused, match="no certificate that could be void"):
        gate_rows.void(db, second, reason="again")
    with pytest.raises(Refused):
        asked(db, second)


def test_a_pass_can_be_kept_without_a_commit(db: sqlite3.Connection) -> None:
    id = scored(db, planted(db))
    assert answered(db, asked(db, id), True, move_to_committed=False).passed
    assert experiments.get(db, id).state == "open"
    assert gate_rows.last_committed(db) == ROOT


BLOCK = Finding("leaks", "exact", "block", "line 3 of train.jsonl holds item q1", {"line": 3})


def test_a_finding_that_blocks_stops_question_and_commit_until_it_is_settled(db: sqlite3.Connection) -> None:
    """A29: no look is spent on it; one that comes while the answer is worked out leaves the look waiting."""
    id, late = scored(db, planted(db)), scored(db, planted(db))
    findings.replace(db, "leaks", [BLOCK], experiment=id)
    with pytest.raises(Refused, match="leaks found: line 3"):
        asked(db, id)
    assert gate_rows.looks_used(db, HELDOUT) == 0
    findings.settle(db, findings.of(db, id)[0].id, why="line 3 was written before the item was")
    look = asked(db, late)
    findings.replace(db, "verify", [replace(BLOCK, source="verify")], experiment=late)
    for passed in (True, False):  # which of the two it was is not told
        with pytest.raises(Refused, match="verify found: line 3"):
            answered(db, look, passed)
    assert (gate_rows.certificates(db, late), experiments.get(db, late).state) == ([], "open")
    assert [known.passed for known in gate_rows.asks(db, HELDOUT)] == [None]
    findings.replace(db, "verify", [], experiment=late)
    assert asked(db, late) == look
    for experiment in (late, id):
        assert answered(db, asked(db, experiment), True).is_void is False
        assert experiments.get(db, experiment).state == "committed"
    assert gate_rows.looks_used(db, HELDOUT) == 2


def test_the_database_itself_holds_what_a_finding_stops(db: sqlite3.Connection) -> None:
    id = scored(db, planted(db))
    look = asked(db, id)
    findings.replace(db, "leaks", [BLOCK], experiment=id)
    for statement in (
        "UPDATE experiment SET state = 'committed' WHERE id = :id",
        "INSERT INTO look (heldout_hash, k, experiment, against, weights_hash, against_weights_hash, created_at)"
        " SELECT 'h', 9, experiment, against, weights_hash, 'v', created_at FROM look WHERE experiment = :id",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="a finding that blocks"):
            db.execute(statement, {"id": id})
    assert look.k == gate_rows.looks_used(db, HELDOUT) == 1
