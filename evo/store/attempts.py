"""Attempts: claiming a run, starting it, taking up its evaluation, and seeing what is live.

Invariant: an experiment has at most one attempt without an outcome, and only the bearer of its token may change it.
A claim reads and writes in one immediate transaction, so of two that come at once one gets it.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NotRequired, TypedDict, Unpack

from evo import clock
from evo.domain.attempt import INTERRUPTED, MOST_RESUMES, Attempt
from evo.domain.experiment import RETURNS, Experiment
from evo.errors import Busy, NotFound, Refused
from evo.store import events, experiments, ledger
from evo.store.db import transaction


class Terms(TypedDict):
    """What a run is claimed on. `cap` binds per experiment and seed; `is_free` lifts it (the baseline trains nothing).

    `is_rerun` allows content and seed that have ended well before. `budget`: where the workspace has caps.
    `controller` is `host boot_id pid pid_start` of the process that claims.
    """

    seed: int
    cap: int
    token: str
    executor: str
    controller: str
    is_detached: bool
    commit: str | None
    content_hash: str | None
    is_free: NotRequired[bool]
    is_rerun: NotRequired[bool]
    budget: NotRequired[ledger.Wish | None]


class FinishedBefore(Refused):
    """This content has a good attempt with this seed: another process was first."""


def claim(db: sqlite3.Connection, experiment: str, **terms: Unpack[Terms]) -> Attempt:
    """A new queued attempt.

    Busy: one is queued or running. FinishedBefore: this content has a good attempt with this seed. Refused: the
    evaluation of one is still owed (`take_up`), the cap is reached, or the experiment is discarded or contaminated.
    BudgetSpent: nothing is left for it. NotFound: no such experiment.
    """
    with transaction(db):
        owner = experiments.get(db, experiment)
        _refuse_standing(owner)
        _refuse_second(db, experiment)
        if not terms.get("is_rerun", False):
            _refuse_finished(db, experiment, terms)
        if not terms.get("is_free", False):
            _refuse_beyond_cap(db, owner, seed=terms["seed"], cap=terms["cap"])
        row = db.execute(
            "INSERT INTO attempt (experiment, n, seed, token, state, executor, is_detached, controller, commit_sha,"
            " content_hash, created_at) SELECT :experiment, coalesce(max(n), 0) + 1, :seed, :token, 'queued',"
            " :executor, :is_detached, :controller, :commit, :content_hash, :now FROM attempt"
            " WHERE experiment = :experiment RETURNING *",
            {**terms, "experiment": experiment, "now": clock.now(), "budget": None},
        ).fetchone()
        row = _within_budget(db, row, terms.get("budget"), is_new=not terms.get("is_free", False))
        db.execute(
            "UPDATE experiment SET commit_sha = coalesce(:commit, commit_sha) WHERE id = :id",
            {"commit": terms["commit"], "id": experiment},
        )
        claimed = from_row(row)
        events.append(db, "claimed", experiment=experiment, attempt=claimed.n, data={"seed": claimed.seed})
        return claimed


def start(db: sqlite3.Connection, experiment: str, n: int, *, token: str, isolation: str) -> Attempt:
    """queued → running; asking again with the same token changes nothing. Refused: the token is not the live one."""
    with transaction(db):
        row = db.execute(
            "UPDATE attempt SET state = 'running', isolation = ?"
            " WHERE experiment = ? AND n = ? AND token = ? AND state = 'queued' RETURNING *",
            (isolation, experiment, n, token),
        ).fetchone()
        if row is not None:
            events.append(db, "started", experiment=experiment, attempt=n, data={"isolation": isolation})
            return from_row(row)
        found = get(db, experiment, n)
        if found.token == token and found.state == "running":
            return found
        raise Refused(f"attempt {n} of {experiment} is {standing_of(found)}, and not this process's to start")


class Bearer(TypedDict):
    """Who goes on with an attempt."""

    token: str
    controller: str
    budget: NotRequired[ledger.Wish | None]


def take_up(db: sqlite3.Connection, experiment: str, n: int, **bearer: Unpack[Bearer]) -> Attempt:
    """Give a trained attempt to a new bearer, who owes its evaluation; the old token is dead from here on.

    Busy: somebody has taken it up already. Refused: there is no evaluation owed. BudgetSpent: nothing is left for it.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE attempt SET state = 'running', token = ?, controller = ?"
            " WHERE experiment = ? AND n = ? AND state = 'trained' RETURNING *",
            (bearer["token"], bearer["controller"], experiment, n),
        ).fetchone()
        if row is not None:
            row = _within_budget(db, row, bearer.get("budget"))
            events.append(db, "taken_up", experiment=experiment, attempt=n)
            return from_row(row)
        found = get(db, experiment, n)
        if found.outcome is None:
            raise Busy(f"attempt {n} of {experiment} is {found.state}", hint=f"evo wait {experiment}")
        raise Refused(f"attempt {n} of {experiment} has ended ({found.outcome}): no evaluation is owed")


def resume(
    db: sqlite3.Connection, attempt: Attempt, *, is_detached: bool, is_planned: bool = False, **bearer: Unpack[Bearer]
) -> Attempt:
    """Give an interrupted attempt, as it was seen, to a new bearer, who trains on; the old token is dead from here on.

    One that `is_planned`, after a pause that was asked for, is none of the `MOST_RESUMES`.
    Busy: somebody else was first. Refused: it has ended. BudgetSpent: nothing is left for it.
    """
    with transaction(db):
        row = db.execute(
            "UPDATE attempt SET token = :token, controller = :controller, is_detached = :is_detached, failure = '',"
            " message = '', resumes = resumes + :spent WHERE experiment = :experiment AND n = :n AND token = :old"
            " AND outcome IS NULL AND failure = :interrupted AND resumes + :spent <= :most RETURNING *",
            {
                "token": bearer["token"], "controller": bearer["controller"], "is_detached": is_detached,
                "old": attempt.token, "experiment": attempt.experiment, "n": attempt.n, "interrupted": INTERRUPTED,
                "most": MOST_RESUMES, "spent": int(not is_planned),
            },
        ).fetchone()  # fmt: skip
        if row is not None:
            row = _within_budget(db, row, bearer.get("budget"))
            told = {"resumes": row["resumes"]}
            events.append(db, "resumed", experiment=attempt.experiment, attempt=attempt.n, data=told)
            return from_row(row)
        found = get(db, attempt.experiment, attempt.n)
        if found.outcome is None:
            raise Busy(f"{attempt.experiment} is running (attempt {found.n})", hint=f"evo wait {attempt.experiment}")
        raise Refused(f"attempt {found.n} of {attempt.experiment} has ended ({found.outcome}): nothing to go on with")


def live(db: sqlite3.Connection) -> list[Attempt]:
    """Attempts without an outcome (queued, running, trained), oldest first."""
    return [from_row(row) for row in db.execute("SELECT * FROM attempt WHERE outcome IS NULL ORDER BY id")]


def live_of(db: sqlite3.Connection, experiment: str) -> Attempt | None:
    row = db.execute("SELECT * FROM attempt WHERE experiment = ? AND outcome IS NULL", (experiment,)).fetchone()
    return None if row is None else from_row(row)


def of(db: sqlite3.Connection, experiment: str) -> list[Attempt]:
    """All attempts of an experiment, by number."""
    return [from_row(row) for row in db.execute("SELECT * FROM attempt WHERE experiment = ? ORDER BY n", (experiment,))]


def eval_seconds(db: sqlite3.Connection, *, epoch: str, but: str, limit: int = 50) -> list[float]:
    """How long the newest scored experiments of this epoch, save `but`, were evaluated when they first ran in it."""
    rows = db.execute(
        "SELECT a.eval_seconds FROM experiment e JOIN attempt a ON a.experiment = e.id AND a.n = e.primary_attempt"
        " WHERE e.epoch = ? AND e.id <> ? AND a.eval_seconds IS NOT NULL AND a.created_at >="
        " coalesce((SELECT max(at) FROM event WHERE kind = 'epoch'), '') ORDER BY e.number DESC LIMIT ?",
        (epoch, but, limit),
    )
    return [float(row["eval_seconds"]) for row in rows]


def get(db: sqlite3.Connection, experiment: str, n: int) -> Attempt:
    row = db.execute("SELECT * FROM attempt WHERE experiment = ? AND n = ?", (experiment, n)).fetchone()
    if row is None:
        raise NotFound(f"{experiment} has no attempt {n}", hint=f"evo show {experiment}")
    return from_row(row)


def by_token(db: sqlite3.Connection, token: str) -> Attempt | None:
    """The attempt whose live or last token this is."""
    row = db.execute("SELECT * FROM attempt WHERE token = ?", (token,)).fetchone()
    return None if row is None else from_row(row)


def with_weights(db: sqlite3.Connection, weights_hash: str) -> list[Attempt]:
    """The attempts that ended with these weights, oldest first."""
    rows = db.execute("SELECT * FROM attempt WHERE weights_hash = ? ORDER BY id", (weights_hash,))
    return [from_row(row) for row in rows]


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM attempt").fetchone()[0])


def scored(db: sqlite3.Connection, epoch: str) -> int:
    """How many runs of this epoch, whoever asked for them, have brought what counts there; the baseline's are none."""
    words = (
        "SELECT count(*) FROM attempt a JOIN experiment e ON e.id = a.experiment"
        " WHERE a.outcome = 'ok' AND e.epoch = ? AND e.number > 0 AND e.state <> 'contaminated'"
    )
    return int(db.execute(words, (epoch,)).fetchone()[0])


def _within_budget(
    db: sqlite3.Connection, row: sqlite3.Row, wish: ledger.Wish | None, *, is_new: bool = False
) -> sqlite3.Row:
    """The row with what it may take. Nothing is looked up where there is no cap, and was none."""
    if wish is None and row["wall_reserved"] is None:
        return row
    if wish is None:
        ledger.free_attempt(db, row["token"])
    else:
        ledger.reserve_attempt(db, row["token"], wish, is_new=is_new)
    found: sqlite3.Row = db.execute("SELECT * FROM attempt WHERE id = ?", (row["id"],)).fetchone()
    return found


def standing_of(attempt: Attempt) -> str:
    return attempt.outcome or attempt.state


def _refuse_standing(owner: Experiment) -> None:
    if owner.state in RETURNS:
        hint = f"evo restore {owner.id}" if owner.state == "discarded" else f"branch from {owner.parent}"
        raise Refused(f"{owner.id} is {owner.state} and is not run", hint=hint)


def _refuse_second(db: sqlite3.Connection, experiment: str) -> None:
    other = live_of(db, experiment)
    if other is None:
        return
    if other.state == "trained":
        raise Refused(
            f"attempt {other.n} of {experiment} is trained and its evaluation is owed",
            hint=f"evo run {experiment} or evo sync goes on at the evaluation",
        )
    if other.is_interrupted:
        raise Refused(
            f"attempt {other.n} of {experiment} was {other.message}", hint=f"evo run {experiment} goes on with it"
        )
    raise Busy(f"attempt {other.n} of {experiment} is {other.state}", hint=f"evo wait {experiment}")


def _refuse_finished(db: sqlite3.Connection, experiment: str, terms: Terms) -> None:
    done = db.execute(
        "SELECT n FROM attempt WHERE experiment = ? AND seed = ? AND content_hash = ? AND outcome = 'ok'",
        (experiment, terms["seed"], terms["content_hash"]),
    ).fetchone()
    if done is not None:
        raise FinishedBefore(f"attempt {done['n']} of {experiment} has run this", hint=f"evo show {experiment}")


def _refuse_beyond_cap(db: sqlite3.Connection, owner: Experiment, *, seed: int, cap: int) -> None:
    """Every attempt that started counts: `ok` and any failure; only `lost` does not."""
    used = db.execute(
        "SELECT count(*) FROM attempt WHERE experiment = ? AND seed = ? AND outcome <> 'lost'", (owner.id, seed)
    ).fetchone()[0]
    if used >= cap:
        way_out = "evo discard {0} --reason …" if owner.state != "committed" else "leave {0} as it is"
        raise Refused(
            f"{owner.id} has used {used} of {cap} attempts with seed {seed} (max-attempts)",
            hint=f"{way_out.format(owner.id)}, then a new branch: evo new --parent {owner.parent or owner.id} …",
        )


def from_row(row: sqlite3.Row) -> Attempt:
    return Attempt(
        experiment=row["experiment"],
        n=row["n"],
        seed=row["seed"],
        token=row["token"],
        state=row["state"],
        created_at=row["created_at"],
        outcome=row["outcome"],
        failure=row["failure"],
        message=row["message"],
        executor=row["executor"],
        detached=bool(row["is_detached"]),
        isolation=row["isolation"],
        train_seconds=row["train_seconds"],
        eval_seconds=row["eval_seconds"],
        gpu_seconds=row["gpu_seconds"],
        ended_at=row["ended_at"],
        commit=row["commit_sha"],
        content_hash=row["content_hash"],
        weights_hash=row["weights_hash"],
        is_noop=bool(row["is_noop"]),
        controller=row["controller"],
        resumes=row["resumes"],
        summary=json.loads(row["summary"]) if row["summary"] != "{}" else {},
        wall_reserved=row["wall_reserved"],
    )
