"""Guards in `show` and `compare`: what their dev items say, and whether that is harm.

Invariant: read-only and dev only; a guard that was not measured, or that tells nothing, says so.
"""

from __future__ import annotations

from evo.config import GuardConfig
from evo.domain.experiment import ROOT, Experiment
from evo.domain.guard_views import GuardView
from evo.domain.views import IntervalView
from evo.gate.harm import harm
from evo.gate.statistics import score_error
from evo.guarding import is_silent, means, noise_of, raw, sighted
from evo.session import Session
from evo.store import meta


def guard_views(session: Session, experiment: Experiment, *, against: Experiment | None = None) -> list[GuardView]:
    """Each guard of evo.yaml. `delta` is the difference to exp_0000, or to `against`; `holds` is always against
    exp_0000."""
    return [_view(session, guard, experiment, against) for guard in session.config.guards]


def _view(session: Session, guard: GuardConfig, experiment: Experiment, against: Experiment | None) -> GuardView:
    known = meta.get(session.db, "guards", default={})
    found = list(means(session, experiment, guard_hash=known.get(guard.name, "")).values())
    is_required = guard.mode == "required"
    if not found:
        return GuardView(guard.name, required=is_required, margin=guard.margin, note="not measured")
    seen = sighted(session, guard, experiment)
    shown = seen if against is None else sighted(session, guard, experiment, base=against.id)
    noise = noise_of(session, experiment)
    said = None if shown is None else harm(shown.ours, shown.base, noise).shown
    silent = seen is not None and is_silent(session, guard, seen.base)
    is_judged = seen is not None and not silent and experiment.id != ROOT
    return GuardView(
        name=guard.name,
        mean=sum(found) / len(found),
        se=score_error(found),
        n=len(found),
        delta=None
        if said is None or (against is None and experiment.id == ROOT)
        else _interval(session, guard, said.mean, said.low, said.high),
        holds=harm(seen.ours, seen.base, noise).holds(guard.margin) if seen is not None and is_judged else None,
        required=is_required,
        margin=guard.margin,
        note="uninformative: the base is at the floor" if silent else "" if seen else "the base is not measured",
    )


def _interval(session: Session, guard: GuardConfig, mean: float, low: float, high: float) -> IntervalView:
    """In the guard's own units; ends change places where less is better."""
    ends = sorted((raw(session, guard, low), raw(session, guard, high)))
    return IntervalView(raw(session, guard, mean), *ends)
