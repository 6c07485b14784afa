"""When a loop asks for ideas, and which of them is tried instead of the next move.

When: before the first experiment after the baseline; every 5 commits; 3 rounds without gain; 3 related failures
(`evo.ideas.triggers`).
Invariant: an idea is tried where its recipe is one of the loop's, and where that recipe has results already, only
where they expect of it no less than of the move; what cannot be asked stops nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import NamedTuple

from evo.domain.idea import RecordedIdea
from evo.domain.loop import Loop, Plan
from evo.errors import EvoError, Refused
from evo.ideas.moves import SPREAD, fitted
from evo.ops.ideas.ideate import due, ideate
from evo.ops.ideas.sources import panel
from evo.ops.loop.grounds import Ground
from evo.ops.loop.pick import Proposal
from evo.registry import load
from evo.session import Session
from evo.store import events


class Asked(NamedTuple):
    """`problems`: why somebody who was asked had no ideas."""

    idea: Proposal | None = None
    problems: tuple[str, ...] = ()


def asked_idea(session: Session, loop: Loop, known: list[Ground], move: Proposal | None) -> Asked:
    """The first idea for a brief that is due which is worth a run here; None where nothing calls for one."""
    if loop.options.ideator == "none":
        return Asked()
    try:
        called = due(session)
        if called is None:
            return Asked()
        advisers = panel(session, loop.options.ideator)
        ideas, problems = ideate(session, called.brief, asked=advisers), advisers.warnings()
    except EvoError as error:
        ideas, problems = [], [error.message]
    for why in problems:
        events.append(session.db, "loop_not_advised", data={"loop": loop.id, "why": why})
    found = next((offer for idea in ideas if (offer := worth_trying(idea, known, move))), None)
    return Asked(found, tuple(problems))


def refuse_without_means(session: Session, name: str) -> None:
    """Of a source that was asked for by name: what it lacks is found out before the night, not in it."""
    source = load("source", name)
    keys = vars(import_module(source.__module__)).get("KEYS", ())
    if keys and not any(os.environ.get(key) for key in keys):
        raise Refused(f"--ideator {name}: there is no key", hint=f"set {keys[0]}, or --ideator kb")
    if session.config.ideas.network == "off":
        raise Refused(f"--ideator {name}: ideas.network is off", hint="evo config set ideas.network auto")


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
