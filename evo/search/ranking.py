"""Orders over nodes: the upper confidence bound of DESIGN §9, and the highest of any list of values.

Invariant: candidates only, highest first, lowest id on ties; linear in the size of the tree.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from evo.lightdata import dataclass
from evo.search.posterior import Posterior
from evo.search.tree import ROOT, Tree, id_key


@dataclass(frozen=True)
class UcbRules:
    """Weights of the three terms beside m: what is unknown, what was tried there already, what it costs."""

    beta: float
    kappa: float
    kappa_cost: float


@dataclass(frozen=True)
class RankedNode:
    """One row of the frontier. `mean` is the shrunken estimate, `ucb` the value that ranks."""

    id: str
    gain: float | None
    mean: float
    deviation: float
    ucb: float
    tried: int
    pending: int


def upper_bounds(tree: Tree, posterior: Posterior, rules: UcbRules) -> list[float]:
    """U_i = m_i + β·√S_ii − κ·ln(1 + children_i + pending_i) − κ_c·ln(h_i/h_0) for every node, candidate or not."""
    beta, kappa, log, sqrt = rules.beta, rules.kappa, math.log, math.sqrt
    rows = zip(posterior.mean, posterior.variance, tree.tried, tree.pending, strict=True)
    bounds = [m + beta * sqrt(s) - kappa * log(1 + c + q) for m, s, c, q in rows]
    if tree.hours[ROOT] and rules.kappa_cost:
        bounds = [bound - price(tree, i, rules) for i, bound in enumerate(bounds)]
    return bounds


def upper_bound(tree: Tree, posterior: Posterior, rules: UcbRules, i: int, *, extra: int) -> float:
    """U_i with `extra` more runs in flight, rounded as in `upper_bounds`, so that equals stay equal."""
    crowd = 1 + tree.tried[i] + tree.pending[i] + extra
    bound = posterior.mean[i] + rules.beta * math.sqrt(posterior.variance[i]) - rules.kappa * math.log(crowd)
    return bound - price(tree, i, rules)


def price(tree: Tree, i: int, rules: UcbRules) -> float:
    """κ_c·ln(h_i/h_0); 0 where either cost is unknown."""
    unit, hours = tree.hours[ROOT], tree.hours[i]
    return rules.kappa_cost * (math.log(hours) - math.log(unit)) if unit and hours else 0.0


def best_first(tree: Tree, values: Sequence[float], k: int) -> list[int]:
    """The k candidates of highest value, in order."""
    if all(tree.is_candidate):
        allowed: Sequence[int] = range(len(tree))
        heights = values
    else:
        allowed = [i for i, fits in enumerate(tree.is_candidate) if fits]
        heights = [values[i] for i in allowed]
    bar = max(heights) if k == 1 else min(heapq.nlargest(k, heights), default=math.inf)
    rivals = [i for i, height in zip(allowed, heights, strict=True) if height >= bar]
    rivals.sort(key=lambda i: (-values[i], id_key(tree.ids[i])))
    return rivals[:k]


def best_node(tree: Tree, posterior: Posterior) -> int:
    """The candidate of highest posterior mean."""
    return best_first(tree, posterior.mean, 1)[0]


def frontier(tree: Tree, posterior: Posterior, rules: UcbRules, *, limit: int) -> list[RankedNode]:
    """The nodes worth branching from, as they stand now."""
    bounds = upper_bounds(tree, posterior, rules)
    return [
        RankedNode(
            id=tree.ids[i],
            gain=tree.gain[i],
            mean=posterior.mean[i],
            deviation=math.sqrt(posterior.variance[i]),
            ucb=bounds[i],
            tried=tree.tried[i],
            pending=tree.pending[i],
        )
        for i in best_first(tree, bounds, limit)
    ]
