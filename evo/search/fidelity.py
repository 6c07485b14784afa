"""Partial runs: try η children of each pick for a fraction of the compute, finish only the best 1/η (DESIGN §9).

All partial runs of one round are ranked together, so that parents compete too: m_p would say nothing within one pick.
Invariant: everything is a function of the readings; what a partial run showed ranks it and never scores a node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

ETA = 2
"""Children proposed for each full run."""
WEIGHT = 0.5
"""λ, the trust in a partial reading: noise and walk are about equal there, so half of it is expected to last."""
LEAST_PAIRS = 8
LEAST_CORRELATION = 0.4
"""Partial runs are off when at least so many promoted pairs correlate by less than this."""


class Partial(NamedTuple):
    """A partial run of a child: its parent's posterior mean and its own early gain over that parent, in units."""

    id: str
    parent_mean: float
    gain: float


class Pair(NamedTuple):
    """A promoted child: its early gain and its gain after the full run, both over its parent."""

    partial: float
    full: float


def proposals(picks: Sequence[int]) -> list[int]:
    """The parents of the partial runs: η for each pick."""
    return [parent for parent in picks for _ in range(ETA)]


def ranked(partials: Sequence[Partial]) -> list[Partial]:
    """Highest m_p + λ·d_lo first; the earliest of equals first. A reading that is no number comes last."""
    return sorted(partials, key=_demerit)


def promoted(partials: Sequence[Partial]) -> list[Partial]:
    """The best 1/η, at least one: those that are resumed to the full run."""
    return ranked(partials)[: max(1, len(partials) // ETA)]


def correlation(pairs: Sequence[Pair]) -> float | None:
    """Pearson's r over promoted pairs; None where one side never varies."""
    n = len(pairs)
    if n < 2:
        return None
    partial_mean = math.fsum(pair.partial for pair in pairs) / n
    full_mean = math.fsum(pair.full for pair in pairs) / n
    shared = math.fsum((pair.partial - partial_mean) * (pair.full - full_mean) for pair in pairs)
    partial_spread = math.fsum((pair.partial - partial_mean) ** 2 for pair in pairs)
    full_spread = math.fsum((pair.full - full_mean) ** 2 for pair in pairs)
    scale = math.sqrt(partial_spread) * math.sqrt(full_spread)
    return shared / scale if scale > 0 else None


def is_worth_it(pairs: Sequence[Pair]) -> bool:
    """False once enough pairs show that early readings say little about full runs; a constant says nothing at all."""
    if len(pairs) < LEAST_PAIRS:
        return True
    seen = correlation(pairs)
    return seen is not None and seen >= LEAST_CORRELATION


def _demerit(partial: Partial) -> float:
    promise = partial.parent_mean + WEIGHT * partial.gain
    return -promise if math.isfinite(promise) else math.inf
