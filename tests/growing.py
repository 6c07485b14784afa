"""Small words for growing a tree in a test: `scored(db, planted(db))` has run, `failed(db, planted(db))` crashed."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from typing import Any

from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT
from evo.domain.item import ItemResult
from evo.domain.score import Score
from evo.store import attempts, experiments, gate_rows, record
from evo.store.experiments import NewExperiment
from evo.store.record import Finished

EPOCH = "epoch-1"
HELDOUT = "heldout-1"
_serial = itertools.count()


def wish(**changes: Any) -> NewExperiment:
    """What `evo new` asks for; another fingerprint each time."""
    asked: dict[str, Any] = {
        "parent": ROOT, "hypothesis": "more data", "recipe": "sft", "technique": "sft",
        "fingerprint": f"fingerprint {next(_serial)}",
    }  # fmt: skip
    return NewExperiment(**(asked | changes))


def planted(db: sqlite3.Connection, parent: str = ROOT) -> str:
    """The id of a new pending experiment."""
    return experiments.add(db, wish(parent=parent))[0].id


def claimed(db: sqlite3.Connection, id: str, **changes: Any) -> Attempt:
    terms: dict[str, Any] = {
        "seed": 0, "cap": 3, "token": f"token {next(_serial)}", "executor": "local", "controller": "host boot 1 1",
        "is_detached": False, "commit": "c0ffee", "content_hash": f"content of {id}", "is_rerun": True,
    }  # fmt: skip
    return attempts.claim(db, id, **(terms | changes))


def graded(scores: Sequence[Any]) -> list[ItemResult]:
    return [ItemResult(f"item-{i}", 0, score, "hash", "output") for i, score in enumerate(scores)]


def ended_well(attempt: Attempt, scores: Sequence[float] = (1.0, 0.0, 1.0), **changes: Any) -> Finished:
    told: dict[str, Any] = {
        "eval_hash": EPOCH, "results": graded(scores), "score": Score(sum(scores) / len(scores), 0.1, len(scores)),
        "gain": 0.1, "gain_var": 0.01, "weights_hash": f"weights of {attempt.experiment}/{attempt.n}",
        "train_seconds": 60.0, "gpu_seconds": 60.0,
    }  # fmt: skip
    return Finished(attempt.experiment, attempt.n, attempt.token, "ok", **(told | changes))


def scored(db: sqlite3.Connection, id: str, scores: Sequence[float] = (1.0, 0.0, 1.0), **changes: Any) -> str:
    assert record.finish(db, ended_well(claimed(db, id), scores, **changes))
    return id


def failed(db: sqlite3.Connection, id: str, outcome: Any = "failed") -> str:
    attempt = claimed(db, id)
    assert record.finish(db, Finished(id, attempt.n, attempt.token, outcome, failure="nonzero_exit"))
    return id


def asked(db: sqlite3.Connection, id: str, **changes: Any) -> Any:
    question: dict[str, Any] = {
        "heldout_hash": HELDOUT, "experiment": id, "against": ROOT, "weights_hash": f"weights of {id}",
        "against_weights_hash": "weights of the base", "limit": 20, "evidence": 1.7,
    }  # fmt: skip
    return gate_rows.reserve_look(db, **(question | changes))


def committed(db: sqlite3.Connection, id: str) -> str:
    gate_rows.answer(
        db, asked(db, id), passed=True, mode="certify", isolation="bwrap", epoch=EPOCH, move_to_committed=True
    )
    return id
