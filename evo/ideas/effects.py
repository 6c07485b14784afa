"""What a step is expected to bring and to cost: the tree's own results of its technique, shrunk to a prior.

The change that a child brings is drawn from N(mu, tau²) (DESIGN §9); a technique's own mean is drawn from the same
prior and learnt from its finished experiments, each with the variance of its measurement: the usual normal model of
random effects (Gelman et al. 2013, Bayesian Data Analysis, ch. 5) with known tau.
Invariant: without a result of the technique the prediction is the prior's; the interval is never narrower than what
one child differs from the next.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from evo.ideas.facts import Facts

MU, TAU = -0.002, 0.018
"""DESIGN §9, for scores in [0, 1]: what a child brings on the average, and how much that varies."""
Z = 1.96


class Effect(NamedTuple):
    """Gain over the parent in the metric's units, positive is better; `words` say what it rests on."""

    gain: float
    low: float
    high: float
    words: str


def expected(facts: Facts, technique: str, *, mu: float = MU, tau: float = TAU) -> Effect:
    seen = [
        (node.delta, node.delta_se)
        for node in facts.nodes.values()
        if node.technique == technique and node.delta is not None
    ]
    weights = [1 / (tau * tau + se * se) for _, se in seen]
    precision = 1 / (tau * tau) + math.fsum(weights)
    told = math.fsum(delta * weight for (delta, _), weight in zip(seen, weights, strict=True))
    mean = (mu / (tau * tau) + told) / precision
    spread = Z * math.sqrt(1 / precision + tau * tau)
    unit = facts.task.unit
    words = (
        f"{len(seen)} results of {technique} in this tree, shrunk to the prior {mu:+.3f} ± {Z * tau:.3f}"
        if seen
        else f"no result of {technique} in this tree: the prior alone"
    )
    return Effect(mean * unit, (mean - spread) * unit, (mean + spread) * unit, words)


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
