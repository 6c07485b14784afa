"""`evo brief`: one bounded page of all that whoever drives the tree must know, read first and whenever memory was cut.

Invariant: at most `MOST_BYTES` as JSON, whatever the size of the tree; the constraints and open directions are the
person's own words, and what had to be left out is named.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from evo.beliefs import pick_parents, recall_beliefs
from evo.domain.agent_views import BriefView, DirectionView, FailureClassView, IdeaView, NodeView
from evo.domain.experiment import ROOT, Experiment
from evo.domain.views import Hint, PickView, Reply, as_data
from evo.lightdata import replace
from evo.report.best import best_of
from evo.report.budget import caps_of
from evo.report.lessons import lesson_lines
from evo.report.live import live
from evo.report.methodlog import newest_lines
from evo.report.next import steps_of
from evo.report.pairs import score_of
from evo.report.show import finding_view
from evo.report.stage import stage_of
from evo.session import Session, open_session
from evo.store import directions, experiments, findings, forecasts, gate_rows, listings, nodes
from evo.workspace.mission import read_mission

MOST_BYTES = 6000
MOST_GOAL, MOST_CONSTRAINTS, MOST_DIRECTION = 700, 2000, 400
SHORTEST_FIRST = ("method_log", "lessons", "frontier", "failures", "findings", "ideas", "running", "next", "directions")
"""Lists that lose their last entries when the page is too long, the most dispensable first."""


def brief_reply() -> Reply:
    with open_session(readonly=True) as session:
        view, is_written = brief_view(session), read_mission(session.layout.root).is_written
    unwritten = "mission.md is still the template's: say the goal, and the constraints that must hold"
    return Reply(view, next=tuple(view.next), warnings=() if is_written else (unwritten,))


def brief_view(session: Session) -> BriefView:
    db, mission, now = session.db, read_mission(session.layout.root), live(session)
    steps = list(islice(steps_of(session), 5))
    best, _ = best_of(session)
    log = newest_lines(session, limit=12, constraints=mission.constraints)
    found = findings.open_ones(db, limit=6)
    waiting = ideas_waiting(session, limit=5)
    view = BriefView(
        name=session.config.name or session.layout.root.name,
        stage=stage_of(session),
        goal=_cut(mission.goal, MOST_GOAL),
        constraints=_cut(mission.constraints, MOST_CONSTRAINTS),
        directions=[direction_view(one) for one in directions.open_ones(db, limit=6)],
        budget=[cap for cap in caps_of(session) if cap.cap is not None],
        experiments=sum(nodes.counts(db).values()),
        states={state: n for state, n in nodes.counts(db).items() if n},
        best=None if best is None else node(experiments.get(db, best)),
        committed=node(experiments.get(db, gate_rows.last_committed(db))),
        base=node(experiments.get(db, ROOT)),
        looks_left=max(0, session.config.gate.looks - gate_rows.looks_used(db, session.heldout_hash)),
        running=[entry.id for entry in now.running + now.stale][:8],
        frontier=frontier(session, k=4),
        failures=[FailureClassView(*one[:3], _cut(one.message, 160)) for one in forecasts.failure_classes(db, limit=4)],
        findings=[replace(finding_view(one), evidence={}, message=_cut(one.finding.message, 200)) for one in found],
        ideas=waiting,
        ideas_waiting=listings.open_ideas(db),
        method_log=log.lines,
        next=[Hint(step.cmd, _cut(step.why, 160)) for step in steps],
        lessons=lesson_lines(session, best or ROOT, limit=6),
        truncated=[*(["method_log"] if log.truncated else []), *_too_long(mission.goal, mission.constraints)],
    )
    return bounded(view)


def bounded(view: BriefView) -> BriefView:
    """`view` within `MOST_BYTES`: lists lose entries, the most dispensable list first."""
    for name in SHORTEST_FIRST:
        while size_of(view) > MOST_BYTES and len(getattr(view, name)) > (1 if name in ("next", "directions") else 0):
            kept = getattr(view, name)
            shorter = kept[1:] if name == "method_log" else kept[:-1]
            truncated = view.truncated if name in view.truncated else [*view.truncated, name]
            view = replace(view, **{name: shorter, "truncated": truncated})
    return view


def size_of(view: Any) -> int:
    return len(json.dumps(as_data(view), ensure_ascii=False).encode())


def direction_view(one: directions.Direction, *, most: int = MOST_DIRECTION) -> DirectionView:
    return DirectionView(one.id, _cut(one.text, most), one.created_at, one.author, one.acked_at, one.answer)


def ideas_waiting(session: Session, *, limit: int) -> list[IdeaView]:
    return [IdeaView(id, _cut(title, 120)) for id, title in listings.idea_titles(session.db, limit=limit)]


def frontier(session: Session, *, k: int) -> list[PickView]:
    """What `evo frontier` would pick, each once; nothing before the base has a score."""
    if experiments.get(session.db, ROOT).score_mean is None:
        return []
    picks = pick_parents(session, recall_beliefs(session), k=k)
    return list({pick.id: pick for pick in picks}.values())


def node(experiment: Experiment) -> NodeView:
    return NodeView(experiment.id, score_of(experiment), _cut(" ".join(experiment.hypothesis.split()), 120))


def _too_long(goal: str, constraints: str) -> list[str]:
    limits = {"goal": (goal, MOST_GOAL), "constraints": (constraints, MOST_CONSTRAINTS)}
    return [name for name, (text, most) in limits.items() if len(text) > most]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
