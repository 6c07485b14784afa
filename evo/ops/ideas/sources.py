"""Who is asked for ideas beside the rules, with what means, and how what they cite is checked.

Invariant: a source is told nothing of held-out; what it costs is in the ledger, and no cap is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from evo.domain.idea import Brief, Idea
from evo.errors import EvoError, NotFound, Refused
from evo.ideas import knowledge, prices
from evo.ideas.bibliography import Bibliography
from evo.ideas.cache import Cache
from evo.ideas.enrich import enriched
from evo.ideas.facts import Facts
from evo.ideas.source import Source
from evo.ideas.sources.briefing import subject_of
from evo.ideas.sources.means import Means, Room
from evo.ideas.web import Web, is_allowed
from evo.ops.budget import charge_orphans
from evo.registry import load, names
from evo.runner import process
from evo.session import Session
from evo.store import ledger
from evo.workspace import recipes
from evo.workspace.params import apply_params, resolve_name

NOBODY = "kb"
"""The value of `ideas.source` that adds nobody to the rules and the knowledge base."""


def library(session: Session) -> Bibliography:
    """The literature on the network, by what is kept of it under `.evo/cache/literature`."""
    web = Web(Cache(session.layout.cache / "literature"), is_on=is_allowed(session.config.ideas.network))
    return Bibliography(web, names("literature"), partial(load, "literature"))


class Panel(NamedTuple):
    """Who is asked beside the rules, and what checks everybody's references. `charged`: what was found of earlier
    askings that ended before they said what they had spent."""

    members: list[Source]
    library: Bibliography
    charged: Sequence[str] = ()

    def warnings(self) -> list[str]:
        return [*self.charged, *(text for one in self.members for text in one.warnings), *self.library.warnings]


def panel(session: Session, name: str = "", *, is_needed: bool = False) -> Panel:
    """`name`: of a source; empty: what `ideas.source` says. What a source lacks, or may not spend, is a warning, and an
    error where it is needed. NotFound for an unknown name."""
    chosen = name or session.config.ideas.source
    if chosen != NOBODY and chosen not in names("source"):
        hint = f"known: {', '.join([NOBODY, *names('source')])}"
        raise NotFound(f"no source of ideas named {chosen!r}", hint=hint)
    shelf = library(session)
    if chosen == NOBODY:
        return Panel([], shelf)
    member, charged = _Configured(session, chosen, shelf), charge_orphans(session)
    return Panel([member.source() if is_needed else member], shelf, charged)


class _Configured:
    """A source that is asked as long as it can be: what it lacks, or what a budget forbids, is a warning."""

    def __init__(self, session: Session, name: str, shelf: Bibliography) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._session = session
        self._shelf = shelf

    def source(self) -> Source:
        found: Source = load("source", self.name)(means(self._session, self._shelf))
        return found

    def propose(self, facts: Facts, brief: Brief) -> list[Idea]:
        try:
            source = self.source()
            try:
                return source.propose(facts, brief)
            finally:
                self.warnings.extend(source.warnings)
        except EvoError as error:
            self.warnings.append(f"no ideas from {self.name}: {error.message}")
            return []


def means(session: Session, shelf: Bibliography) -> Means:
    return Means(session.config.ideas, LedgerPurse(session), shelf, knowledge.load(), _Legal(session))


def searched(shelf: Bibliography, facts: Facts, brief: Brief, ideas: list[Idea]) -> list[Idea]:
    """Ideas of a literature brief with recent work beside them, where there is a network."""
    technique = next((idea.technique for idea in ideas if idea.technique), "")
    if brief != "literature" or not technique or not shelf.is_on:
        return ideas
    return enriched(ideas, shelf.search(subject_of(facts, technique)))


class _Legal:
    """Settings of a recipe of this workspace as values of their types; UsageError says what is wrong with them."""

    def __init__(self, session: Session) -> None:
        self._layout = session.layout

    def __call__(self, recipe: str, settings: Mapping[str, str]) -> dict[str, Any]:
        config = recipes.load_recipe(self._layout, recipes.find_folder(self._layout, recipe)).config
        values = apply_params(config, settings)
        return {name: values[name] for name in (resolve_name(config, word) for word in settings)}


class LedgerPurse:
    """What the workspace's budget leaves for a language model. Calls are in the ledger with or without a cap."""

    def __init__(self, session: Session) -> None:
        self._db = session.db
        self._caps = session.caps or ledger.Caps()

    def room(self) -> Room:
        left = ledger.balance(self._db).left(self._caps)
        return Room(left.get("llm_tokens"), left.get("usd"))

    def reserve(self, what: str, most: prices.Usage, *, model: str) -> int:
        dollars = prices.usd(model, most)
        if dollars is None and self._caps.usd is not None:
            raise Refused(
                f"the price of {model} is not known, so budget.usd cannot hold it",
                hint=f"evo config set ideas.model MODEL: prices are known of {', '.join(prices.PRICES)}",
            )
        amounts = ledger.Amounts(llm_tokens=most.tokens, usd=dollars or 0.0)
        return ledger.reserve(self._db, what, amounts, caps=self._caps, process=vars(process.current()))

    def ask(self, entry: int, *, is_asked: bool = True) -> None:
        ledger.ask(self._db, entry, is_asked=is_asked)

    def charge(self, entry: int, came_to: prices.Usage, *, model: str) -> None:
        dollars = prices.usd(model, came_to) or 0.0
        ledger.charge(self._db, entry, ledger.Amounts(llm_tokens=came_to.tokens, usd=dollars))
