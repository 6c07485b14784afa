"""Do no harm: what a guard's results say of a candidate beside the base (DESIGN §8, "Guards").

Invariant: a guard on which the base is at the floor says that it tells nothing; it never counts as held in silence.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from evo.gate.statistics import Interval, RunNoise, interval, is_binary, lower_bound, paired


class Harm(NamedTuple):
    """Candidate − base. `lower` is the one-sided 95 % bound that decides; `shown` the two-sided interval."""

    shown: Interval
    lower: float
    upper: float

    def holds(self, margin: float) -> bool | None:
        """None where these items cannot tell."""
        if self.lower > -margin:
            return True
        return False if self.upper < -margin else None


def harm(
    candidate: Sequence[float],
    base: Sequence[float],
    noise: RunNoise,
    *,
    clusters: Sequence[Hashable] | None = None,
) -> Harm:
    """Both in the same item order, direction-adjusted, in units."""
    pair = paired(candidate, base, clusters=clusters)
    lower = lower_bound(pair, noise)
    return Harm(interval(pair, noise), lower, 2 * pair.mean - lower)


def tells_nothing(base: Sequence[float], *, margin: float, floor: float | None) -> bool:
    """The base is within the margin of the lowest score there is, so it could not be harmed by more than that."""
    return floor is not None and math.fsum(base) / len(base) - floor <= margin


def best_bound(n: int, noise: RunNoise, *, like: Sequence[float]) -> float:
    """The bound that `n` equal answers give, where results are of the kind of `like`: no candidate that changes
    nothing gets a better one."""
    value = 1.0 if is_binary(like) else 0.5
    return lower_bound(paired([value] * n, [value] * n), noise)
