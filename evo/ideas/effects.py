"""What a step is expected to bring and to cost: the tree's own results of such steps, shrunk to a prior.

A first fine-tuning of the base model is another thing than a step from trained weights: it has brought 40 points and
cost 35, where a later one brings two (DESIGN §9, jump edges), so neither tells of the other. In both the mean of a
technique is learnt from its finished experiments, each with the variance of its measurement and the more the nearer
its settings lie: the usual normal model of random effects (Gelman et al. 2013, Bayesian Data Analysis, ch. 5).
A run that broke says what its settings did, not what the technique brings: it widens the interval, and moves the
centre only where breaking is the rule. One that jumped tells of steps from the very weights that it started from.
Invariant: nothing is promised beyond the ends of the metric's range; the interval is never narrower than what one
child differs from the next; without a result the prediction is a wide guess, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import Idea
from evo.ideas.facts import Facts, Node, Task, started_from
from evo.ideas.novelty import distance_to

Z = 1.96
TAU = 0.018
"""DESIGN §9, for scores in [0, 1]: how much one child differs from the next."""
LATER = 0.005
"""What a step with a reason brings from trained weights: a quarter of that, where a blind one brings nothing."""
FIRST_SHARE, FIRST_SPREAD, FIRST_BETWEEN = 0.1, 0.25, 0.1
"""A first fine-tuning: share of what is left to gain, how techniques differ, and runs of one."""
JUMP, RULE = 3.0, 3
"""Standard deviations from nothing (DESIGN §9) beyond which a run jumped, or broke; so many that broke, and most of
all, are the rule."""
FAR = 0.5
"""Distance of settings from which on a result tells less than half."""
WEIGHT = 4.0
"""Results that the prior's own spread counts for."""
NEWEST = 200
"""Results that are looked at."""
MOST = 0.9
"""Of the room to the end of the range, that a step may be expected to take."""


class Effect(NamedTuple):
    """Gain over the parent in the metric's units, positive is better; `words` say what it rests on."""

    gain: float
    low: float
    high: float
    words: str


def expected(facts: Facts, idea: Idea) -> Effect | None:
    """None where the parent has nothing left to gain."""
    parent = facts.nodes.get(idea.parent) or facts.nodes[facts.best]
    below, above = room(facts.task, parent.score)
    if above <= 0:
        return None
    recipe = facts.recipes.get(idea.recipe)
    start = started_from(recipe.init_from if recipe is not None else "parent", parent.id)
    is_first = start == ROOT
    centre = FIRST_SHARE * min(above, 1.0) if is_first else LATER
    scored = (node for node in facts.nodes.values() if node.delta is not None)
    alike = [node for node in scored if (node.weights_of == ROOT) == is_first][-NEWEST:]
    own = [node for node in alike if node.technique == idea.technique]
    told = [node for node in _steady(own) if node.weights_of == start or not _has_jumped(node)]
    is_wide = is_first or any(_has_jumped(node) for node in told)
    spread, between = (FIRST_SPREAD, FIRST_BETWEEN) if is_wide else (TAU, TAU)
    weights = [1 / (node.delta_se**2 + between**2 * (1 + (distance_to(facts, idea, node) / FAR) ** 2)) for node in told]
    precision = 1 / spread**2 + math.fsum(weights)
    brought = math.fsum(_delta(node) * weight for node, weight in zip(told, weights, strict=True))
    mean = (centre / spread**2 + brought) / precision
    reach = Z * math.sqrt(1 / precision + _between(own if is_first else alike, mean, between))
    unit = facts.task.unit
    return Effect(
        max(min(mean, MOST * above), 0.0 - MOST * below) * unit,
        max(mean - reach, 0.0 - below) * unit,
        min(mean + reach, above) * unit,
        _words(idea.technique, len(own), "the base model" if is_first else "trained weights"),
    )


def room(task: Task, score: float | None) -> tuple[float, float]:
    """How far `score` lies from the worst and from the best end of the metric, in units; infinite where it is open."""
    ends = (task.low, task.high) if task.is_maximised else (task.high, task.low)
    worst, best = (math.inf if end is None or score is None else abs(end - score) / task.unit for end in ends)
    return worst, best


def _has_jumped(node: Node) -> bool:
    return _delta(node) > JUMP * math.hypot(TAU, node.delta_se)


def _steady(own: Sequence[Node]) -> Sequence[Node]:
    """Without runs that broke, unless breaking is the rule."""
    steady = [node for node in own if _delta(node) > -JUMP * math.hypot(TAU, node.delta_se)]
    broken = len(own) - len(steady)
    return own if broken >= RULE and 2 * broken > len(own) else steady


def _between(nodes: Sequence[Node], mean: float, usual: float) -> float:
    """Variance from one child to the next: the usual one, and what was seen beyond the error of measurement."""
    seen = (max(0.0, (_delta(node) - mean) ** 2 - node.delta_se**2) for node in nodes)
    found = (WEIGHT * usual**2 + math.fsum(seen)) / (WEIGHT + len(nodes))
    return max(found, usual**2)


def _delta(node: Node) -> float:
    return node.delta or 0.0


def _words(technique: str, count: int, start: str) -> str:
    if not count:
        return f"no result of {technique} from {start} in this tree: the prior alone, a guess"
    results = "one result" if count == 1 else f"{count} results"
    return f"{results} of {technique} from {start} in this tree, nearer settings first, shrunk to the prior"


def cost_of(facts: Facts, recipe: str) -> float | None:
    """The median of what this recipe's runs took, else of any run; None before the first."""
    own = [node.gpu_seconds for node in facts.nodes.values() if node.recipe == recipe and node.gpu_seconds > 0]
    known = sorted(own or [node.gpu_seconds for node in facts.nodes.values() if node.gpu_seconds > 0])
    return known[len(known) // 2] if known else None


def bar(low: float | None) -> float:
    """An observed interval that ends below this refutes the idea: it promised a gain, or more than `low`."""
    return max(0.0, low or 0.0)


def is_refuted(low: float | None, *, observed_high: float) -> bool:
    return observed_high < bar(low)
