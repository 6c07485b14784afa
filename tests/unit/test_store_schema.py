"""What the database itself refuses, whoever writes: each statement here is SQL past our own checks."""

from __future__ import annotations

import itertools
import math
import sqlite3

import pytest
from growing import EPOCH, asked, committed, failed, planted, scored

from evo.domain.experiment import RETURNS, ROOT, STANDINGS, Standing, is_legal_move
from evo.errors import EvoError
from evo.store import attempts, experiments, gate_rows

SCORE = "UPDATE experiment SET score_mean = ?, score_se = .1, score_n = 3, epoch = 'e' WHERE id = ?"


def refused(db: sqlite3.Connection, sql: str, *values: object, saying: str | None = None) -> None:
    with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError), match=saying):
        db.execute(sql, values)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "high", b"1"])
def test_no_score_is_anything_but_a_finite_number(db: sqlite3.Connection, value: object) -> None:
    """§12: NaN, inf or string recorded as a score."""
    refused(db, SCORE, value, planted(db))
    id = scored(db, planted(db))
    refused(db, "UPDATE item_result SET score = ?", value)
    if not (
        isinstance(value, float) and math.isnan(value)
    ):  # NaN is NULL there: no gain, which is legal for both at once
        refused(db, "UPDATE experiment SET gain = ? WHERE id = ?", value, id)


def test_the_trigger_knows_the_moves_of_the_domain_and_no_other(db: sqlite3.Connection) -> None:
    """§2: one table of legal moves. Every pair of standings, with every former standing, against the domain's table."""
    ids = {state: _standing(db, state, None) for state in STANDINGS if state not in RETURNS}
    for state, former in itertools.product(sorted(RETURNS), ("pending", "open", "failed")):
        ids[f"{state} from {former}"] = _standing(db, state, former)
    db.execute("DROP TRIGGER experiment_commits_by_certificate")
    for id in ids.values():
        now = experiments.get(db, id)
        for new in STANDINGS:
            clean = None if new not in RETURNS else "'open'" if new == "contaminated" else "clean_state"
            former_sql = (
                f"former_state = {'NULL' if new not in RETURNS else repr('open')}, clean_state = {clean or 'NULL'}"
            )
            db.execute("SAVEPOINT try")
            try:
                db.execute(f"UPDATE experiment SET state = ?, {former_sql} WHERE id = ?", (new, id))
                is_allowed = True
            except sqlite3.IntegrityError as error:
                is_allowed = "no legal move" not in str(error)
            db.execute("ROLLBACK TO try")
            expected = new == now.state or is_legal_move(now.state, new, former=now.former_state)
            assert is_allowed == expected, f"{now.state} (from {now.former_state}) -> {new}"


def _standing(db: sqlite3.Connection, state: str, former: Standing | None) -> str:
    id = planted(db)
    begin = former or state
    if begin in ("open", "committed"):
        scored(db, id)
    if begin == "committed":
        committed(db, id)
    if begin == "failed":
        failed(db, id)
    if former is not None:
        experiments.move(db, id, state)  # type: ignore[arg-type]
    return id


def test_only_a_passed_certificate_commits(db: sqlite3.Connection) -> None:
    """§2, §12: no hand commits, nor does a failed or void certificate; a no-op, a rerun, forbidden outputs never do."""
    bare, denied, voided = (scored(db, planted(db)) for _ in range(3))
    answer = {"mode": "certify", "isolation": "bwrap", "epoch": EPOCH, "move_to_committed": True}
    gate_rows.answer(db, asked(db, denied), passed=False, **answer)
    committed(db, voided)
    gate_rows.void(db, voided, reason="data retracted")
    for id in (bare, denied, voided):
        refused(db, "UPDATE experiment SET state = 'committed' WHERE id = ?", id, saying="only a passed certificate")
    for flag in ("is_noop = 1", "has_forbidden = 1", f"rerun_of = '{ROOT}'"):
        marked = scored(db, planted(db))
        db.execute(f"UPDATE experiment SET {flag} WHERE id = ?", (marked,))
        row = db.execute(
            "INSERT INTO look (heldout_hash, k, experiment, against, weights_hash, against_weights_hash, passed,"
            " created_at) VALUES ('other', ?, ?, 'exp_0000', ?, 'w0', 1, '') RETURNING id",
            (int(marked[4:]), marked, marked),
        ).fetchone()
        db.execute(
            "INSERT INTO certificate (experiment, against, look, passed, mode, isolation, epoch, weights_hash,"
            " created_at) VALUES (?, 'exp_0000', ?, 1, 'certify', 'none', 'e', 'w', '')",
            (marked, row["id"]),
        )
        refused(
            db, "UPDATE experiment SET state = 'committed' WHERE id = ?", marked, saying="only a passed certificate"
        )


def test_a_tree_cannot_have_a_cycle(db: sqlite3.Connection) -> None:
    """§12: a cyclic tree. Parents are older than their children, and stay who they are."""
    first, second = scored(db, planted(db)), planted(db)
    refused(db, "UPDATE experiment SET parent = ? WHERE id = ?", second, first, saying="keeps its id and parent")
    columns = "number, id, parent, state, recipe, seed, technique, branch, fingerprint, created_at, updated_at"
    insert = (
        f"INSERT INTO experiment ({columns}, hypothesis, params)"
        " VALUES (?, ?, ?, 'pending', 'r', 0, 't', 'b', 'f', '', '', 'h', '{}')"
    )
    for parent in ("exp_0007", "exp_0008", "exp_0099"):
        refused(db, insert, 7, "exp_0007", parent, saying="a parent exists and is older")
    refused(db, insert, 7, "exp_0007", None, saying="CHECK")
    refused(db, insert, 7, "exp_7", ROOT, saying="CHECK")
    refused(db, insert.replace("'{}'", "'{'"), 7, "exp_0007", ROOT, saying="json_valid")


def test_nothing_is_deleted_and_history_is_not_rewritten(db: sqlite3.Connection) -> None:
    """§4: nothing is lost; events are append-only, outcomes and answers are written once."""
    id = committed(db, scored(db, planted(db)))
    for table in ("experiment", "attempt", "look", "certificate", "event"):
        refused(db, f"DELETE FROM {table}")
    refused(db, "UPDATE event SET kind = 'nothing'", saying="never changed")
    refused(db, "UPDATE attempt SET outcome = 'lost'", saying="ends once")
    refused(db, "UPDATE attempt SET token = 'mine'", saying="ends once")
    refused(db, "UPDATE look SET passed = 0", saying="never changed")
    refused(db, "UPDATE certificate SET passed = 0", saying="only be made void")
    gate_rows.void(db, id, reason="data retracted")
    refused(db, "UPDATE certificate SET is_void = 0", saying="only be made void")


def test_one_live_attempt_and_tokens_are_unique(db: sqlite3.Connection) -> None:
    """§4: the invariants are indexes, not checks before a write."""
    id = planted(db)
    insert = (
        "INSERT INTO attempt (experiment, n, seed, token, state, executor, controller, created_at)"
        " VALUES (?, ?, 0, ?, 'queued', 'local', 'c', '')"
    )
    db.execute(insert, (id, 1, "t"))
    refused(db, insert, id, 2, "u", saying="UNIQUE")
    refused(db, insert, planted(db), 1, "t", saying="UNIQUE")
    refused(db, "UPDATE attempt SET state = 'ended'", saying="CHECK")
    assert attempts.live(db)[0].token == "t"


def test_results_of_sealed_items_have_no_place(db: sqlite3.Connection) -> None:
    """§7: what comes back from held-out is one bit; an item's result cannot be stored by anybody."""
    scored(db, planted(db))
    for split in ("heldout", "vault"):
        refused(db, "UPDATE item_result SET split = ?", split, saying="CHECK")
    columns = {row["name"] for row in db.execute("SELECT name FROM pragma_table_info('look')")}
    assert columns == {
        "id", "heldout_hash", "k", "experiment", "against", "weights_hash", "against_weights_hash", "evidence",
        "passed", "created_at",
    }  # fmt: skip


def test_the_root_stays_committed(db: sqlite3.Connection) -> None:
    """§2: exp_0000 is committed from the start."""
    with pytest.raises((sqlite3.IntegrityError, EvoError)):
        experiments.move(db, ROOT, "open")
    assert experiments.get(db, ROOT).state == "committed"
