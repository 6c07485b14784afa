"""An open workspace: where it lies, what it is set to, its database.

Invariant: a session is opened for reading unless a use case writes; a reader changes no byte on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from evo.clock import parse_duration
from evo.config import BudgetConfig, EvoConfig
from evo.domain.score import Metric
from evo.lightdata import dataclass
from evo.store import db as database
from evo.store import ledger, meta
from evo.workspace.layout import Layout, find_root
from evo.workspace.settings import load_config, refresh


@dataclass(frozen=True)
class Session:
    layout: Layout
    config: EvoConfig
    db: sqlite3.Connection
    is_rehearsal: bool = False
    """The database is a copy in memory, and no file is to be written."""

    @property
    def epoch(self) -> str | None:
        """The eval_hash that scores belong to now; None before the first evaluation."""
        value: str | None = meta.get(self.db, "epoch")
        return value

    @property
    def heldout_hash(self) -> str:
        """Hash of the held-out items: what looks are counted against. Empty when nothing is sealed."""
        return str(meta.get(self.db, "heldout_hash", default=""))

    @property
    def metric(self) -> Metric:
        """Direction, range and unit of a score; the unit outside [0, 1] is the base's per-item SD."""
        return metric_of(self.config, unit=meta.get(self.db, "metric_unit", default=1.0))

    @property
    def caps(self) -> ledger.Caps | None:
        """What the workspace may spend; None where nothing is capped."""
        return caps_of(self.config.budget)


def caps_of(budget: BudgetConfig) -> ledger.Caps | None:
    wall = parse_duration(budget.wall_clock, name="budget.wall-clock") if budget.wall_clock else None
    caps = ledger.Caps(budget.gpu_seconds, wall, budget.attempts, budget.llm_tokens, budget.usd)
    return None if all(cap is None for cap in caps) else caps


def metric_of(config: EvoConfig, *, unit: float = 1.0) -> Metric:
    span = config.metric.range
    low, high = (None, None) if span == "none" else (float(span[0]), float(span[1]))
    return Metric(config.metric.direction, low, high, unit)


@dataclass(frozen=True)
class Settings:
    """A workspace's place and configuration, for what needs no database."""

    layout: Layout
    config: EvoConfig


def open_config(start: Path | None = None) -> Settings:
    layout = find_root(start or Path.cwd())
    return Settings(layout, load_config(layout))


@contextmanager
def open_session(start: Path | None = None, *, readonly: bool = False) -> Iterator[Session]:
    """The workspace around `start` (default: the working directory). NotAWorkspace when there is none."""
    layout = find_root(start or Path.cwd())
    config = load_config(layout) if readonly else refresh(layout)
    caps = caps_of(config.budget)
    with database.opened(layout.db, readonly=readonly) as db:
        try:
            yield Session(layout, config, db)
        finally:
            if caps is not None:
                with suppress(sqlite3.Error):  # of a database that is broken, something else tells
                    _left_of.set((caps, ledger.balance(db)))


@contextmanager
def open_rehearsal(start: Path | None = None) -> Iterator[Session]:
    """The workspace with a copy of its database in memory: what is written there is gone at the end."""
    layout = find_root(start or Path.cwd())
    config = load_config(layout)
    caps = caps_of(config.budget)
    with database.opened(layout.db, readonly=True) as real, database.copied(real) as db:
        try:
            yield Session(layout, config, db, is_rehearsal=True)
        finally:
            if caps is not None:
                _left_of.set((caps, ledger.balance(real)))


_left_of: ContextVar[tuple[ledger.Caps, ledger.Balance] | None] = ContextVar("left_of", default=None)
"""Caps, and what was spent when the last session ended: every reply says what is left. A server answers many at once,
each in a context of its own."""


def budget_left() -> dict[str, dict[str, float]] | None:
    """By name of each cap: `cap`, `spent`, `reserved`, `left`; None where no session of this reply knew a cap. Asked
    once: the next reply is another session's."""
    left = _left_of.get()
    if left is None:
        return None
    _left_of.set(None)
    caps, balance = left
    return balance.by_name(caps)
