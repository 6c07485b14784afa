"""When a loop asks for ideas, and which of them is tried instead of the next move.

Triggers: before the first experiment after the baseline; every 5 commits; 3 rounds without gain; 3 related failures.
Invariant: an idea is tried where its recipe is one of the loop's, and where that recipe has results already, only
where they expect of it no less than of the move; what cannot be asked stops nothing.
"""

from __future__ import annotations

from evo.domain.idea import Brief, RecordedIdea
from evo.domain.loop import Loop, Pick, Plan
from evo.errors import EvoError
from evo.ideas.moves import SPREAD, fitted
from evo.ops.ideas.ideate import ideate
from evo.ops.loop.grounds import Ground
from evo.ops.loop.pick import Proposal
from evo.ops.loop.stop import ended, rounds_without_gain
from evo.session import Session
from evo.store import events, meta, nodes

EVERY_COMMITS = 5
STALLED = 3
FAILURES = 3


def due(session: Session, loop: Loop, picks: list[Pick]) -> Brief | None:
    """The brief that something has called for since it was asked last; None mostly."""
    state = nodes.counts(session.db)
    commits = state["committed"] - 1
    asked = meta.get(session.db, _key(loop), default={})
    if not picks:
        is_first = sum(state.values()) == 1 and "literature" not in asked
        return "literature" if is_first else None
    latest = ended(picks)[-FAILURES:]
    kinds = {pick.told.get("failure") for pick in latest}
    done = len(ended(picks))
    if len(latest) == FAILURES and len(kinds) == 1 and None not in kinds:
        return "failure_analysis" if done >= asked.get("failure_analysis", 0) + FAILURES else None
    is_stalled = rounds_without_gain(picks) >= STALLED and done >= asked.get("frontier_extrapolation", 0) + STALLED
    has_grown = commits // EVERY_COMMITS > asked.get("commits", 0)
    return "frontier_extrapolation" if is_stalled or has_grown else None


def asked_idea(
    session: Session, loop: Loop, picks: list[Pick], known: list[Ground], move: Proposal | None
) -> Proposal | None:
    """The first idea for a brief that is due which is worth a run here; None where nothing calls for one."""
    brief = due(session, loop, picks) if loop.options.ideator != "none" else None
    if brief is None:
        return None
    try:
        ideas = ideate(session, brief, k=5)
    except EvoError as error:
        ideas = []
        events.append(session.db, "loop_not_advised", data={"loop": loop.id, "brief": brief, "why": error.message})
    _remember(session, loop, brief, len(ended(picks)))
    return next((offer for idea in ideas if (offer := worth_trying(idea, known, move))), None)


def worth_trying(recorded: RecordedIdea, known: list[Ground], move: Proposal | None) -> Proposal | None:
    idea = recorded.idea
    ground = next((ground for ground in known if ground.recipe == idea.recipe), None)
    if ground is None or recorded.state != "open":
        return None
    gain = sd = None
    model = fitted(ground.space, ground.seen)
    if model is not None and sum(one.gain is not None for one in ground.seen) >= SPREAD:
        gain, sd = model.predict(ground.space.point(idea.patch))
        if move is not None and move.gain is not None and gain < move.gain:
            return None
    plan = Plan(
        hypothesis=idea.hypothesis,
        why=f"idea {recorded.id} ({idea.brief}): {idea.title}",
        parent=idea.parent,
        recipe=idea.recipe,
        settings=ground.fixed | idea.patch,
        idea=recorded.id,
        gain=gain,
        low=None if gain is None or sd is None else gain - 1.96 * sd,
        high=None if gain is None or sd is None else gain + 1.96 * sd,
    )
    return Proposal("idea", plan, gain, sd or 0.0)


def _remember(session: Session, loop: Loop, brief: Brief, done: int) -> None:
    asked = meta.get(session.db, _key(loop), default={})
    commits = (nodes.counts(session.db)["committed"] - 1) // EVERY_COMMITS
    meta.set(session.db, _key(loop), asked | {brief: done, "commits": commits})


def _key(loop: Loop) -> str:
    return f"loop_asked:{loop.id}"
