"""The held-out test: does the candidate beat the reference?

Invariant: it passes only when p ≤ α was computed from finite results on enough items and every required guard holds.
A tie, a comparison with itself and anything that cannot be judged do not pass.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal

from evo.gate.statistics import (
    LEAST_CLUSTERS,
    LEAST_SEEDS,
    Paired,
    RunNoise,
    least_items,
    p_mid,
    p_run,
    paired,
)
from evo.lightdata import dataclass

Mode = Literal["certify", "every-run", "strict", "none"]


@dataclass(frozen=True)
class GateRules:
    """`gate.*` of evo.yaml. `looks` is the budget per held-out set."""

    mode: Mode
    alpha: float
    min_gain: float
    looks: int


@dataclass(frozen=True)
class Comparison:
    """Held-out results of both sides in the same item order, direction-adjusted, in units.

    `total` is the number of items in the held-out set, `samples` how many answers each result is the mean of.
    """

    candidate: Sequence[float]
    reference: Sequence[float]
    noise: RunNoise
    total: int
    samples: int = 1
    clusters: Sequence[Hashable] | None = None


@dataclass(frozen=True)
class GuardReading:
    """One guard suite: the lower bound of candidate − exp_0000, which has to stay above −margin."""

    name: str
    lower: float
    margin: float
    is_required: bool

    @property
    def holds(self) -> bool:
        return self.lower > -self.margin


@dataclass(frozen=True)
class Decision:
    """`p` is None where no test could be made; `p_mid` also where the exact test does not apply."""

    passed: bool
    reason: str
    alpha: float
    p: float | None = None
    p_mid: float | None = None
    p_run: float | None = None


def decide(comparison: Comparison, rules: GateRules, *, alpha: float, guards: Sequence[GuardReading] = ()) -> Decision:
    """Certified iff max(p_mid, p_run) ≤ `alpha` and every required guard holds. `alpha`: see `asking.alpha_of`."""
    obstacle = _obstacle(comparison)
    if obstacle:
        return Decision(False, obstacle, alpha)
    pair = paired(comparison.candidate, comparison.reference, clusters=comparison.clusters)
    if pair.groups is not None and pair.groups < LEAST_CLUSTERS:
        return Decision(False, f"{pair.groups} clusters; a clustered test needs {LEAST_CLUSTERS}", alpha)
    by_run = p_run(pair, comparison.noise, min_gain=rules.min_gain)
    by_items = p_mid(pair) if _has_exact_test(comparison, pair, rules) else None
    p = by_run if by_items is None else max(by_items, by_run)
    broken = [guard.name for guard in guards if guard.is_required and not guard.holds]
    if not p <= alpha:
        reason = "the gain is not sure enough"
    elif broken:
        reason = f"guards do not hold: {', '.join(broken)}"
    else:
        reason = "certified"
    return Decision(reason == "certified", reason, alpha, p, by_items, by_run)


def may_claim_recipe(noise: RunNoise) -> bool:
    """True when both sides are means of enough runs to speak about the recipe and not about one set of weights."""
    return min(noise.candidate_runs, noise.reference_runs) >= LEAST_SEEDS


def _obstacle(comparison: Comparison) -> str:
    """Why no test can be made; empty when one can."""
    n, needed = len(comparison.reference), max(1, least_items(comparison.total))
    if len(comparison.candidate) != n:
        return f"{len(comparison.candidate)} results against {n}"
    if n < needed:
        return f"{n} items; a comparison on {comparison.total} needs {needed}"
    if not all(map(math.isfinite, comparison.candidate)) or not all(map(math.isfinite, comparison.reference)):
        return "a result is not a finite number"
    if not math.isfinite(comparison.noise.sigma):
        return "the run noise is not a finite number"
    return ""


def _has_exact_test(comparison: Comparison, pair: Paired, rules: GateRules) -> bool:
    return pair.is_binary and comparison.samples == 1 and comparison.clusters is None and rules.min_gain == 0
