"""`evo ideas check "an idea in words"`: how new it is, against the tree, what waits, and the knowledge base.

Invariant: read-only but for the cache of the libraries; the verdict speaks of words, and says so: two steps may be one
in other words.
"""

from __future__ import annotations

import json
from collections.abc import Set
from typing import NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import IDEA_STATES
from evo.domain.idea_views import IdeaCheckView, NeighbourView
from evo.errors import UsageError
from evo.ideas.bibliography import Bibliography
from evo.ideas.insight import insight_of
from evo.ideas.knowledge import Claim, KnowledgeBase, load
from evo.ideas.likeness import likenesses, stems
from evo.ideas.wording import subject
from evo.ops.ideas.facts import facts_of
from evo.ops.ideas.sources import library
from evo.session import Session
from evo.store import ideas as store

OLD, NEAR = 0.75, 0.45
"""Likeness from which words describe what was done, or something close to it."""
FEWEST = 2
"""Telling words from which a likeness says that something was done; fewer name a subject."""
MOST_WORDS = 4
"""Of an idea, that a paper must all have."""


class Checked(NamedTuple):
    """`warnings`: what of the network could not be asked."""

    view: IdeaCheckView
    warnings: list[str]


def check(session: Session, words: str, *, limit: int = 5) -> Checked:
    if not words.strip():
        raise UsageError("an idea in words is needed", hint='evo ideas check "a lower rate after the first epoch"')
    facts, base = facts_of(session), load()
    nodes = {id: node for id, node in facts.nodes.items() if id != ROOT}
    waiting = {str(one.id): one for one in store.listed(session.db, states=IDEA_STATES, limit=500)}
    texts = {
        id: f"{node.hypothesis} {node.technique} {node.recipe} {json.dumps(node.params)} {node.insight}"
        for id, node in nodes.items()
    }
    texts |= {f"idea {id}": f"{one.idea.title} {one.idea.hypothesis}" for id, one in waiting.items()}
    near = likenesses(words, texts)
    tree = []
    for name, likeness in list(near.items())[:limit]:
        if name in nodes:
            outcome = insight_of(facts, name) or nodes[name].state
            tree.append(NeighbourView("experiment", name, nodes[name].hypothesis, likeness, outcome))
        else:
            one = waiting[name.removeprefix("idea ")]
            tree.append(NeighbourView("idea", str(one.id), one.idea.title, likeness, one.state))
    claims = {id: _words_of(base, claim) for id, claim in base.claims.items()}
    knowledge = [_neighbour(base, id, likeness) for id, likeness in list(likenesses(words, claims).items())[:limit]]
    nearest = next(iter(near.values()), 0.0)
    shelf = library(session)
    papers = _papers(shelf, words, limit)
    said = verdict(words, nearest, tree, known=set().union(*map(stems, [*texts.values(), *claims.values()])))
    return Checked(IdeaCheckView(words, 1.0 - nearest, said, tree, knowledge, papers), shelf.warnings)


def _words_of(base: KnowledgeBase, claim: Claim) -> str:
    return f"{claim.claim} {claim.technique} {base.papers[claim.paper].title}"


def _neighbour(base: KnowledgeBase, id: str, likeness: float) -> NeighbourView:
    claim = base.claims[id]
    paper = base.papers[claim.paper]
    status = "verified" if paper.is_verified else "unresolved"
    return NeighbourView("claim", id, claim.claim, likeness, f"{paper.title} ({paper.url})", status)


def _papers(shelf: Bibliography, words: str, limit: int) -> list[NeighbourView]:
    """Published work that the libraries find by the telling words; what they say is kept in the cache."""
    about = subject(words, most=MOST_WORDS)
    if not shelf.is_on or not about:
        return []
    found = {paper.url: paper for paper in shelf.search(about, limit=limit, is_all=True)}
    near = likenesses(words, {url: f"{paper.title} {paper.summary}" for url, paper in found.items()})
    papers = [found[url] for url in near][:limit]
    return [
        NeighbourView("paper", one.url, one.title, near[one.url], one.code or str(one.year), "verified")
        for one in papers
    ]


def verdict(words: str, nearest: float, tree: list[NeighbourView], *, known: Set[str]) -> str:
    """`known`: what the tree and the knowledge base can be compared by."""
    telling = stems(words)
    if not telling:
        return "none of its words tells anything: say what is done, and to what"
    if tree and nearest >= NEAR:
        name = f"{tree[0].what} {tree[0].id}" if tree[0].what == "idea" else tree[0].id
        if nearest >= OLD and len(telling) >= FEWEST:
            return f"probably done: in its words it is {name}"
        return f"close to {name}: say what sets it apart"
    said = "new here, as far as words tell" if tree else "new here: nothing in the tree shares a word with it"
    if 2 * len(telling & known) < len(telling):
        said += "; few of its words are known here at all: words are compared as they stand, mostly English ones"
    return said
