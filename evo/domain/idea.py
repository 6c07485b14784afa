"""Ideas: proposals for the next experiment, each with what would refute it and what it rests on.

Invariant: an idea names a technique and a recipe patch that was validated, or no recipe at all (a control, a check);
a reference counts as support only where its id was resolved and its title matched.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from evo.lightdata import dataclass, field

Brief = Literal["literature", "failure_analysis", "frontier_extrapolation", "control"]
BRIEFS: tuple[Brief, ...] = get_args(Brief)
IdeaState = Literal["open", "taken", "dropped", "refuted"]
IDEA_STATES: tuple[IdeaState, ...] = get_args(IdeaState)
ReferenceStatus = Literal["verified", "mismatch", "not_found", "unresolved"]
"""Resolved and the title matches; resolved to another title; the id leads nowhere; nobody could be asked."""


@dataclass(frozen=True)
class Reference:
    """`kind`: arxiv, huggingface, github, blog. `finding`: what it says for this idea, in our words."""

    url: str
    kind: str
    title: str
    finding: str
    status: ReferenceStatus = "unresolved"
    level: str = ""
    """`checked` or `memory` of a claim of the knowledge base; empty for what an agent found."""


@dataclass(frozen=True)
class Idea:
    """`gain` is the predicted paired dev difference to the parent, in the metric's units, with a 95 % interval."""

    title: str
    brief: Brief
    technique: str
    hypothesis: str
    parent: str = ""
    """Empty: where the policy would branch."""
    recipe: str = ""
    """Empty for an idea that is no training run; `commands` says what to type then."""
    patch: dict[str, Any] = field(default_factory=dict)
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    gpu_seconds: float | None = None
    risks: str = ""
    refuted_by: str = ""
    rationale: str = ""
    novelty: float = 1.0
    """Distance to the nearest experiment of the tree, 0 (done before) to 1 (nothing like it)."""
    differs: str = ""
    """What sets it apart from the nearest experiment."""
    data_source: str = ""
    references: list[Reference] = field(default_factory=list)
    based_on: list[str] = field(default_factory=list)
    """Experiments whose results it is drawn from."""
    confidence: list[str] = field(default_factory=list)
    """What speaks for it: `checked claim`, `replicated`, `has code`, `improved twice on this path`, …"""
    commands: list[str] = field(default_factory=list)
    source: str = "kb"
    """Who had it: kb, rules, anthropic, person."""


@dataclass(frozen=True)
class RecordedIdea:
    """An idea in the store; `experiment` is the node that it was taken into."""

    id: int
    state: IdeaState
    idea: Idea
    experiment: str | None
    reason: str
    created_at: str
