"""`evo ideate`: ask every source for a brief, keep what is legal and new, rank it, record it.

Invariant: an idea that is recorded has a patch that its recipe accepts and is no experiment of the tree; what was
dropped, refuted or taken is not proposed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from evo.config import RecipeConfig
from evo.domain.idea import Brief, Idea, RecordedIdea
from evo.errors import EvoError, UsageError
from evo.ideas.facts import Facts
from evo.ideas.judging import merged, unknown, varied
from evo.ideas.ranking import ranked
from evo.ideas.rules import Rules
from evo.ideas.source import Source
from evo.ideas.triggers import Asked, Due, due_brief, fitting_briefs, standing
from evo.lightdata import replace
from evo.ops.ideas.calibration import settle_outcomes
from evo.ops.ideas.facts import facts_of, keep_recipes
from evo.ops.ideas.ledger import append
from evo.ops.ideas.reading import reading_of
from evo.ops.ideas.sources import NOBODY, Panel, panel, searched
from evo.session import Session
from evo.store import ideas as store
from evo.store import meta
from evo.workspace.recipes import apply_params, find_recipe

HISTORY = "ideation"
"""Brief -> how the tree stood when it was asked last."""


def ideate(session: Session, brief: Brief, k: int = 5, *, asked: Panel | None = None) -> list[RecordedIdea]:
    """The best `k` ideas, best first, as they stand in the store. `asked`: who proposes beside the rules and checks
    references; None: nobody but the rules, and the libraries."""
    keep_recipes(session)
    facts = facts_of(session)
    facts = replace(facts, reading=reading_of(session, best=facts.best))
    settle_outcomes(session, facts)
    asked = asked or panel(session, NOBODY)
    members: list[Source] = [Rules(), *asked.members]
    proposed = asked.library.resolved([idea for member in members for idea in member.propose(facts, brief)])
    chosen = searched(asked.library, facts, brief, select(session, facts, proposed, k=k))
    known = store.states(session.db)
    recorded = store.add(session.db, chosen)
    append(session.layout, [one for one in recorded if store.fingerprint(one.idea) not in known])
    _remember(session, facts, brief)
    return recorded


def select(session: Session, facts: Facts, ideas: Iterable[Idea], *, k: int) -> list[Idea]:
    """What is legal, new to the tree and not settled yet: the best `k` of it."""
    legal = [found for idea in ideas if (found := legalised(session, idea)) is not None]
    states = store.states(session.db)
    fresh = [idea for idea in unknown(facts, legal) if states.get(store.fingerprint(idea), "open") == "open"]
    return varied(merged(ranked(facts, fresh)), k)


def legalised(session: Session, idea: Idea) -> Idea | None:
    """None where its recipe is not there, or does not accept the patch."""
    if not idea.recipe:
        return idea if idea.commands else None
    try:
        config: RecipeConfig = find_recipe(session.layout, idea.recipe).config
        apply_params(config, idea.patch)
    except EvoError:
        return None
    return replace(idea, technique=config.technique)


def due(session: Session, facts: Facts | None = None) -> Due | None:
    """The brief that is due now, by what has happened since each was asked last."""
    return due_brief(facts or facts_of(session), history(session))


def ideate_fitting(session: Session, k: int = 5, *, asked: Panel | None = None) -> tuple[Due, list[RecordedIdea]]:
    """The brief that is due, else the one that fits best, with its ideas; where it has nothing new, the next."""
    facts = facts_of(session)
    called, fitting = due(session, facts), fitting_briefs(facts)
    briefs = fitting if called is None else [called, *(one for one in fitting if one.brief != called.brief)]
    for one in briefs:
        if found := ideate(session, one.brief, k, asked=asked):
            return one, found
    return briefs[0], []


def history(session: Session) -> dict[Brief, Asked]:
    kept: dict[str, Any] = meta.get(session.db, HISTORY, default={})
    return {brief: Asked(*kept[brief]) for brief in get_args(Brief) if brief in kept}


def parse_brief(text: str) -> Brief:
    """`failure-analysis` and `failure_analysis` are the same."""
    name = text.replace("-", "_")
    for brief in get_args(Brief):
        if brief == name:
            return brief  # type: ignore[no-any-return]
    raise UsageError(f"{text!r} is no brief", hint=f"one of {', '.join(get_args(Brief))}")


def _remember(session: Session, facts: Facts, brief: Brief) -> None:
    kept: dict[str, Any] = meta.get(session.db, HISTORY, default={})
    meta.set(session.db, HISTORY, kept | {brief: list(standing(facts))})
