"""A loop as its views show it."""

from __future__ import annotations

from typing import Any

from evo.beliefs import recall_beliefs
from evo.domain.experiment import ROOT
from evo.domain.loop import Loop, Pick
from evo.domain.loop_views import LoopEventView, LoopPickView, LoopView
from evo.domain.views import Hint, Reply, ScoreView
from evo.errors import Busy
from evo.session import Session
from evo.store import experiments, gate_rows, loops

SHOWN = 50


def event_view(event: str, loop: Loop, message: str, pick: Pick | None) -> LoopEventView:
    return LoopEventView(event, loop.id, message, None if pick is None else pick_view(pick))


def pick_view(pick: Pick) -> LoopPickView:
    told: dict[str, Any] = pick.told
    return LoopPickView(
        k=pick.k,
        kind=pick.kind,
        experiment=pick.experiment,
        hypothesis=pick.plan.hypothesis,
        why=pick.plan.why,
        outcome=pick.outcome,
        score=told.get("score"),
        gain=told.get("gain"),
        gain_se=told.get("gain_se"),
        is_best=bool(told.get("is_best")),
        expected_of_draws=told.get("expected_of_draws"),
    )


def loop_reply(session: Session, loop: Loop) -> Reply:
    view = loop_view(session, loop)
    steps = [Hint(f"evo show {view.best}", "the best by posterior mean"), Hint("evo next", "how to go on")]
    if view.status == "completed":
        return Reply(view, tuple(steps))
    steps.insert(0, Hint("evo loop", "goes on where it stopped"))
    return Reply(view, tuple(steps), failure=Busy(f"loop {view.id} is not at its end", hint="evo loop goes on"))


def loop_view(session: Session, loop: Loop) -> LoopView:
    picks = loops.picks(session.db, loop.id)
    has_base = experiments.get(session.db, ROOT).score_mean is not None
    best = experiments.get(session.db, recall_beliefs(session).best if has_base else ROOT)
    scored = [pick for pick in picks if pick.outcome == "scored"]
    latest = max(scored, key=lambda pick: pick.told.get("runs", 0), default=None)
    score = None
    if best.score_mean is not None and best.score_se is not None and best.score_n is not None:
        score = ScoreView(best.score_mean, best.score_se, best.score_n)
    return LoopView(
        id=loop.id,
        status=loop.status,
        reason=loop.reason,
        experiments=sum(
            pick.kind != "seed" and pick.experiment is not None and pick.outcome != "refused" for pick in picks
        ),
        runs=sum(not pick.is_open and pick.outcome != "refused" for pick in picks),
        best=best.id,
        score=score,
        gain=0.0 if best.id == ROOT else best.gain,
        gain_se=None if best.id == ROOT or best.gain_var is None else best.gain_var**0.5,
        expected_of_draws=None if latest is None else latest.told.get("expected_of_draws"),
        committed=gate_rows.last_committed(session.db),
        picks=[pick_view(pick) for pick in picks[-SHOWN:]],
        truncated=len(picks) > SHOWN,
    )
