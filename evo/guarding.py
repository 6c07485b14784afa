"""What guards' dev results say of an experiment beside the base: for the views, and for the findings.

Invariant: only results under one guard_hash are set against each other, and only dev's.
"""

from __future__ import annotations

from typing import NamedTuple

from evo.config import GuardConfig
from evo.domain.experiment import ROOT, Experiment
from evo.gate.harm import tells_nothing
from evo.gate.noise import sigma_run
from evo.gate.statistics import RunNoise
from evo.session import Session
from evo.store import experiments, guards, meta


class Sighted(NamedTuple):
    """Direction-adjusted dev results, in one item order."""

    ours: list[float]
    base: list[float]


def sighted(session: Session, guard: GuardConfig, experiment: Experiment, *, base: str = ROOT) -> Sighted | None:
    """None where one of them was not measured under the guard's present hash."""
    known = meta.get(session.db, "guards", default={})
    theirs = means(session, experiments.get(session.db, base), guard_hash=known.get(guard.name, ""))
    ours = means(session, experiment, guard_hash=known.get(guard.name, ""))
    if not theirs or theirs.keys() != ours.keys():
        return None
    items = list(theirs)
    return Sighted(*([adjusted(session, guard, side[item]) for item in items] for side in (ours, theirs)))


def means(session: Session, experiment: Experiment, *, guard_hash: str) -> dict[str, float]:
    return guards.means(session.db, experiment.id, experiment.primary_attempt, guard_hash=guard_hash)


def is_own_measure(guard: GuardConfig) -> bool:
    """It is graded by the workspace's own evaluation, in the workspace's metric; others from 0 to 1, more is better."""
    return not guard.scorer and not guard.command


def adjusted(session: Session, guard: GuardConfig, value: float) -> float:
    return session.metric.adjusted(value) if is_own_measure(guard) else value


def raw(session: Session, guard: GuardConfig, value: float) -> float:
    """An adjusted number in the guard's own units again."""
    return session.metric.sign * value * session.metric.unit if is_own_measure(guard) else value


def floor_of(session: Session, guard: GuardConfig) -> float | None:
    """The lowest adjusted score; None where the range is open."""
    if not is_own_measure(guard):
        return 0.0
    metric = session.metric
    worst = metric.low if metric.sign > 0 else metric.high
    return None if worst is None else metric.adjusted(worst)


def is_silent(session: Session, guard: GuardConfig, base: list[float]) -> bool:
    """The base is so near to the floor that the guard tells nothing."""
    return tells_nothing(base, margin=guard.margin, floor=floor_of(session, guard))


def noise_of(session: Session, experiment: Experiment) -> RunNoise:
    return RunNoise(sigma_run(session.config.gate.sigma_run, experiment.technique), 1, 1)
