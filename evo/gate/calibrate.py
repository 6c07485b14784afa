"""How often the test accepts where there is nothing to accept: A/A, by exchange, by simulation, by repetition.

Invariant: every draw is judged by `decision.decide`, the function that judges certificates; nothing is stored.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from itertools import permutations
from typing import NamedTuple

from evo.gate.decision import Comparison, GateRules, decide
from evo.gate.statistics import RunNoise
from evo.gate.tails import normal_quantile
from evo.lightdata import replace


class Rate(NamedTuple):
    """A share with its 95 % interval (Wilson 1927)."""

    rate: float
    low: float
    high: float


class Plan(NamedTuple):
    """A world for `simulated`: binary results on `n` items, of which the share `discordance` differs by chance."""

    n: int
    base: float
    discordance: float
    noise: RunNoise


def rate_of(accepted: int, draws: int) -> Rate:
    z = normal_quantile(0.975)
    share = accepted / draws
    scale = 1.0 + z * z / draws
    center = (share + z * z / (2.0 * draws)) / scale
    reach = z / scale * math.sqrt(share * (1.0 - share) / draws + z * z / (4.0 * draws * draws))
    return Rate(share, max(0.0, center - reach), min(1.0, center + reach))


def exchanged(comparison: Comparison, rng: random.Random) -> Comparison:
    """The two sides of each item (with clusters: of each cluster as a whole) swapped or not, by a fair coin.

    Where neither side is better, this has the distribution that the results have, whatever their items are like.
    """
    groups: Sequence[Hashable] = comparison.clusters or range(len(comparison.reference))
    coins: dict[Hashable, bool] = {}
    for group in groups:
        if group not in coins:
            coins[group] = rng.random() < 0.5
    swapped = [
        (theirs, ours) if coins[group] else (ours, theirs)
        for ours, theirs, group in zip(comparison.candidate, comparison.reference, groups, strict=True)
    ]
    return replace(comparison, candidate=[ours for ours, _ in swapped], reference=[theirs for _, theirs in swapped])


def simulated(plan: Plan, rng: random.Random) -> Comparison:
    """Two runs of one recipe, each with its own luck of σ_run, on items of which some come out differently."""
    luck = rng.gauss(0.0, math.sqrt(plan.noise.variance))
    wins = min(1.0, max(0.0, 0.5 + luck / (2.0 * plan.discordance))) if plan.discordance > 0 else 0.5
    candidate, reference = [], []
    for _ in range(plan.n):
        if rng.random() < plan.discordance:
            ours = float(rng.random() < wins)
            candidate.append(ours)
            reference.append(1.0 - ours)
        else:
            both = float(rng.random() < plan.base)
            candidate.append(both)
            reference.append(both)
    return Comparison(candidate, reference, plan.noise, plan.n)


def accepts(comparison: Comparison, rules: GateRules, *, alpha: float) -> bool:
    return decide(comparison, rules, alpha=alpha).passed


class Repeats(NamedTuple):
    """Each run against each other, both ways; `equal` counts pairs of runs that agree on every item."""

    comparisons: int
    accepted: int
    equal: int


def among(runs: Sequence[Sequence[float]], like: Comparison, rules: GateRules, *, alpha: float) -> Repeats:
    """`runs`: results of one recipe, or of one set of weights, on the same items; `like` says what they are."""
    pairs = list(permutations(runs, 2))
    accepted = sum(accepts(replace(like, candidate=a, reference=b), rules, alpha=alpha) for a, b in pairs)
    return Repeats(len(pairs), accepted, sum(list(a) == list(b) for a, b in pairs) // 2)
