"""Trees of any size, for benchmarks and for tests of speed and reach: as they would stand after real runs.

Every scored node has an attempt, item results that give its score, and its events, so `fsck` finds nothing to say.
"""

from __future__ import annotations

import contextlib
import math
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from evo.domain.experiment import experiment_id
from evo.store import db as database

EPOCH = "e" * 64
NOW = "2026-01-01T00:00:00.000Z"
_SHARES = {"open": 0.72, "failed": 0.14, "discarded": 0.08, "pending": 0.06}


def synthetic_tree(path: Path, n: int, seed: int, *, items: int = 8) -> None:
    """A new database with `n` experiments, the root included, `items` dev results each; the same for the same seed."""
    database.create(path)
    rng = random.Random(seed)
    with contextlib.closing(database.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        with database.transaction(db):
            for number, parent, state in _plan(n, rng):
                _insert(db, (number, parent, state), [float(rng.random() < 0.5) for _ in range(items)])


def chain(path: Path, n: int, *, state: str = "pending") -> None:
    """A new database with `n` experiments of one standing in one line under the root; all `open` ones are scored."""
    database.create(path)
    with contextlib.closing(database.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        with database.transaction(db):
            for number in range(n + 1):
                scores = [0.0, 1.0, float(number % 2)] if state == "open" else []
                _insert(db, (number, number - 1 if number else None, state if number else "committed"), scores)


def _plan(n: int, rng: random.Random) -> Iterator[tuple[int, int | None, str]]:
    """(number, parent, standing): mostly near the last nodes, sometimes anywhere."""
    fertile = [0]
    yield 0, None, "committed"
    for number in range(1, n):
        state = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        parent = rng.choice(fertile[-40:] if rng.random() < 0.7 else fertile)
        if state in ("open", "failed"):
            fertile.append(number)
        yield number, parent, state


def _insert(db: sqlite3.Connection, node: tuple[int, int | None, str], scores: list[float]) -> None:
    number, parent, state = node
    id, has_score = experiment_id(number), bool(scores) and node[2] in ("open", "committed", "discarded")
    mean = math.fsum(scores) / len(scores) if has_score else None
    db.execute(
        "INSERT INTO experiment (number, id, parent, state, former_state, recipe, seed, epoch, score_mean, score_se,"
        " score_n, gain, gain_var, gpu_seconds, seeds, primary_attempt, technique, branch, fingerprint, created_at,"
        " updated_at, hypothesis, params)"
        " VALUES (?, ?, ?, ?, ?, 'sft', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'sft', ?, ?, ?, ?, ?, ?)",
        (
            number, id, None if parent is None else experiment_id(parent), state,
            ("open" if has_score else "pending") if state == "discarded" else None,
            EPOCH if has_score else None, mean, 0.05 if has_score else None, len(scores) if has_score else None,
            mean - 0.4 if mean is not None else None, 4e-4 if has_score else None, 60.0, int(has_score),
            1 if has_score else None, f"evo/{id}", f"fingerprint {id}", NOW, NOW,
            f"hypothesis {number}: a little more of what went well before, on cleaner data", '{"learning_rate": 2e-5}',
        ),
    )  # fmt: skip
    db.execute("INSERT INTO event (at, kind, experiment) VALUES (?, 'created', ?)", (NOW, id))
    if not has_score and state != "failed":
        return
    db.execute(
        "INSERT INTO attempt (id, experiment, n, seed, token, state, outcome, executor, controller, train_seconds,"
        " gpu_seconds, content_hash, weights_hash, created_at, ended_at)"
        " VALUES (?, ?, 1, 0, ?, 'ended', ?, 'local', 'host boot 1 1', 60, 60, ?, ?, ?, ?)",
        (number + 1, id, f"token {id}", "ok" if has_score else "failed", f"c{id}", f"w{id}", NOW, NOW),
    )
    db.execute("INSERT INTO event (at, kind, experiment, attempt) VALUES (?, 'finished', ?, 1)", (NOW, id))
    if has_score:
        db.executemany(
            "INSERT INTO item_result (attempt, eval_hash, split, item, sample, score, output_hash)"
            " VALUES (?, ?, 'dev', ?, 0, ?, 'h')",
            [(number + 1, EPOCH, f"item-{i}", score) for i, score in enumerate(scores)],
        )
