"""What ideas promised beside what came of them, by brief.

Invariant: an outcome is the paired dev difference to the parent that the idea was taken below; an interval covers it
where they agree within the error of that measurement. What came out below what the idea allows is refuted, for good.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from evo.domain.idea import BRIEFS, Idea, RecordedIdea
from evo.domain.idea_views import BriefCalibration, CalibrationView, OutcomeView
from evo.ideas.effects import Z, bar, is_refuted
from evo.ideas.facts import Facts
from evo.ops.ideas.facts import facts_of
from evo.session import Session
from evo.store import ideas as store


class Outcome(NamedTuple):
    """In the metric's units, positive is better."""

    recorded: RecordedIdea
    observed: float
    se: float

    @property
    def idea(self) -> Idea:
        return self.recorded.idea

    @property
    def is_covered(self) -> bool:
        low, high, gain = self.idea.low or 0.0, self.idea.high or 0.0, self.idea.gain or 0.0
        apart = self.observed - gain
        reach = high - gain if apart > 0 else gain - low  # an end of the metric's range cuts one side short
        return abs(apart) <= math.hypot(reach, Z * self.se)


def outcomes(session: Session, facts: Facts) -> list[Outcome]:
    """Of taken ideas that predicted something and whose experiment has a score beside its parent's."""
    found = []
    for one in store.taken(session.db):
        node = facts.nodes.get(one.experiment or "")
        if node is not None and node.delta is not None and one.idea.gain is not None:
            unit = facts.task.unit
            found.append(Outcome(one, node.delta * unit, node.delta_se * unit))
    return found


def settle_outcomes(session: Session, facts: Facts | None = None) -> list[RecordedIdea]:
    """Move ideas whose outcome lies below what they allow to refuted; those that were moved now."""
    moved = []
    for one in outcomes(session, facts or facts_of(session)):
        high = one.observed + Z * one.se
        if one.recorded.state == "taken" and is_refuted(one.idea.low, observed_high=high):
            reason = f"{one.observed:+.3f}, 95 % interval up to {high:+.3f}: below {bar(one.idea.low):+.3f}"
            moved.append(store.move(session.db, one.recorded.id, "refuted", reason=reason))
    return moved


def calibration(session: Session, facts: Facts | None = None, *, limit: int = 50) -> CalibrationView:
    known = outcomes(session, facts or facts_of(session))
    parts = [part for brief in BRIEFS if (part := _of_brief(brief, [o for o in known if o.idea.brief == brief]))]
    every = _of_brief("all", known)
    rows = [
        OutcomeView(
            o.recorded.id, o.recorded.experiment or "", o.idea.brief, o.idea.gain or 0.0, o.idea.low or 0.0,
            o.idea.high or 0.0, o.observed, Z * o.se, o.is_covered, o.recorded.state,
        )
        for o in known[-limit:]
    ]  # fmt: skip
    return CalibrationView([*parts, *([every] if every else [])], rows, truncated=len(known) > limit)


def _of_brief(brief: str, known: list[Outcome]) -> BriefCalibration | None:
    n = len(known)
    if not n:
        return None
    errors = [o.observed - (o.idea.gain or 0.0) for o in known]
    return BriefCalibration(
        brief=brief,
        n=n,
        predicted=math.fsum(o.idea.gain or 0.0 for o in known) / n,
        observed=math.fsum(o.observed for o in known) / n,
        rmse=math.sqrt(math.fsum(error * error for error in errors) / n),
        coverage=sum(o.is_covered for o in known) / n,
        refuted=sum(o.recorded.state == "refuted" for o in known),
    )
