"""`evo ideas check "an idea in words"`: how new it is, against the tree, what waits, and the knowledge base.

Invariant: read-only but for the cache of the libraries; the verdict speaks of words, and says so: two steps may be one
in other words.
"""

from __future__ import annotations

import json

from evo.domain.experiment import ROOT
from evo.domain.idea import IDEA_STATES
from evo.domain.idea_views import IdeaCheckView, NeighbourView
from evo.errors import UsageError
from evo.ideas.insight import insight_of
from evo.ideas.knowledge import load
from evo.ideas.likeness import likenesses
from evo.ideas.references import words as title_words
from evo.ops.ideas.facts import facts_of
from evo.ops.ideas.sources import library
from evo.session import Session
from evo.store import ideas as store

OLD, NEAR = 0.75, 0.45
"""Likeness from which words describe what was done, or something close to it."""
MOST_WORDS = 4
"""Of an idea, that a paper must all have."""


def check(session: Session, words: str, *, limit: int = 5) -> IdeaCheckView:
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
    found = base.search(words, limit=limit)
    about = likenesses(words, {hit.claim.id: f"{hit.claim.claim} {hit.paper.title}" for hit in found})
    knowledge = [
        NeighbourView(
            "claim", hit.claim.id, hit.claim.claim, about.get(hit.claim.id, 0.0),
            f"{hit.paper.title} ({hit.paper.url})",
            "verified" if hit.paper.is_verified else "unresolved",
        )
        for hit in found
    ]  # fmt: skip
    nearest = next(iter(near.values()), 0.0)
    return IdeaCheckView(words, 1.0 - nearest, verdict(nearest, tree), tree, knowledge, _papers(session, words, limit))


def _papers(session: Session, words: str, limit: int) -> list[NeighbourView]:
    """Published work that the libraries find by the longest words; what they say is kept in the cache."""
    shelf = library(session)
    if not shelf.is_on:
        return []
    subject = " ".join(sorted(dict.fromkeys(title_words(words)), key=len)[-MOST_WORDS:])
    found = {paper.url: paper for paper in shelf.search(subject, limit=limit)}
    near = likenesses(words, {url: f"{paper.title} {paper.summary}" for url, paper in found.items()})
    papers = [found[url] for url in near][:limit]
    return [
        NeighbourView("paper", one.url, one.title, near[one.url], one.code or str(one.year), "verified")
        for one in papers
    ]


def verdict(nearest: float, tree: list[NeighbourView]) -> str:
    if not tree:
        return "new here: nothing in the tree shares a word with it"
    name = f"{tree[0].what} {tree[0].id}" if tree[0].what == "idea" else tree[0].id
    if nearest >= OLD:
        return f"probably done: in its words it is {name}"
    if nearest >= NEAR:
        return f"close to {name}: say what sets it apart"
    return "new here, as far as words tell"
