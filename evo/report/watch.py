"""What runs now, with what each run says of itself: the view of `evo watch`, and the live part of `evo show`.

Invariant: read-only, and bounded however much a run has logged.
"""

from __future__ import annotations

from evo.domain.attempt import Attempt
from evo.domain.run_views import EndedView, VitalsView, WatchedView, WatchView
from evo.domain.views import Hint, Reply, RunningView
from evo.report.live import live
from evo.report.pairs import score_of
from evo.runner.vitals import read_vitals
from evo.session import Session, open_session
from evo.store import experiments, nodes

MOST = 50


def watch_reply() -> Reply:
    with open_session(readonly=True) as session:
        view = watch_view(session)
    return Reply(view, tuple(Hint(f"evo run {name}", "its evaluation is owed") for name in view.trained))


def watch_view(session: Session) -> WatchView:
    now = live(session)
    running = [watched(session, view) for view in now.running[:MOST]]
    quiet = [watched(session, view, stage="quiet") for view in now.stale[: MOST - len(running)]]
    name = session.config.name or session.layout.root.name
    return WatchView(name, sum(nodes.counts(session.db).values()), running + quiet, now.trained[:MOST])


def watched(session: Session, view: RunningView, *, stage: str = "") -> WatchedView:
    experiment = experiments.get(session.db, view.id)
    vitals = read_vitals(session.layout.attempt(view.id, view.attempt))
    return WatchedView(view.id, view.attempt, stage or view.stage, view.seconds, experiment.hypothesis, vitals)


def live_vitals(session: Session, tries: list[Attempt]) -> VitalsView | None:
    """Of the attempt that is at it now; None where none is."""
    busy = next((attempt for attempt in reversed(tries) if attempt.state in ("queued", "running")), None)
    return None if busy is None else read_vitals(session.layout.attempt(busy.experiment, busy.n))


def ended_view(session: Session, identifier: str) -> EndedView:
    """What became of an experiment that was at work a moment ago."""
    experiment = experiments.get(session.db, identifier)
    return EndedView(experiment.id, "ended", experiment.state, score_of(experiment))
