"""`evo status`: how the tree stands, at a glance.

Invariant: the cost does not grow with the tree beyond counting an index. The best is the one that the last writer
found highest by posterior mean; where that one is out of date, the highest recorded dev gain; `best_by` says which.
"""

from __future__ import annotations

from collections.abc import Iterator

from evo.domain.experiment import ROOT
from evo.domain.views import EpochView, Hint, LooksView, Reply, StatusView
from evo.report.best import best_of, corrected
from evo.report.diagnose import firing
from evo.report.live import Live, live, loop_stand
from evo.report.pairs import score_of
from evo.session import Session, open_session
from evo.store import attempts, experiments, gate_rows, meta, nodes


def status_reply() -> Reply:
    with open_session(readonly=True) as session:
        now = live(session)
        view = status_view(session, now)
        return Reply(view, next=hints(view, now))


def status_view(session: Session, now: Live) -> StatusView:
    db = session.db
    states = nodes.counts(db)
    total = sum(states.values())
    best, best_by = best_of(session)
    committed = gate_rows.last_committed(db)
    return StatusView(
        experiments=total,
        states=states,
        best=best,
        committed=committed,
        looks=LooksView(gate_rows.looks_used(db, session.heldout_hash), session.config.gate.looks),
        running=now.running,
        stale=now.stale,
        name=session.config.name or session.layout.root.name,
        best_by=best_by,
        best_score=None if best is None else score_of(experiments.get(db, best)),
        corrected=None if best is None else corrected(session, experiments.get(db, best)),
        committed_score=score_of(experiments.get(db, committed)),
        base_score=score_of(experiments.get(db, ROOT)),
        attempts=attempts.count(db),
        trained=now.trained,
        interrupted=now.interrupted,
        diagnoses=firing(session),
        epoch=epoch_of(session),
        loop=loop_stand(session),
    )


def epoch_of(session: Session) -> EpochView | None:
    told = meta.get(session.db, "epoch_opened") or {"number": 1, "changes": [], "at": ""}
    return None if session.epoch is None else EpochView(session.epoch, **told)


def hints(view: StatusView, now: Live) -> tuple[Hint, ...]:
    """The most pressing step; `evo next` thinks longer."""
    return (next(_pressing(view, now)),)


def _pressing(view: StatusView, now: Live) -> Iterator[Hint]:
    if now.stale:
        yield Hint("evo recover", f"{now.stale[0].id} has gone quiet")
    for entry in now.running:
        if entry.stage == "finished":
            yield Hint("evo sync", f"{entry.id} has finished and waits to be taken in")
    for name in now.trained:
        yield Hint(f"evo run {name}", "it is trained; its evaluation is owed and costs no attempt")
    for name in now.interrupted:
        yield Hint(f"evo run {name}", "its training was cut off and goes on at its last checkpoint")
    for entry in now.running:
        yield Hint(f"evo wait {entry.id}", "it is running")
    if view.best is None:
        yield Hint(f"evo run {ROOT}", "the baseline has no score yet")
    yield Hint("evo next", "what to do now, and why")
