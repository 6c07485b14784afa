"""When to think anew: which brief is due, and why.

Invariant: pure; the literature is asked before the first experiment and when the tree stands still, and in between
experiments need no such pass (row A4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import Brief
from evo.ideas.briefs.failures import related
from evo.ideas.facts import Facts
from evo.ideas.situations import STALLED, is_near_perfect, lucky, overlap, scored, situations
from evo.ideas.situations import failed as failed_nodes

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


def standing(facts: Facts) -> Asked:
    """How the tree stands now."""
    nodes = [node for node in facts.nodes.values() if node.id != ROOT]
    commits = sum(node.state == "committed" for node in nodes)
    return Asked(commits, len(nodes), len(failed_nodes(facts)))


def due_brief(facts: Facts, history: History) -> Due | None:
    """None while the base has no score, or where nothing has happened that asks for a new thought."""
    if facts.task.base_score is None:
        return None
    now = standing(facts)
    if not now.experiments and "literature" not in history:
        return Due("literature", "before the first experiment")
    if related(facts) >= RELATED and now.failures >= history.get("failure_analysis", Asked()).failures + RELATED:
        return Due("failure_analysis", f"{related(facts)} failures of one kind")
    last = history.get("literature", Asked())
    if facts.rounds_without_gain >= STALLED and now.experiments >= last.experiments + STALLED:
        return Due("literature", f"{facts.rounds_without_gain} rounds without a gain")
    if now.commits >= history.get("frontier_extrapolation", Asked()).commits + EVERY:
        return Due("frontier_extrapolation", f"{now.commits} commits")
    return None


SYMPTOMS = (
    "reward-hacked",
    "instability",
    "truncated-outputs",
    "regression",
    "forgetting",
    "reward-saturated",
    "reward-flat",
    "entropy-collapse",
    "generalisation-gap",
)


def fitting_brief(facts: Facts) -> Due:
    """The brief for one who asks now and names none."""
    now = situations(facts)
    shown = next((name for name in SYMPTOMS if name in now), "")
    choices: tuple[tuple[object, Brief, str], ...] = (
        (is_near_perfect(facts), "control", "the base model is near the end of the scale"),
        (not standing(facts).experiments, "literature", "before the first experiment"),
        (related(facts) >= RELATED, "failure_analysis", f"{related(facts)} failures of one kind"),
        ("stuck-at-zero" in now, "literature", "every run is at zero"),
        ("plateau" in now, "literature", f"{facts.rounds_without_gain} rounds without a gain"),
        (shown, "failure_analysis", shown),
        (overlap(facts), "control", "the two best cannot be told apart"),
        (lucky(facts), "control", "the best may be luck"),
        (failed_nodes(facts), "failure_analysis", "a run has failed"),
        (not any((node.gain or 0.0) > 0 for node in scored(facts)), "literature", "nothing has gained yet"),
    )
    found = (Due(brief, why) for holds, brief, why in choices if holds)
    return next(found, Due("frontier_extrapolation", "the best path gains"))
