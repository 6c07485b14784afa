"""When a loop asks for ideas, and which of them is tried instead of the next move.

When: before the first experiment after the baseline; every 5 commits; 3 rounds without gain; 3 related failures
(`evo.ideas.triggers`).
Invariant: an idea is tried where its recipe is one of the loop's, and where that recipe has results already, only
where they expect of it no less than of the move; what cannot be asked stops nothing. A model or a page may take
minutes: they are asked in a thread with a connection of its own, one brief at a time, and what they propose is in the
store before the loop hears of it.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from importlib import import_module
from threading import Thread
from typing import NamedTuple

from evo.beliefs import form_beliefs, pick_parents
from evo.domain.idea import RecordedIdea
from evo.domain.loop import Loop, Plan
from evo.errors import EvoError, Refused
from evo.ideas.moves import SPREAD, fitted
from evo.lightdata import replace
from evo.ops.ideas.ideate import due, ideate
from evo.ops.ideas.sources import panel
from evo.ops.loop.grounds import Ground
from evo.ops.loop.pick import IID, Proposal
from evo.registry import load
from evo.session import Session
from evo.store import events, loops
from evo.store.db import opened

SOON_S = 10.0
"""So long nobody is given a move: rules and a cache answer at once, and the order of picks does not hang on luck."""


class Asked(NamedTuple):
    """`problems`: why somebody who was asked had no ideas."""

    idea: Proposal | None = None
    problems: tuple[str, ...] = ()


class Answer(NamedTuple):
    ideas: list[RecordedIdea]
    problems: list[str]


class Advice:
    """What a loop asks others for."""

    def __init__(self, session: Session, loop: Loop) -> None:
        self._session, self._loop = session, loop
        self._answer: Future[Answer] | None = None
        self._since = 0.0
        self._is_first = False

    @property
    def is_under_way(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def ask(self) -> bool:
        """Begin, before each pick; False where the loop asks nobody, or an answer is there or under way."""
        options = self._loop.options
        if self._answer is not None or options.ideator == "none" or options.policy == IID:
            return False
        self._answer, self._since = Future(), time.monotonic()
        self._is_first = not loops.picks(self._session.db, self._loop.id)
        words = (self._session, options.ideator, self._answer)
        Thread(target=_ask, args=words, name="ideas", daemon=True).start()
        return True

    def kept(self, workers: int, *, longest_s: float) -> int:
        """How many of the free workers wait for the answer: all at first; then one, before the loop's first pick to the
        end, later no longer than a run has taken here; the others are given moves."""
        if not self.is_under_way:
            return 0
        waited = time.monotonic() - self._since
        return workers if waited < SOON_S else int(self._is_first or waited < longest_s)

    def found(self, known: list[Ground], move: Proposal | None) -> Asked:
        """The first idea of the answer that is worth a run here, once; nothing where none has come."""
        if self._answer is None or not self._answer.done():
            return Asked()
        answer, self._answer = self._answer.result(), None
        for why in answer.problems:
            events.append(self._session.db, "loop_not_advised", data={"loop": self._loop.id, "why": why})
        offers = (self._offer(idea, known, move) for idea in answer.ideas)
        return Asked(next((offer for offer in offers if offer is not None), None), tuple(answer.problems))

    def _offer(self, idea: RecordedIdea, known: list[Ground], move: Proposal | None) -> Proposal | None:
        """An idea that names no parent is tried where the policy would branch."""
        offer = worth_trying(idea, known, move)
        if offer is None or offer.plan.parent:
            return offer
        policy = self._loop.options.policy or None
        parent = pick_parents(self._session, form_beliefs(self._session), k=1, policy=policy)[0].id
        return offer._replace(plan=replace(offer.plan, parent=parent))


def _ask(session: Session, ideator: str, answer: Future[Answer]) -> None:
    """The ideas for the brief that is due; none where none is."""
    try:
        with opened(session.layout.db) as db:
            own = replace(session, db=db)
            called = due(own)
            advisers = panel(own, ideator) if called is not None else None
            ideas = ideate(own, called.brief, asked=advisers) if called is not None else []
        answer.set_result(Answer(ideas, [] if advisers is None else advisers.warnings()))
    except EvoError as error:
        answer.set_result(Answer([], [error.message]))
    except BaseException as error:
        answer.set_exception(error)  # ends the loop, where it is asked for
        raise


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
