"""When to think anew: which brief is due, and why.

Invariant: pure; the literature is asked before the first experiment and when the tree stands still, and in between
experiments need no such pass (row A4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import Brief
from evo.ideas.briefs.failures import clusters
from evo.ideas.facts import Facts, Node
from evo.ideas.situations import (
    STALLED,
    is_falling,
    lucky,
    near_perfect,
    newest_ended,
    overlap,
    scored,
    situations,
)
from evo.ideas.situations import failed as failed_nodes
from evo.ideas.symptoms import REINFORCED, SUPERVISED

EVERY = 5
"""Commits between two looks ahead."""
RELATED = 3


class Asked(NamedTuple):
    """How the tree stood when a brief was asked last: commits, experiments, failures."""

    commits: int = 0
    experiments: int = 0
    failures: int = 0


History = Mapping[Brief, Asked]


class Due(NamedTuple):
    brief: Brief
    why: str


def _live(facts: Facts) -> int:
    """Failures of the commonest kind, where one of its kind is among what ended last; else it is over."""
    newest = {node.id for node in newest_ended(facts)}
    groups = (group for group in clusters(facts) if newest & {node.id for node in group.nodes})
    return max((len(group.nodes) for group in groups), default=0)


def standing(facts: Facts) -> Asked:
    """How the tree stands now."""
    nodes = [node for node in facts.nodes.values() if node.id != ROOT]
    commits = sum(node.state == "committed" for node in nodes)
    return Asked(commits, len(nodes), len(failed_nodes(facts)))


def due_brief(facts: Facts, history: History) -> Due | None:
    """None while the base has no score, or where nothing has happened that asks for a new thought."""
    if facts.task.base_score is None:
        return None
    now, related, none = standing(facts), _live(facts), Asked()
    failures, papers = history.get("failure_analysis", none), history.get("literature", none)
    ahead = history.get("frontier_extrapolation", none)
    rounds = facts.rounds_without_gain
    choices: tuple[tuple[bool, Brief, str], ...] = (
        (not now.experiments and "literature" not in history, "literature", "before the first experiment"),
        (
            related >= RELATED and now.failures >= failures.failures + RELATED,
            "failure_analysis",
            f"{related} failures of one kind",
        ),
        (
            is_falling(facts) and now.experiments >= failures.experiments + STALLED,
            "failure_analysis",
            f"{STALLED} losses in a row",
        ),
        (
            rounds >= STALLED and now.experiments >= papers.experiments + STALLED,
            "literature",
            f"{rounds} rounds without a gain",
        ),
        (now.commits >= ahead.commits + EVERY, "frontier_extrapolation", f"{now.commits} commits"),
    )
    return next((Due(brief, why) for holds, brief, why in choices if holds), None)


SYMPTOMS = (
    "reward-hacked",
    "instability",
    "truncated-outputs",
    "overfit",
    "lora-slow",
    "regression",
    "forgetting",
    "reward-saturated",
    "reward-flat",
    "entropy-collapse",
    "generalisation-gap",
)


def fitting_brief(facts: Facts) -> Due:
    """The brief for one who asks now and names none."""
    return fitting_briefs(facts)[0]


def fitting_briefs(facts: Facts) -> list[Due]:
    """Every brief once, the most fitting first: where one has nothing new, the next is asked."""
    now, related, high = situations(facts), _live(facts), near_perfect(facts)
    shown = next((name for name in SYMPTOMS if name in now), "")
    tried = {node.technique for node in scored(facts)}
    is_failing = any(node.failure and node.state != "discarded" for node in newest_ended(facts))
    choices: tuple[tuple[object, Brief, str], ...] = (
        (high, "control", f"{_called(high)} is near the end of the scale"),
        (not standing(facts).experiments, "literature", "before the first experiment"),
        (related >= RELATED, "failure_analysis", f"{related} failures of one kind"),
        (
            "stuck-at-zero" in now and tried & SUPERVISED and tried & REINFORCED,
            "failure_analysis",
            "every run is at zero, by imitation and by reward",
        ),
        ("stuck-at-zero" in now, "literature", "every run is at zero"),
        (is_falling(facts), "failure_analysis", f"{STALLED} losses in a row"),
        ("plateau" in now, "literature", f"{facts.rounds_without_gain} rounds without a gain"),
        (shown, "failure_analysis", shown),
        (overlap(facts), "control", "the two best cannot be told apart"),
        (lucky(facts), "control", "the best may be luck"),
        (is_failing, "failure_analysis", "a run has failed"),
        (not any((node.gain or 0.0) > 0 for node in scored(facts)), "literature", "nothing has gained yet"),
        (True, "frontier_extrapolation", "the best path gains"),
        (True, "literature", "what others have found"),
        (True, "control", "what would show that a gain is none"),
        (True, "failure_analysis", "what went wrong"),
    )
    found: dict[Brief, Due] = {}
    for holds, brief, why in choices:
        if holds:
            found.setdefault(brief, Due(brief, why))
    return list(found.values())


def _called(node: Node | None) -> str:
    return "the base model" if node is None or node.id == ROOT else node.id
