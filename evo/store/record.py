"""How an attempt ends: outcome, per-item results, score, standing, artifacts and event in one transaction.

Invariant: a result is accepted only while its token is the live one, and only once; either all of it is stored or
nothing is. Every number is checked before the transaction begins.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Literal, NamedTuple

from evo import clock
from evo.domain.attempt import INTERRUPTED, Attempt, Outcome
from evo.domain.item import ItemResult
from evo.domain.score import Score
from evo.errors import UsageError
from evo.lightdata import dataclass, field
from evo.store import events, ledger, mid, results
from evo.store.checks import finite, finite_results, finite_score, number
from evo.store.db import transaction
from evo.store.mid import MidRow


class DeclaredArtifact(NamedTuple):
    """Something that a run leaves behind and names; it survives a discard."""

    label: str
    kind: str
    uri: str
    content_key: str


@dataclass(frozen=True)
class Finished:
    """The end of an attempt, or of its training (`trained`: the evaluation is still owed).

    `ok` comes with score, eval_hash and dev results, unless it `is_regressed`; every other outcome with none of them.
    """

    experiment: str
    n: int
    token: str
    outcome: Outcome | Literal["trained"]
    failure: str = ""
    message: str = ""
    isolation: str | None = None
    """None: as it was recorded at the start."""
    train_seconds: float | None = None
    eval_seconds: float | None = None
    gpu_seconds: float = 0.0
    """Spent since the attempt was last recorded: by the training, by the evaluation, or by both."""
    weights_hash: str | None = None
    is_noop: bool = False
    eval_hash: str | None = None
    results: list[ItemResult] = field(default_factory=list)
    score: Score | None = None
    """Of the experiment: over all seeds of this content, where there are several."""
    gain: float | None = None
    gain_var: float | None = None
    seeds: int = 1
    has_forbidden: bool = False
    is_primary: bool = True
    """False for a further seed: the attempt that a certificate would speak about stays the one that it was."""
    commit: str | None = None
    content_hash: str | None = None
    """None for both: as they were claimed."""
    artifacts: list[DeclaredArtifact] = field(default_factory=list)
    summary: dict[str, float] = field(default_factory=dict)
    """What is kept of how it trained; empty: what was kept before stands."""

    is_regressed: bool = False
    """Its evaluation was left out: by mid-evaluation its best checkpoint is clearly worse than the parent."""
    mid: list[MidRow] = field(default_factory=list)
    mid_results: list[ItemResult] = field(default_factory=list)
    """Of the weights that it hands over, on the mid slice, under `eval_hash`."""

    def __post_init__(self) -> None:
        has_all = self.score is not None and self.eval_hash is not None and len(self.results) > 0
        has_any = self.score is not None or len(self.results) > 0
        should_have = self.outcome == "ok" and not self.is_regressed
        if has_all != should_have or has_any != has_all or (self.is_regressed and self.outcome != "ok"):
            raise UsageError(
                f"{self.experiment}, attempt {self.n}: outcome {self.outcome} with"
                f" {'a' if self.score else 'no'} score and {len(self.results)} results",
                hint="a score belongs to outcome ok and comes with its per-item results",
            )


def finish(db: sqlite3.Connection, finished: Finished) -> bool:
    """Record the end. False, and nothing written, where the token is not the live one or was recorded already.

    Refused: a score, gain or item that is no finite number. StoreError: the write failed; after an error of the disk it
    may be durable all the same, so ask `was_recorded` on a new connection before trying again.
    """
    _check(finished)
    with transaction(db):
        attempt_id = _end_attempt(db, finished)
        if attempt_id is None:
            return False
        if finished.score is not None and finished.eval_hash is not None:
            results.insert(db, attempt_id, finished.results, eval_hash=finished.eval_hash)
            _score_experiment(db, finished)
        elif finished.is_regressed:
            _open_unscored(db, finished)
        elif finished.outcome not in ("trained", "lost"):
            _fail_experiment(db, finished.experiment)
        if finished.mid_results and finished.eval_hash is not None:
            results.insert(db, attempt_id, finished.mid_results, eval_hash=finished.eval_hash, split="mid")
        _add_mid(db, attempt_id, finished)
        _add_artifacts(db, attempt_id, finished)
        told = {
            "outcome": finished.outcome,
            "failure": finished.failure,
            "mean": finished.score.mean if finished.score else None,
        }
        events.append(db, "finished", experiment=finished.experiment, attempt=finished.n, data=told)
    return True


def interrupt(
    db: sqlite3.Connection, attempt: Attempt, *, message: str, train_seconds: float, gpu_seconds: float = 0.0
) -> bool:
    """Training was cut off, and can go on at a checkpoint: the attempt stays live, and nothing of it runs.

    False where it was interrupted, has ended, or has another bearer by now.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE attempt SET failure = ?, message = ?, train_seconds = coalesce(train_seconds, 0) + ?,"
            " gpu_seconds = gpu_seconds + ? WHERE experiment = ? AND n = ? AND token = ? AND outcome IS NULL"
            " AND state <> 'trained' AND failure <> ? RETURNING id",
            (
                INTERRUPTED, message, number(train_seconds, of="train_seconds"), number(gpu_seconds, of="gpu_seconds"),
                attempt.experiment, attempt.n, attempt.token, INTERRUPTED,
            ),
        ).fetchone()  # fmt: skip
        if row is None:
            return False
        events.append(db, INTERRUPTED, experiment=attempt.experiment, attempt=attempt.n, data={"message": message})
    return True


def was_recorded(db: sqlite3.Connection, token: str) -> bool:
    """True when the result that carries this token is in the database."""
    row = db.execute("SELECT state FROM attempt WHERE token = ?", (token,)).fetchone()
    return row is not None and row["state"] in ("trained", "ended")


def lose(db: sqlite3.Connection, experiment: str, n: int, *, reason: str, token: str | None = None) -> bool:
    """The boot id, host or controller of a live attempt vanished: it is lost, and does not count.

    False where it has ended, or where somebody else bears it by now (`token`: the one that was seen).
    The standing stays as it is.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE attempt SET state = 'ended', outcome = 'lost', failure = 'lost', message = ?, ended_at = ?"
            " WHERE experiment = ? AND n = ? AND outcome IS NULL AND token = coalesce(?, token) RETURNING id",
            (reason, clock.now(), experiment, n, token),
        ).fetchone()
        if row is None:
            return False
        ledger.charge_unmeasured(db, row["id"])
        events.append(db, "lost", experiment=experiment, attempt=n, data={"reason": reason})
    return True


def _check(finished: Finished) -> None:
    where = f"{finished.experiment}, attempt {finished.n}"
    if finished.score is not None:
        finite_score(finished.score, of=where)
    finite(finished.gain, of=f"{where}: gain")
    finite(finished.gain_var, of=f"{where}: variance of the gain")
    number(finished.gpu_seconds, of=f"{where}: gpu_seconds")
    finite_results(finished.results, of=where)
    finite_results(finished.mid_results, of=f"{where}: mid-evaluation")


def _end_attempt(db: sqlite3.Connection, finished: Finished) -> int | None:
    """The attempt's row id; None when this token may not write (any more)."""
    trained = finished.outcome == "trained"
    row = db.execute(
        "UPDATE attempt SET state = :state, outcome = :outcome, ended_at = :ended_at, failure = :failure,"
        " message = :message, isolation = coalesce(:isolation, isolation),"
        " train_seconds = coalesce(:train_seconds, train_seconds),"
        " eval_seconds = coalesce(:eval_seconds, eval_seconds),"
        " gpu_seconds = gpu_seconds + :gpu_seconds, weights_hash = coalesce(:weights_hash, weights_hash),"
        " is_noop = :is_noop, commit_sha = coalesce(:commit, commit_sha),"
        " content_hash = coalesce(:content_hash, content_hash), summary = coalesce(:summary, summary)"
        " WHERE experiment = :experiment AND n = :n AND token = :token AND outcome IS NULL"
        " AND NOT (state = 'trained' AND :state = 'trained') RETURNING id",
        {
            "state": "trained" if trained else "ended",
            "outcome": None if trained else finished.outcome,
            "ended_at": None if trained else clock.now(),
            "failure": finished.failure,
            "message": finished.message,
            "isolation": finished.isolation,
            "train_seconds": finished.train_seconds,
            "eval_seconds": finished.eval_seconds,
            "gpu_seconds": finished.gpu_seconds,
            "weights_hash": finished.weights_hash,
            "is_noop": finished.is_noop,
            "commit": finished.commit,
            "content_hash": finished.content_hash,
            "summary": json.dumps(finished.summary, allow_nan=False) if finished.summary else None,
            "experiment": finished.experiment,
            "n": finished.n,
            "token": finished.token,
        },
    ).fetchone()
    if row is None:
        return None
    if finished.train_seconds is None and finished.eval_seconds is None:
        ledger.charge_unmeasured(db, row["id"])
    db.execute(
        "UPDATE experiment SET gpu_seconds = (SELECT sum(gpu_seconds) FROM attempt WHERE experiment = :id),"
        " updated_at = :now WHERE id = :id",
        {"id": finished.experiment, "now": clock.now()},
    )
    return int(row["id"])


def _score_experiment(db: sqlite3.Connection, finished: Finished) -> None:
    """The first score opens a pending or failed experiment, also behind a discard or a contamination.

    Content and commit of the experiment become those that the attempt ran.
    """
    assert finished.score is not None
    opened = "CASE WHEN {0} IN ('pending', 'failed') THEN 'open' ELSE {0} END"
    places = ", ".join(f"{name} = {opened.format(name)}" for name in ("state", "former_state", "clean_state"))
    db.execute(
        f"UPDATE experiment SET {places}, score_mean = :mean, score_se = :se, score_n = :n_items, epoch = :epoch,"
        " gain = :gain, gain_var = :gain_var, seeds = :seeds, is_regressed = 0,"
        " state_reason = iif(state_class = 'regressed', '', state_reason),"
        " state_class = iif(state_class = 'regressed', '', state_class),"
        " is_noop = iif(:is_primary OR primary_attempt IS NULL, :is_noop, is_noop),"
        " has_forbidden = :has_forbidden OR (has_forbidden AND NOT :is_primary),"
        " primary_attempt = iif(:is_primary OR primary_attempt IS NULL, :n, primary_attempt),"
        " commit_sha = coalesce(ran.commit_sha, experiment.commit_sha),"
        " content_hash = coalesce(ran.content_hash, experiment.content_hash)"
        " FROM (SELECT commit_sha, content_hash FROM attempt WHERE experiment = :experiment AND n = :n) AS ran"
        " WHERE id = :experiment",
        {
            "mean": finished.score.mean,
            "se": finished.score.se,
            "n_items": finished.score.n,
            "epoch": finished.eval_hash,
            "gain": finished.gain,
            "gain_var": finished.gain_var,
            "seeds": finished.seeds,
            "is_noop": finished.is_noop,
            "has_forbidden": finished.has_forbidden,
            "is_primary": finished.is_primary,
            "n": finished.n,
            "experiment": finished.experiment,
        },
    )


def _open_unscored(db: sqlite3.Connection, finished: Finished) -> None:
    """Open, without a score: a legal parent, ranked below all that have one. A score that is there stands."""
    opened = "CASE WHEN {0} IN ('pending', 'failed') THEN 'open' ELSE {0} END"
    places = ", ".join(f"{name} = {opened.format(name)}" for name in ("state", "former_state", "clean_state"))
    db.execute(
        f"UPDATE experiment SET {places}, is_regressed = 1, state_class = 'regressed', state_reason = :reason,"
        " is_noop = :is_noop, primary_attempt = :n,"
        " commit_sha = coalesce(ran.commit_sha, experiment.commit_sha),"
        " content_hash = coalesce(ran.content_hash, experiment.content_hash)"
        " FROM (SELECT commit_sha, content_hash FROM attempt WHERE experiment = :experiment AND n = :n) AS ran"
        " WHERE id = :experiment AND score_mean IS NULL",
        {
            "reason": finished.message,
            "is_noop": finished.is_noop,
            "n": finished.n,
            "experiment": finished.experiment,
        },
    )


def _add_mid(db: sqlite3.Connection, attempt_id: int, finished: Finished) -> None:
    if not finished.mid or finished.outcome == "trained":  # the end of the attempt brings them
        return
    mid.insert(db, attempt_id, finished.mid)
    best = next((row for row in finished.mid if row.is_best), None)
    told = {"steps": len(finished.mid), "best": best.step if best else None, "mean": best.mean if best else None}
    events.append(db, "mid_evaluated", experiment=finished.experiment, attempt=finished.n, data=told)


def _fail_experiment(db: sqlite3.Connection, experiment: str) -> None:
    """A pending experiment has failed now; any other standing is left as it is."""
    failed = "CASE WHEN {0} = 'pending' THEN 'failed' ELSE {0} END"
    places = ", ".join(f"{name} = {failed.format(name)}" for name in ("state", "former_state", "clean_state"))
    db.execute(f"UPDATE experiment SET {places} WHERE id = ?", (experiment,))


def _add_artifacts(db: sqlite3.Connection, attempt_id: int, finished: Finished) -> None:
    maker, now = f"{finished.experiment}/{finished.n}", clock.now()
    db.executemany(
        "INSERT INTO artifact (experiment, attempt, label, kind, uri, content_key, created_by, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(finished.experiment, attempt_id, *artifact, maker, now) for artifact in finished.artifacts],
    )
