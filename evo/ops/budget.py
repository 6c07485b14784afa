"""Caps on what a workspace may spend, on the way of everything that takes time.

Invariant: nothing starts without a reservation where there is a cap, and nothing that has one runs past it: the limits
of its processes are cut to what is left, and a margin for ending them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from evo.clock import parse_duration
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT
from evo.domain.job import Job, ProcessId
from evo.lightdata import replace
from evo.runner import process
from evo.session import Session
from evo.store import forecasts, ledger

if TYPE_CHECKING:
    from evo.ops.runs.launch import RunOptions, Work

MARGIN_S = 0.1
"""How late a limit is noticed, at most."""


class Limits(NamedTuple):
    """`most_s`: training and evaluation together; `train_s`: training alone, so that its evaluation is still paid."""

    most_s: float
    train_s: float
    grace_s: float


def charge_orphans(session: Session) -> list[str]:
    """Charge what processes that are gone had reserved, and say so; else nobody would, and it were lost to all."""
    return [_told(orphan) for orphan in ledger.charge_orphans(session.db, _is_gone)]


def _told(orphan: ledger.Orphan) -> str:
    amounts = [f"{value:,.10g} {ledger.NAMES[name]}" for name, value in orphan.came_to._asdict().items() if value]
    came_to = (
        f"is charged with {' and '.join(amounts)}, the most that it can have come to" if amounts else "cost nothing"
    )
    return f"a process ended before it said what it had spent: {orphan.what} {came_to}"


def _is_gone(fields: Mapping[str, Any]) -> bool | None:
    """None of a process of another machine."""
    holder = ProcessId(**fields)
    return not process.is_alive(holder) if process.is_here(holder) else None


def wish_of(session: Session, work: Work, options: RunOptions) -> ledger.Wish | None:
    """What an attempt asks the budget for; None where nothing is capped."""
    caps = session.caps
    if caps is None:
        return None
    charge_orphans(session)
    limits = [parse_duration(session.config.eval.timeout, name="eval.timeout")]
    if work.experiment.id != ROOT and not options.evaluate_only:
        limits.append(options.timeout_s)
    whole = [limit for limit in limits if limit is not None]
    return ledger.Wish(caps, work.content.recipe.resources.gpus, sum(whole) if len(whole) == len(limits) else None)


def within(session: Session, attempt: Attempt, job: Job) -> Job:
    """`job` with its limits cut to what is left."""
    limits = limits_of(session, attempt)
    if limits is None:
        return job
    train = job.train
    if train is not None:
        train = replace(train, timeout_s=min(train.timeout_s or limits.train_s, limits.train_s))
    return replace(job, train=train, most_s=limits.most_s, grace_s=limits.grace_s)


def limits_of(session: Session, attempt: Attempt) -> Limits | None:
    """How long the processes of this attempt may run; None where no budget says so."""
    if attempt.wall_reserved is None:
        return None
    most_s, grace_s = _held(attempt.wall_reserved, session.config.run.grace_s)
    evaluation = 1.5 * forecasts.evaluation_s(session.db) + MARGIN_S
    return Limits(most_s, max(most_s - evaluation, most_s / 2), grace_s)


def _held(reserved_s: float, grace_s: float) -> tuple[float, float]:
    """Of what is reserved: how long it may run, and how long it may then take to end."""
    grace = min(grace_s, reserved_s / 10)
    return max(0.01, reserved_s - grace - MARGIN_S), grace


@contextmanager
def charged(session: Session, what: str, *, gpus: int = 0, most_s: float | None = None) -> Iterator[Limits | None]:
    """Around something that is no attempt and takes time: reserved before, charged after. BudgetSpent.

    Yields its limits; None where nothing is capped.
    """
    caps = session.caps
    if caps is None or (caps.wall_seconds is None and not (gpus and caps.gpu_seconds is not None)):
        yield None
        return
    charge_orphans(session)
    wish = ledger.Wish(caps, gpus, most_s)
    entry, seconds = ledger.reserve_time(session.db, what, wish, process=vars(process.current()))
    began = time.monotonic()
    try:
        held = None if seconds is None else _held(seconds, session.config.run.grace_s)
        yield None if held is None else Limits(held[0], held[0], held[1])
    finally:
        took = min(time.monotonic() - began, seconds or float("inf"))
        ledger.charge(session.db, entry, ledger.Amounts(gpu_seconds=took * gpus, wall_seconds=took))
