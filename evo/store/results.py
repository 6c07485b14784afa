"""Per-item results on dev (and mid), kept under the hash of the evaluation that gave them.

Invariant: the results of one attempt under one eval_hash are written once and whole, together with the score that they
give; results of different epochs are never mixed. Held-out and vault results have no place in these tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal

from evo import clock
from evo.domain.item import ItemResult
from evo.domain.score import Score, mean_over_seeds
from evo.errors import NotFound, Refused
from evo.lightdata import dataclass, field
from evo.store import events
from evo.store.checks import finite, finite_results, finite_score
from evo.store.db import transaction

StoredSplit = Literal["mid", "dev"]


@dataclass(frozen=True)
class Epoch:
    """An ended attempt, evaluated anew under another eval_hash: what becomes the score of its experiment."""

    experiment: str
    n: int
    eval_hash: str
    results: list[ItemResult]
    score: Score
    gain: float | None = None
    gain_var: float | None = None
    seeds: int = 1
    has_forbidden: bool = False
    is_primary: bool = True
    """False for a further seed: the attempt that a certificate would speak about stays the one that it was."""
    mid: list[ItemResult] = field(default_factory=list)
    """The same weights on the mid slice, which is no part of the score."""


def items(
    db: sqlite3.Connection, experiment: str, *, n: int, eval_hash: str, split: StoredSplit = "dev"
) -> list[ItemResult]:
    """The results of one attempt in one epoch, by item and sample."""
    rows = db.execute(
        "SELECT item, sample, score, output_hash, output, is_forbidden FROM item_result"
        " WHERE attempt = (SELECT id FROM attempt WHERE experiment = ? AND n = ?) AND eval_hash = ? AND split = ?",
        (experiment, n, eval_hash, split),
    )
    return [
        ItemResult(
            row["item"], row["sample"], row["score"], row["output_hash"], row["output"], bool(row["is_forbidden"])
        )
        for row in rows
    ]


def item_means(db: sqlite3.Connection, experiment: str, *, eval_hash: str, n: int | None = None) -> dict[str, float]:
    """Dev item -> mean over samples, for attempt `n` (None: the primary one). Empty where that epoch has none."""
    chosen = "coalesce(?, (SELECT primary_attempt FROM experiment WHERE id = ?))"
    return _means(
        db,
        f"SELECT id FROM attempt WHERE experiment = ? AND n = {chosen}",
        (experiment, n, experiment),
        eval_hash=eval_hash,
    )


def seed_means(db: sqlite3.Connection, experiment: str, *, eval_hash: str) -> dict[int, dict[str, float]]:
    """Seed -> dev item means of the last good attempt with that seed, among those of the primary attempt's content."""
    rows = db.execute(
        "SELECT a.seed, max(a.id) AS id FROM attempt a JOIN experiment e ON e.id = a.experiment"
        " JOIN attempt p ON p.experiment = e.id AND p.n = e.primary_attempt"
        " WHERE a.experiment = ? AND a.outcome = 'ok' AND a.content_hash IS p.content_hash GROUP BY a.seed",
        (experiment,),
    ).fetchall()
    runs = {row["seed"]: _means(db, "SELECT ?", (row["id"],), eval_hash=eval_hash) for row in rows}
    return {seed: means for seed, means in runs.items() if means}


def pooled_means(db: sqlite3.Connection, experiment: str, *, eval_hash: str) -> dict[str, float]:
    """Dev item -> mean over the seeds of `seed_means`."""
    return mean_over_seeds(list(seed_means(db, experiment, eval_hash=eval_hash).values()))


def add_epoch(db: sqlite3.Connection, epoch: Epoch) -> bool:
    """Store results of a further evaluation and make them the experiment's score, in one transaction.

    False, and nothing written, where this attempt has results under this eval_hash already: those stand, and
    `experiments.set_scores` brings their score back. Refused: an attempt that did not end well, a number that is none.
    """
    where = f"{epoch.experiment}, attempt {epoch.n}"
    finite_score(epoch.score, of=where)
    dev = finite_results(epoch.results, of=where)
    with transaction(db):
        row = db.execute(
            "SELECT id, outcome FROM attempt WHERE experiment = ? AND n = ?", (epoch.experiment, epoch.n)
        ).fetchone()
        if row is None:
            raise NotFound(f"{epoch.experiment} has no attempt {epoch.n}", hint=f"evo show {epoch.experiment}")
        if row["outcome"] != "ok":
            raise Refused(f"{where} did not end well and cannot be scored anew", hint=f"evo run {epoch.experiment}")
        if _means(db, "SELECT ?", (row["id"],), eval_hash=epoch.eval_hash):
            return False
        insert(db, row["id"], dev, eval_hash=epoch.eval_hash)
        if epoch.mid and not items(db, epoch.experiment, n=epoch.n, eval_hash=epoch.eval_hash, split="mid"):
            insert(db, row["id"], epoch.mid, eval_hash=epoch.eval_hash, split="mid")
        _replace_score(db, epoch, where)
        told = {"eval_hash": epoch.eval_hash, "mean": epoch.score.mean}
        events.append(db, "rescored", experiment=epoch.experiment, attempt=epoch.n, data=told)
    return True


def insert(
    db: sqlite3.Connection,
    attempt_id: int,
    results: Iterable[ItemResult],
    *,
    eval_hash: str,
    split: StoredSplit = "dev",
) -> None:
    """Rows of `attempt.id`, as a part of the caller's transaction."""
    db.executemany(
        "INSERT INTO item_result (attempt, eval_hash, split, item, sample, score, output_hash, output, is_forbidden)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (attempt_id, eval_hash, split, r.item, r.sample, r.score, r.output_hash, r.output, r.is_forbidden)
            for r in results
        ),
    )


def _replace_score(db: sqlite3.Connection, epoch: Epoch, where: str) -> None:
    gain = finite(epoch.gain, of=f"{where}: gain")
    gain_var = finite(epoch.gain_var, of=f"{where}: variance of the gain")
    db.execute(
        "UPDATE experiment SET score_mean = ?, score_se = ?, score_n = ?, epoch = ?, gain = ?, gain_var = ?, seeds = ?,"
        " has_forbidden = ?, primary_attempt = iif(? OR primary_attempt IS NULL, ?, primary_attempt), updated_at = ?,"
        " state_reason = iif(state_class = 'regressed', '', state_reason),"
        " state_class = iif(state_class = 'regressed', '', state_class),"
        " is_regressed = 0"
        " WHERE id = ?",
        (
            epoch.score.mean, epoch.score.se, epoch.score.n, epoch.eval_hash, gain, gain_var, epoch.seeds,
            epoch.has_forbidden, epoch.is_primary, epoch.n, clock.now(), epoch.experiment,
        ),
    )  # fmt: skip


def _means(db: sqlite3.Connection, attempt: str, parameters: tuple[object, ...], *, eval_hash: str) -> dict[str, float]:
    rows = db.execute(
        f"SELECT item, avg(score) AS mean FROM item_result WHERE attempt = ({attempt})"
        " AND eval_hash = ? AND split = 'dev' GROUP BY item",
        (*parameters, eval_hash),
    )
    return {row["item"]: row["mean"] for row in rows}
