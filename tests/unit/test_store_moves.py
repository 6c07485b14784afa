"""What diagnosing reads of the store: techniques, last moves, rewards, decisions; and what guessing scores."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from growing import EPOCH, claimed, ended_well, planted, scored, wish

from evo.config import DiagnoseConfig, EvalConfig, EvoConfig
from evo.domain.experiment import ROOT
from evo.lightdata import replace
from evo.ops.checks.diagnose import chance_of
from evo.session import Session
from evo.store import experiments, moves, record
from evo.workspace.layout import Layout


def grown(db: sqlite3.Connection, technique: str, gain: float, *, parent: str = ROOT, **changes: object) -> str:
    """A scored experiment of this technique; its score says its gain."""
    id = experiments.add(db, wish(parent=parent, technique=technique))[0].id
    return scored(db, id, (0.5 + gain, 0.5 + gain), gain=gain, **changes)


def test_techniques_by_their_best(db: sqlite3.Connection) -> None:
    low, high = grown(db, "sft", 0.1), grown(db, "sft", 0.3)
    other = grown(db, "dpo", 0.2)
    bad = grown(db, "grpo", 0.4)
    experiments.move(db, bad, "contaminated", reason="a leak")
    planted(db)
    rows = {row.technique: row for row in moves.techniques(db, EPOCH, sign=1.0)}
    assert {name: (row.id, row.score, row.runs) for name, row in rows.items()} == {
        "sft": (high, pytest.approx(0.8), 2),
        "dpo": (other, pytest.approx(0.7), 1),
    }
    assert {row.technique: row.id for row in moves.techniques(db, EPOCH, sign=-1.0)} == {"sft": low, "dpo": other}
    assert moves.techniques(db, "another epoch", sign=1.0) == []
    assert (moves.was_scored(db, "dpo"), moves.was_scored(db, "rft")) == (True, False)


def test_the_last_moves_of_a_technique(db: sqlite3.Connection) -> None:
    """A delta is to the parent; a run that was worse by mid-evaluation is a move without one."""
    first = grown(db, "sft", 0.2)
    second = grown(db, "sft", 0.15, parent=first)
    grown(db, "dpo", 0.5)
    regressed = experiments.add(db, wish(parent=second, technique="sft"))[0].id
    attempt = claimed(db, regressed)
    ended = replace(ended_well(attempt), results=[], score=None, gain=None, gain_var=None, is_regressed=True)
    assert record.finish(db, ended)
    rows = moves.of_technique(db, EPOCH, "sft", limit=10)
    assert [row.id for row in rows] == [regressed, second, first]
    assert [row.delta for row in rows] == [None, pytest.approx(-0.05), pytest.approx(0.2)]
    assert moves.latest_technique(db, EPOCH) == "dpo"
    assert [row.id for row in moves.of_technique(db, EPOCH, "sft", limit=1)] == [regressed]


def test_rewards_and_decisions(db: sqlite3.Connection) -> None:
    plain = grown(db, "sft", 0.1, summary={"loss": 0.3})
    rewarded = grown(db, "grpo", 0.3, summary={"train_score": 0.99, "loss": 0.1})
    assert moves.rewarded(db, EPOCH, limit=3, among=100) == [
        moves.RewardRow(rewarded, 0.99, pytest.approx(0.8), pytest.approx(0.1))
    ]
    assert moves.rewarded(db, EPOCH, limit=3, among=0) == []
    counted = moves.decisions(db, EPOCH, after=ROOT)
    assert (counted.decided, counted.best, counted.gain, counted.items) == (2, rewarded, pytest.approx(0.3), 2)
    assert moves.decisions(db, EPOCH, after=plain).decided == 1
    assert moves.decisions(db, EPOCH, after=rewarded)[:2] == (0, None)


def test_chance_is_one_in_so_many_answers(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A17: as evo.yaml says, else by the legal answers of the scorer `choice`; else nothing is known."""

    def chance(**changes: object) -> float | None:
        config = EvoConfig(**({"eval": EvalConfig(scorer="choice")} | changes))  # type: ignore[arg-type]
        return chance_of(Session(Layout(tmp_path), config, db))

    assert chance() is None, "no dev items"
    (tmp_path / "data").mkdir()
    rows = [{"id": str(k), "prompt": f"question {k}", "target": "ABCD"[k % 4]} for k in range(12)]
    (tmp_path / "data" / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert chance() == 0.25
    assert chance(eval=EvalConfig(scorer="choice", choices=["yes", "no"])) == 0.5
    assert chance(eval=EvalConfig(scorer="exact")) is None
    assert chance(eval=EvalConfig(scorer="choice", backend="command")) is None
    assert chance(diagnose=DiagnoseConfig(chance=0.1)) == 0.1
