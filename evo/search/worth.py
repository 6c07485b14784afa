"""What a run is worth before it is made: a further seed of a contender against a new child; and what draws would give.

Invariant: pure; everything is a gain over the root, in units, and a worth is never negative.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import NamedTuple

MOST_SEEDS = 3
"""Seeds of one experiment beyond which a further one is not weighed any more."""


class Contender(NamedTuple):
    """Posterior `mean` and `variance` of a node; `noise` s² of its observation, of which `run` σ²/seeds is the part
    that a further seed makes smaller."""

    mean: float
    variance: float
    noise: float
    run: float
    seeds: int


def expected_best(mean: float, sd: float, n: int) -> float:
    """Expected best of n independent draws: `mean` + `sd`·Φ⁻¹((n − .375)/(n + .25)) (Blom 1958, "Statistical estimates
    and transformed beta-variables", for the largest of n normal values)."""
    if n < 2:
        return mean
    normal = import_module("statistics").NormalDist()  # 5 ms, which `evo next` does not pay
    return mean + sd * float(normal.inv_cdf((n - 0.375) / (n + 0.25)))


def improvement(lead: float, sd: float) -> float:
    """E max(0, lead + sd·Z), Z standard normal: the unit normal loss of Raiffa & Schlaifer 1961, and the expected
    improvement of Močkus 1975. `sd` is by how much the measurement is expected to move the estimate."""
    if sd <= 0:
        return max(0.0, lead)
    z = lead / sd
    return lead * 0.5 * (1.0 + math.erf(z / math.sqrt(2.0))) + sd * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def of_seed(best: Contender, other: Contender, *, of_best: bool = False) -> float:
    """What it is worth to run `other` (or `best`) once more before one of the two is chosen."""
    return improvement(-abs(best.mean - other.mean), math.sqrt(_moved(best if of_best else other, seeds=1)))


def of_items(best: Contender, other: Contender, *, times: float = 2.0) -> float:
    """What `times` as many dev items would be worth to the choice between the two."""
    moved = [_narrowed(one, (one.noise - one.run) / times + one.run) for one in (best, other)]
    return improvement(-abs(best.mean - other.mean), math.sqrt(math.fsum(moved)))


def of_child(gain: float, sd: float, *, noise: float, best: float) -> float:
    """What a child is worth whose gain is believed to be `gain` ± `sd`, seen through an observation of variance
    `noise`, where `best` is what one has."""
    return improvement(gain - best, sd * sd / math.sqrt(sd * sd + noise))


def _moved(one: Contender, *, seeds: int) -> float:
    k = max(1, one.seeds)
    return _narrowed(one, one.noise - one.run + one.run * k / (k + seeds))


def _narrowed(one: Contender, noise: float) -> float:
    """By how much the posterior variance shrinks when the observation's own shrinks to `noise`."""
    if noise <= 0 or one.noise <= noise or one.variance <= 0:
        return 0.0
    precision = 1.0 / one.variance - 1.0 / one.noise + 1.0 / noise
    return max(0.0, one.variance - 1.0 / precision)
