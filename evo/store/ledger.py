"""What the workspace has spent, what is reserved for what runs now, and the caps that hold both.

Invariant: what is reserved is taken off what is left in the transaction that asks for it, so two that come at once
never share the last of it; a reservation is charged once, and what nobody measured is charged as the most that it can
have been. Attempts carry their own numbers; all else (trials, evaluations apart, LLM calls) is a row of `ledger`, and
`meta` names the process that holds it while it is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from evo import clock
from evo.domain.experiment import DECLARED, ROOT
from evo.errors import BudgetSpent, NotFound, UsageError
from evo.store import events, meta
from evo.store.db import transaction

HOLDERS = "holders"
"""Id of each open reservation -> `Holder` as JSON."""
FORGOTTEN_S = 86400.0
"""So long after it should have ended, a reservation is dead whose process nobody can look for."""
LEAST_S = 0.5
"""Less time than this is none: nothing starts and ends in it."""
NAMES = {
    "gpu_seconds": "GPU-seconds",
    "wall_seconds": "seconds of run time",
    "attempts": "attempts",
    "llm_tokens": "LLM tokens",
    "usd": "US dollars",
}
KEYS = {"wall_seconds": "budget.wall-clock"} | {
    name: f"budget.{name.replace('_', '-')}" for name in ("gpu_seconds", "attempts", "llm_tokens", "usd")
}


class Amounts(NamedTuple):
    """`wall_seconds`: time that trainings and evaluations take, summed; parallel ones count each."""

    gpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    attempts: int = 0
    llm_tokens: int = 0
    usd: float = 0.0


class Caps(NamedTuple):
    """None: no cap."""

    gpu_seconds: float | None = None
    wall_seconds: float | None = None
    attempts: int | None = None
    llm_tokens: int | None = None
    usd: float | None = None


class Wish(NamedTuple):
    """What an attempt asks for. `most_s`: the longest that its own timeouts let it run; None: for ever."""

    caps: Caps
    gpus: int = 0
    most_s: float | None = None


class Holder(NamedTuple):
    """`process`: the fields of a `ProcessId`. `is_asked`: what was reserved for has been asked for, and may cost."""

    process: dict[str, Any]
    is_asked: bool


class Balance(NamedTuple):
    spent: Amounts
    reserved: Amounts
    unbound: list[str]
    """Experiments whose attempt at work was claimed before there was a cap on time, and is not held by it."""

    def left(self, caps: Caps) -> dict[str, float]:
        """What is left of each cap, never below nothing."""
        found = {}
        for name, cap in caps._asdict().items():
            if cap is not None:
                found[name] = max(0.0, cap - getattr(self.spent, name) - getattr(self.reserved, name))
        return found

    def by_name(self, caps: Caps) -> dict[str, dict[str, float]]:
        """Of each cap: `cap`, `spent`, `reserved`, `left`."""
        left = self.left(caps)
        return {
            name: {
                "cap": getattr(caps, name),
                "spent": round(getattr(self.spent, name), 3),
                "reserved": round(getattr(self.reserved, name), 3),
                "left": round(left[name], 3),
            }
            for name in left
        }


def balance(db: sqlite3.Connection) -> Balance:
    spent = db.execute(
        "SELECT coalesce(sum(a.gpu_seconds), 0) gpu_seconds,"
        " coalesce(sum(coalesce(train_seconds, 0) + coalesce(eval_seconds, 0)), 0) wall_seconds,"
        " coalesce(sum(outcome IS NOT 'lost' AND experiment <> ? AND e.origin <> ?), 0) attempts"
        " FROM attempt a JOIN experiment e ON e.id = a.experiment",
        (ROOT, DECLARED),
    ).fetchone()
    rows = db.execute(
        "SELECT charged_at IS NULL is_open, sum(gpu_seconds) gpu_seconds, sum(wall_seconds) wall_seconds,"
        " sum(llm_tokens) llm_tokens, sum(usd) usd FROM ledger GROUP BY 1"
    )
    entries = {bool(row["is_open"]): row for row in rows}
    at_work = db.execute(f"SELECT * FROM attempt WHERE {_AT_WORK}").fetchall()
    unbound = [row["experiment"] for row in at_work if row["wall_reserved"] is None]
    held = Amounts(sum(row["gpu_reserved"] or 0.0 for row in at_work), sum(r["wall_reserved"] or 0.0 for r in at_work))
    measured = Amounts(spent["gpu_seconds"], spent["wall_seconds"], spent["attempts"])
    return Balance(_plus(measured, entries.get(False)), _plus(held, entries.get(True)), unbound)


_AT_WORK = "outcome IS NULL AND state <> 'trained' AND failure <> 'interrupted'"


def _plus(amounts: Amounts, row: sqlite3.Row | None) -> Amounts:
    if row is None:
        return amounts
    return amounts._replace(
        gpu_seconds=amounts.gpu_seconds + row["gpu_seconds"],
        wall_seconds=amounts.wall_seconds + row["wall_seconds"],
        llm_tokens=row["llm_tokens"],
        usd=row["usd"],
    )


def reserve(db: sqlite3.Connection, what: str, wanted: Amounts, *, caps: Caps, process: Mapping[str, Any]) -> int:
    """The id of a reservation of exactly `wanted`, to be charged with what it came to. BudgetSpent where it does not
    fit; nothing is written then. `process`, the one that will charge it, says with `ask` when it begins to cost."""
    with transaction(db):
        now = balance(db)
        left = now.left(caps)
        for name, amount in left.items():
            if getattr(wanted, name) > amount * (1 + 1e-12):
                raise _spent(name, caps, now, wanted=getattr(wanted, name))
        return _entry(db, what, wanted, Holder(dict(process), is_asked=False))


def ask(db: sqlite3.Connection, id: int, *, is_asked: bool = True) -> None:
    """From now on it may cost what is reserved, whatever becomes of this process; or, `is_asked` False: not any more,
    for what was asked for was refused."""
    with transaction(db):
        holders = _holders(db)
        if id in holders:
            _keep(db, holders | {id: holders[id]._replace(is_asked=is_asked)})


def reserve_time(
    db: sqlite3.Connection, what: str, wish: Wish, *, process: Mapping[str, Any]
) -> tuple[int, float | None]:
    """A reservation of run time for something that is no attempt, and the seconds that it may take (None: as it likes).
    BudgetSpent: nothing is left."""
    with transaction(db):
        seconds = _seconds(balance(db), wish)
        taken = seconds or 0.0
        amounts = Amounts(gpu_seconds=taken * wish.gpus, wall_seconds=taken)
        return _entry(db, what, amounts, Holder(dict(process), is_asked=True)), seconds


def _entry(db: sqlite3.Connection, what: str, amounts: Amounts, holder: Holder) -> int:
    row = db.execute(
        "INSERT INTO ledger (what, gpu_seconds, wall_seconds, llm_tokens, usd, created_at) VALUES (?, ?, ?, ?, ?, ?)"
        " RETURNING id",
        (what, amounts.gpu_seconds, amounts.wall_seconds, amounts.llm_tokens, amounts.usd, clock.now()),
    ).fetchone()
    _keep(db, _holders(db) | {row["id"]: holder})
    return int(row["id"])


def _holders(db: sqlite3.Connection) -> dict[int, Holder]:
    kept: dict[str, list[Any]] = meta.get(db, HOLDERS, default={})
    return {int(id): Holder(*fields) for id, fields in kept.items()}


def _keep(db: sqlite3.Connection, holders: Mapping[int, Holder]) -> None:
    meta.set(db, HOLDERS, {str(id): list(holder) for id, holder in holders.items()})


def charge(db: sqlite3.Connection, id: int, came_to: Amounts) -> None:
    """What a reservation came to, measured: it takes the place of what was reserved, and stands.

    NotFound: no such reservation. UsageError: it was charged before.
    """
    with transaction(db):
        row = db.execute("SELECT what, charged_at FROM ledger WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no reservation {id}", hint="evo budget")
        if row["charged_at"] is not None:
            raise UsageError(f"reservation {id} ({row['what']}) was charged at {row['charged_at']}")
        _charge(db, id, row["what"], came_to)


def _charge(db: sqlite3.Connection, id: int, what: str, came_to: Amounts, *, why: str = "") -> None:
    db.execute(
        "UPDATE ledger SET gpu_seconds = ?, wall_seconds = ?, llm_tokens = ?, usd = ?, charged_at = ? WHERE id = ?",
        (came_to.gpu_seconds, came_to.wall_seconds, came_to.llm_tokens, came_to.usd, clock.now(), id),
    )
    _keep(db, {other: holder for other, holder in _holders(db).items() if other != id})
    told: dict[str, Any] = {name: value for name, value in came_to._asdict().items() if value}
    events.append(db, "charged", data={"what": what, **told} | ({"why": why} if why else {}))


class Orphan(NamedTuple):
    """A reservation that was charged for a process that is gone."""

    what: str
    came_to: Amounts


def charge_orphans(db: sqlite3.Connection, is_gone: Callable[[Mapping[str, Any]], bool | None]) -> list[Orphan]:
    """Charge the reservations whose process is gone with the most that they can have come to: of run time the time
    since, else all where it was asked for, and nothing where it was not. `is_gone` of a process; None: nobody knows."""
    if db.execute("SELECT 1 FROM ledger WHERE charged_at IS NULL").fetchone() is None:
        return []
    found = []
    with transaction(db):
        holders = _holders(db)
        for row in db.execute("SELECT * FROM ledger WHERE charged_at IS NULL ORDER BY id").fetchall():
            holder, age_s = holders.get(row["id"]), clock.seconds_since(row["created_at"])
            is_over = is_gone(holder.process) if holder is not None else None
            if is_over is None:
                is_over = age_s > row["wall_seconds"] + FORGOTTEN_S
            if is_over:
                orphan = Orphan(row["what"], _at_most(row, holder, age_s))
                _charge(db, row["id"], *orphan, why="its process is gone")
                found.append(orphan)
    return found


def _at_most(row: sqlite3.Row, holder: Holder | None, age_s: float) -> Amounts:
    if holder is not None and not holder.is_asked:
        return Amounts()
    share = min(1.0, max(0.0, age_s) / row["wall_seconds"]) if row["wall_seconds"] else 1.0
    return Amounts(row["gpu_seconds"] * share, row["wall_seconds"] * share, 0, row["llm_tokens"], row["usd"])


def reserve_attempt(db: sqlite3.Connection, token: str, wish: Wish, *, is_new: bool) -> None:
    """In the caller's transaction: hold what the attempt with this token may take. BudgetSpent: it may not start."""
    free_attempt(db, token)
    now = balance(db)
    if is_new and wish.caps.attempts is not None and now.spent.attempts > wish.caps.attempts:
        raise _spent("attempts", wish.caps, now, but_one=True)
    mine = db.execute("SELECT experiment FROM attempt WHERE token = ?", (token,)).fetchone()["experiment"]
    seconds = _seconds(now._replace(unbound=[name for name in now.unbound if name != mine]), wish)
    if seconds is not None:
        db.execute(
            "UPDATE attempt SET wall_reserved = ?, gpu_reserved = ? WHERE token = ?",
            (seconds, seconds * wish.gpus, token),
        )


def free_attempt(db: sqlite3.Connection, token: str) -> None:
    """In the caller's transaction: what it was held to before holds no more."""
    _keep_former_evaluation(db, token)
    db.execute("UPDATE attempt SET wall_reserved = NULL, gpu_reserved = NULL WHERE token = ?", (token,))


def _keep_former_evaluation(db: sqlite3.Connection, token: str) -> None:
    """An evaluation that is made again takes the place of one that failed: what that one took goes to the ledger."""
    db.execute(
        "INSERT INTO ledger (what, wall_seconds, created_at, charged_at)"
        " SELECT 'failed evaluation', eval_seconds, created_at, ? FROM attempt WHERE token = ? AND eval_seconds > 0",
        (clock.now(), token),
    )
    db.execute("UPDATE attempt SET eval_seconds = NULL WHERE token = ?", (token,))


def _seconds(now: Balance, wish: Wish) -> float | None:
    """How long something may run: its own limit or what is left, whichever is less."""
    caps, left = wish.caps, now.left(wish.caps)
    limits = [] if wish.most_s is None else [wish.most_s]
    per_second = {"wall_seconds": 1, "gpu_seconds": wish.gpus}
    for name, rate in per_second.items():
        if rate and name in left:
            if now.unbound:
                raise BudgetSpent(
                    f"{now.unbound[0]} was started before there was a cap on {NAMES[name]} and is not held by it",
                    hint=f"evo wait {now.unbound[0]}, then again",
                )
            if left[name] / rate < LEAST_S:
                raise _spent(name, caps, now)
            limits.append(left[name] / rate)
    return min(limits) if limits else None


def charge_unmeasured(db: sqlite3.Connection, attempt: int) -> None:
    """In the caller's transaction, when the attempt of this row id has ended and nobody has measured it: charge what it
    can have taken at most, its reservation or the time since it was claimed. Without a reservation, nothing."""
    db.execute(
        "UPDATE attempt SET gpu_seconds = gpu_seconds + coalesce(gpu_reserved, 0) * share,"
        " train_seconds = coalesce(train_seconds, 0) + wall_reserved * share"
        " FROM (SELECT min(1, max(0, (julianday(?) - julianday(created_at)) * 86400 / wall_reserved)) share"
        " FROM attempt WHERE id = ? AND wall_reserved > 0) WHERE id = ?",
        (clock.now(), attempt, attempt),
    )


def _spent(name: str, caps: Caps, now: Balance, *, wanted: float | None = None, but_one: bool = False) -> BudgetSpent:
    cap, spent = getattr(caps, name), getattr(now.spent, name) - but_one
    held = getattr(now.reserved, name)
    said = f"{spent:g} of {cap:g} {NAMES[name]} are spent"
    said += f", {held:g} reserved for what runs" if held else ""
    said += f", and {wanted:g} are wanted" if wanted is not None else ""
    way_out = "evo wait gives back what is not used" if held else f"evo config set {KEYS[name]} N raises the cap"
    return BudgetSpent(said, hint=f"{way_out}; evo budget shows all of it")
