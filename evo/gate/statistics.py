"""What two sets of per-item results say about each other: differences, their standard error, tails, intervals.

Results come in the same item order, direction-adjusted and in units. Formulas: DESIGN §8; the clustered error is that
of Miller 2024, "Adding error bars to evals".
Invariant: a standard error is never zero, so agreement alone is never evidence.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from evo.errors import UsageError
from evo.gate.tails import (
    binomial_mid_tail,
    normal_quantile,
    normal_upper_tail,
    t_quantile,
    t_upper_tail,
)
from evo.lightdata import dataclass

LEAST_CLUSTERS = 5
LEAST_ITEMS = 32
LEAST_SHARE = 0.05
LEAST_SEEDS = 3
SIGMA_FLOOR = 0.003
SPREAD_FLOOR = 0.02
"""Standard deviation of d below which results that are not binary are not believed."""


@dataclass(frozen=True)
class RunNoise:
    """Standard deviation from run to run of one recipe, and how many runs each side is the mean of."""

    sigma: float
    candidate_runs: int
    reference_runs: int

    @property
    def variance(self) -> float:
        return self.sigma**2 * (1.0 / self.candidate_runs + 1.0 / self.reference_runs)


@dataclass(frozen=True)
class Paired:
    """Differences candidate − reference over `n` items. `spread` has ddof 1; `wins` and `losses` are b and c.

    `clustered` is the squared standard error over `groups` clusters; None without clusters.
    """

    n: int
    mean: float
    spread: float
    wins: int
    losses: int
    is_binary: bool
    groups: int | None = None
    clustered: float | None = None


class Interval(NamedTuple):
    mean: float
    low: float
    high: float


def paired(
    candidate: Sequence[float], reference: Sequence[float], *, clusters: Sequence[Hashable] | None = None
) -> Paired:
    """Summary of the paired differences. UsageError when the lengths differ or there is nothing."""
    n = len(reference)
    if n == 0 or len(candidate) != n or (clusters is not None and len(clusters) != n):
        raise UsageError(f"{len(candidate)} results against {n}", hint="both sides need one result for each item")
    differences = [ours - theirs for ours, theirs in zip(candidate, reference, strict=True)]
    mean = math.fsum(differences) / n
    spread = math.fsum((d - mean) ** 2 for d in differences) / (n - 1) if n > 1 else 0.0
    groups = clustered = None
    if clusters is not None:
        groups, clustered = _clustered(differences, clusters, mean)
    return Paired(
        n=n,
        mean=mean,
        spread=spread,
        wins=sum(d > 0 for d in differences),
        losses=sum(d < 0 for d in differences),
        is_binary=is_binary([*candidate, *reference]),
        groups=groups,
        clustered=clustered,
    )


def is_binary(results: Sequence[float]) -> bool:
    """Right or wrong and nothing else; {0, −1} is the same with the direction turned round."""
    values = set(results)
    return values <= {0, 1} or values <= {0, -1}


def p_mid(pair: Paired) -> float:
    """Exact paired test on the discordant items, mid-p: P(X > b) + ½P(X = b), X ~ Bin(b + c, ½)."""
    return binomial_mid_tail(pair.wins, pair.wins + pair.losses)


def standard_error(pair: Paired, noise: RunNoise) -> float:
    """se, √(sampling part + run part). The floor holds for clusters too, where sums may cancel to nothing."""
    floor = (1.0 / pair.n if pair.is_binary else SPREAD_FLOOR**2) / pair.n
    sampling = pair.spread / pair.n if pair.clustered is None else pair.clustered
    return math.sqrt(max(sampling, floor) + noise.variance)


def p_run(pair: Paired, noise: RunNoise, *, min_gain: float) -> float:
    """Upper tail of (d̄ − min_gain)/se: normal, or Student's with G − 1 degrees of freedom under clusters."""
    return _upper_tail(pair, (pair.mean - min_gain) / standard_error(pair, noise))


def interval(pair: Paired, noise: RunNoise, *, level: float = 0.95) -> Interval:
    """Two-sided interval of the mean difference, run noise included."""
    reach = _quantile(pair, 0.5 + level / 2.0) * standard_error(pair, noise)
    return Interval(pair.mean, pair.mean - reach, pair.mean + reach)


def lower_bound(pair: Paired, noise: RunNoise, *, level: float = 0.95) -> float:
    """One-sided lower bound of the mean difference: a guard holds when it is above −δ."""
    return pair.mean - _quantile(pair, level) * standard_error(pair, noise)


def score_error(results: Sequence[float], *, is_scalar: bool = False) -> float:
    """Standard error of a score, √(max(var, 1/n if binary)/n), var with ddof 1.

    `is_scalar`: the results are repeats of one number, and no answers that are right or wrong.
    """
    n = len(results)
    if n == 0:
        raise UsageError("a score needs at least one result")
    mean = math.fsum(results) / n
    spread = math.fsum((x - mean) ** 2 for x in results) / (n - 1) if n > 1 else 0.0
    return math.sqrt(max(spread, 1.0 / n if is_binary(results) and not is_scalar else 0.0) / n)


def least_items(total: int) -> int:
    """How many of `total` items a comparison needs: min(N, max(32, 5 %))."""
    return min(total, max(LEAST_ITEMS, math.ceil(LEAST_SHARE * total)))


def sigma_from_seeds(runs: Sequence[Sequence[float]]) -> float | None:
    """σ_run from per-item results of one recipe under several seeds; None below three seeds.

    The variance of the seeds' means, less what resampling each item's answer alone would give them (the residual of
    the items × seeds table over n), floored at .003.
    """
    k = len(runs)
    if k < LEAST_SEEDS:
        return None
    n = len(runs[0])
    if n == 0 or any(len(run) != n for run in runs):
        raise UsageError("seeds of one recipe have different numbers of results", hint="evaluate all on the same items")
    means = [math.fsum(run) / n for run in runs]
    grand = math.fsum(means) / k
    item_means = [math.fsum(results) / k for results in zip(*runs, strict=True)]
    between = math.fsum((mean - grand) ** 2 for mean in means) / (k - 1)
    residual = math.fsum(
        (result - item_mean - mean + grand) ** 2
        for run, mean in zip(runs, means, strict=True)
        for result, item_mean in zip(run, item_means, strict=True)
    )
    sampling = residual / ((k - 1) * (n - 1)) / n if n > 1 else 0.0
    return max(SIGMA_FLOOR, math.sqrt(max(0.0, between - sampling)))


def _clustered(differences: Sequence[float], clusters: Sequence[Hashable], mean: float) -> tuple[int, float]:
    """G and G/(G − 1)·Σ_c(Σ_{i∈c}(d_i − d̄))²/n²; infinite for a single cluster."""
    sums: dict[Hashable, float] = {}
    for d, cluster in zip(differences, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + d - mean
    groups = len(sums)
    plain = math.fsum(total * total for total in sums.values()) / len(differences) ** 2
    return groups, plain * groups / (groups - 1) if groups > 1 else math.inf


def _upper_tail(pair: Paired, z: float) -> float:
    return normal_upper_tail(z) if pair.groups is None else t_upper_tail(z, max(1, pair.groups - 1))


def _quantile(pair: Paired, level: float) -> float:
    return normal_quantile(level) if pair.groups is None else t_quantile(level, max(1, pair.groups - 1))
