"""The ideator that needs neither key nor network: rules over facts, and the shipped knowledge base."""

from __future__ import annotations

from evo.domain.idea import Brief, Idea
from evo.ideas.briefs import control, failures, frontier, literature
from evo.ideas.facts import Facts
from evo.ideas.knowledge import KnowledgeBase, load


class Rules:
    """A source. What people wrote about the task decides among claims that fit equally."""

    name = "kb"

    def __init__(self, base: KnowledgeBase | None = None) -> None:
        self.warnings: list[str] = []
        self._base = base if base is not None else load()

    def propose(self, facts: Facts, brief: Brief) -> list[Idea]:
        if brief == "literature":
            return literature.propose(facts, self._base)
        if brief == "failure_analysis":
            return failures.propose(facts, self._base)
        if brief == "frontier_extrapolation":
            return frontier.propose(facts, self._base)
        return control.propose(facts, self._base)
