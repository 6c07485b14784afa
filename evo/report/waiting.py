"""Ideas that wait, as a step: which of them makes sense now.

Invariant: what is offered, `evo ideas take` makes a new experiment of: a training run from a legal parent that the tree
has not seen, none of whose references leads to another paper.
"""

from __future__ import annotations

from collections.abc import Iterator

from evo.beliefs import Beliefs
from evo.domain.experiment import BARREN, Experiment
from evo.domain.idea import Idea, RecordedIdea
from evo.domain.views import Hint
from evo.errors import NotFound
from evo.report.propose import Step, was_tried
from evo.session import Session
from evo.store import experiments, ideas, listings

LOOKED_AT = 50
OUTSIDE = "literature"


def offered(session: Session, mind: Beliefs, pick: Experiment, *, looks_outside: bool) -> Iterator[Hint]:
    """The idea to take next, if one makes sense. `pick`: where one that names no parent would branch.

    The newest asking first and its own order within; evidence from outside goes before the tree's own where
    `looks_outside`, and after it elsewhere. What the best has left behind is offered no more.
    """
    unit = session.metric.unit
    waiting = ideas.waiting(session.db, limit=LOOKED_AT)
    first = sorted(waiting, key=lambda one: (one.idea.brief == OUTSIDE) != looks_outside)
    for one in first:
        parent = parent_of(session, one.idea, pick)
        if parent is None or not is_sensible(session, one.idea, parent):
            continue
        if parent.id == pick.id or is_current(mind, one.idea, parent.id, unit=unit):
            more = listings.open_ideas(session.db) - 1
            yield Hint(f"evo ideas take {one.id}", words_of(one, parent, more=more))
            return


def parent_of(session: Session, idea: Idea, pick: Experiment) -> Experiment | None:
    if not idea.parent:
        return pick
    try:
        return experiments.get(session.db, idea.parent)
    except NotFound:
        return None


def is_sensible(session: Session, idea: Idea, parent: Experiment) -> bool:
    """Whether taking it brings a new experiment that may rest on what it cites."""
    if not idea.recipe or parent.state in BARREN:
        return False
    if any(reference.status == "mismatch" for reference in idea.references):
        return False
    settings = {name: value for name, value in idea.patch.items() if value is not None}
    return not was_tried(session, parent, Step(idea.recipe, settings))


def is_current(mind: Beliefs, idea: Idea, parent: str, *, unit: float) -> bool:
    """It was drawn from the best as it stands now; or what it promises, and half of what it may bring beyond that,
    comes up to that."""
    if mind.best in idea.based_on:
        return True
    gain = idea.gain or 0.0
    hoped = gain if idea.high is None else (gain + idea.high) / 2
    return mind.estimate(parent)[0] + hoped / unit >= mind.estimate(mind.best)[0]


def words_of(one: RecordedIdea, parent: Experiment, *, more: int) -> str:
    idea = one.idea
    gain = "" if idea.gain is None else f", which expects {idea.gain:+.3f}"
    gain += f" [{idea.low:+.3f}, {idea.high:+.3f}]" if gain and idea.low is not None and idea.high is not None else ""
    rest = f"; {more} more wait: evo ideas list" if more > 0 else ""
    return f"an idea ({one.idea.brief}) from {parent.id}{gain}: {' '.join(one.idea.title.split())[:120]}{rest}"
