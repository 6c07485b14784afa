"""Looks and certificates: the questions that were put to the held-out items, and the one bit that came back.

Invariant: a look is reserved before anything is evaluated and is never given back, so the budget cannot be overdrawn by
crashes; the same weights are asked about once against the same reference; a commit happens here and nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NotRequired, TypedDict, Unpack

from evo import clock
from evo.domain.certificate import Certificate, Look, Terms
from evo.domain.experiment import ROOT, Experiment
from evo.errors import BudgetSpent, Refused
from evo.store import events, experiments, findings
from evo.store.checks import finite
from evo.store.db import transaction


class Question(TypedDict):
    """Do the weights of `experiment` beat those of `against`? `limit` is the budget of looks (`gate.looks`)."""

    heldout_hash: str
    experiment: str
    against: str
    weights_hash: str
    against_weights_hash: str
    limit: int
    evidence: float | None


class Answer(TypedDict):
    """The one bit. `move_to_committed`: a pass commits an open experiment."""

    passed: bool
    mode: str
    isolation: str
    epoch: str
    move_to_committed: bool
    terms: NotRequired[Terms]


def reserve_look(db: sqlite3.Connection, **question: Unpack[Question]) -> Look:
    """The look to be answered. One that was reserved and not answered is handed out again: a crash costs no second one.

    Refused: these weights were asked about already, or can never be certified. BudgetSpent: no look is left.
    """
    finite(question["evidence"], of=f"{question['experiment']}: evidence")
    with transaction(db):
        asked = db.execute(
            "SELECT * FROM look WHERE heldout_hash = :heldout_hash AND weights_hash = :weights_hash"
            " AND against_weights_hash = :against_weights_hash",
            question,
        ).fetchone()
        if asked is not None:
            return _again(_look(asked), question["experiment"])
        candidate = experiments.get(db, question["experiment"])
        _refuse_uncertifiable(candidate, question)
        _refuse_blocked(db, candidate.id)
        used = looks_used(db, question["heldout_hash"])
        if used >= question["limit"]:
            raise BudgetSpent(
                f"all {question['limit']} looks at these held-out items are used",
                hint="new held-out items renew them; `evo release` reports on the vault",
            )
        row = db.execute(
            "INSERT INTO look (heldout_hash, k, experiment, against, weights_hash, against_weights_hash, evidence,"
            " created_at) VALUES (:heldout_hash, :k, :experiment, :against, :weights_hash, :against_weights_hash,"
            " :evidence, :now) RETURNING *",
            {**question, "k": used + 1, "now": clock.now()},
        ).fetchone()
        told = {"against": question["against"], "look": used + 1}
        events.append(db, "look", experiment=candidate.id, data=told)
        return _look(row)


def answer(db: sqlite3.Connection, look: Look, **answer: Unpack[Answer]) -> Certificate:
    """Write the bit, its certificate and, when it passed, the commit, in one transaction.

    A look that has its answer keeps it, and its certificate is returned. Where the experiment is no longer open (or
    committed), a pass is recorded as void and commits nothing. Refused where a check has found meanwhile what blocks
    it: the look keeps waiting, and is handed out again once the finding is gone or settled.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE look SET passed = ? WHERE heldout_hash = ? AND k = ? AND passed IS NULL RETURNING id",
            (answer["passed"], look.heldout_hash, look.k),
        ).fetchone()
        if row is None:
            return _certificate_of_look(db, look)
        state = experiments.get(db, look.experiment).state
        void_reason = f"it was {state} when the answer came" if state not in ("open", "committed") else ""
        if not void_reason:
            _refuse_blocked(db, look.experiment)
        db.execute(
            "INSERT INTO certificate (experiment, against, look, passed, mode, isolation, epoch, weights_hash, is_void,"
            " void_reason, created_at, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                look.experiment, look.against, row["id"], answer["passed"], answer["mode"], answer["isolation"],
                answer["epoch"], look.weights_hash, bool(void_reason), void_reason, clock.now(),
                _written(answer.get("terms")),
            ),
        )  # fmt: skip
        told = {"against": look.against, "look": look.k, "passed": answer["passed"]}
        events.append(db, "certificate", experiment=look.experiment, data=told)
        if answer["passed"] and answer["move_to_committed"] and state == "open" and not void_reason:
            experiments.move_within(db, look.experiment, "committed", reason=f"certificate, look {look.k}")
        return _certificate_of_look(db, look)


def looks_used(db: sqlite3.Connection, heldout_hash: str) -> int:
    """Reserved ones count: what an evaluation that was cut off has shown cannot be taken back."""
    return int(db.execute("SELECT count(*) FROM look WHERE heldout_hash = ?", (heldout_hash,)).fetchone()[0])


def asks(db: sqlite3.Connection, heldout_hash: str) -> list[Look]:
    """In the order in which they were asked."""
    rows = db.execute("SELECT * FROM look WHERE heldout_hash = ? ORDER BY k", (heldout_hash,))
    return [_look(row) for row in rows]


def certificate_of(db: sqlite3.Connection, experiment: str) -> Certificate | None:
    """The newest one that is not void."""
    row = db.execute(
        f"{_CERTIFICATES} WHERE c.experiment = ? AND NOT c.is_void ORDER BY c.id DESC LIMIT 1", (experiment,)
    ).fetchone()
    return None if row is None else _certificate(row)


def certificates(db: sqlite3.Connection, experiment: str) -> list[Certificate]:
    """All of them, void ones too, oldest first."""
    return [
        _certificate(row) for row in db.execute(f"{_CERTIFICATES} WHERE c.experiment = ? ORDER BY c.id", (experiment,))
    ]


def last_committed(db: sqlite3.Connection) -> str:
    """The committed experiment with the newest passed certificate that is not void, else the root."""
    row = db.execute(
        "SELECT c.experiment FROM certificate c JOIN experiment e ON e.id = c.experiment"
        " WHERE c.passed AND NOT c.is_void AND e.state = 'committed' ORDER BY c.id DESC LIMIT 1"
    ).fetchone()
    return ROOT if row is None else str(row["experiment"])


def void(db: sqlite3.Connection, experiment: str, *, reason: str) -> list[Certificate]:
    """Make every certificate of the experiment void (data retracted, identity broken); committed becomes open again.

    The certificates that were made void; Refused where none stood.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE certificate SET is_void = 1, void_reason = ? WHERE experiment = ? AND NOT is_void RETURNING id",
            (reason, experiment),
        ).fetchall()
        owner = experiments.get(db, experiment)
        if not row:
            raise Refused(f"{experiment} has no certificate that could be void", hint=f"evo show {experiment}")
        events.append(db, "void", experiment=experiment, data={"reason": reason})
        if owner.state == "committed":
            experiments.move_within(db, experiment, "open", reason=f"certificate void: {reason}")
        voided = {entry["id"] for entry in row}
        rows = db.execute(f"{_CERTIFICATES} WHERE c.experiment = ? ORDER BY c.id", (experiment,))
        return [_certificate(entry) for entry in rows if entry["id"] in voided]


_CERTIFICATES = "SELECT c.*, l.k FROM certificate c JOIN look l ON l.id = c.look"


def _again(look: Look, experiment: str) -> Look:
    if look.passed is not None:
        raise Refused(
            f"these weights were asked about already, against {look.against} (look {look.k}, for {look.experiment})",
            hint="the same question is never put twice; train further, or branch",
        )
    if look.experiment != experiment:
        raise Refused(
            f"{experiment} has the weights of {look.experiment}, whose look {look.k} awaits its answer",
            hint=f"evo certify {look.experiment}",
        )
    return look


def _refuse_uncertifiable(candidate: Experiment, question: Question) -> None:
    reasons = {
        f"is {candidate.state}": candidate.state not in ("open", "committed"),
        "is the root": candidate.id == ROOT,
        "is the reference itself": candidate.id == question["against"],
        "changed nothing (no-op)": candidate.is_noop or question["weights_hash"] == question["against_weights_hash"],
        "gave forbidden outputs": candidate.has_forbidden,
        f"is a rerun of {candidate.rerun_of}": candidate.rerun_of is not None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise Refused(f"{candidate.id} {reason} and cannot be certified", hint=f"evo show {candidate.id}")


def _certificate_of_look(db: sqlite3.Connection, look: Look) -> Certificate:
    row = db.execute(f"{_CERTIFICATES} WHERE l.heldout_hash = ? AND l.k = ?", (look.heldout_hash, look.k)).fetchone()
    if row is None:
        raise Refused(f"there is no look {look.k} at these held-out items", hint="evo fsck")
    return _certificate(row)


def _refuse_blocked(db: sqlite3.Connection, identifier: str) -> None:
    for found in findings.blocks(db, identifier):
        said = found.finding
        raise Refused(f"{identifier}: {said.source} found: {said.message}", hint=said.next or f"evo show {identifier}")


def _written(terms: Terms | None) -> str:
    return "{}" if terms is None else json.dumps(vars(terms), allow_nan=False)


def _look(row: sqlite3.Row) -> Look:
    return Look(
        k=row["k"],
        experiment=row["experiment"],
        against=row["against"],
        weights_hash=row["weights_hash"],
        against_weights_hash=row["against_weights_hash"],
        heldout_hash=row["heldout_hash"],
        passed=None if row["passed"] is None else bool(row["passed"]),
        evidence=row["evidence"],
    )


def _certificate(row: sqlite3.Row) -> Certificate:
    """`look` is the number of the question, counted from 1 for its set of held-out items."""
    return Certificate(
        experiment=row["experiment"],
        against=row["against"],
        passed=bool(row["passed"]),
        look=row["k"],
        mode=row["mode"],
        isolation=row["isolation"],
        epoch=row["epoch"],
        created_at=row["created_at"],
        is_void=bool(row["is_void"]),
        void_reason=row["void_reason"],
        terms=None if row["terms"] == "{}" else Terms(**json.loads(row["terms"])),
    )
