"""How much too good the best of several results looks: the winner's curse, taken off by resampling the items.

Draw about half of the items, ask who would have won on that half, and how much better this winner looks there than on
all items; the mean over draws is the optimism. A half drawn without replacement has the variance of a whole bootstrap
sample (McCarthy 1969, "Pseudo-replication: half samples"), and two halves are two draws. The correction is that of
Tibshirani & Tibshirani 2009, "A bias correction for the minimum error rate in cross-validation"; how well it does in
simulated searches, and what the alternatives do: docs/decisions/0013.
Invariant: deterministic; 0 where nobody is chosen from.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

PAIRS = 64
"""Splits into two halves."""
CONTENDERS = 16
"""The best by recorded gain: who comes after them wins on hardly any half."""


def optimism(gains: Sequence[Sequence[float]], *, seed: int = 1) -> float:
    """`gains`: for each contender its gain over the root on each item, in one order of items; the root contends too."""
    n = len(gains[0]) if gains else 0
    if n < 2:
        return 0.0
    binary = all(value in (-1.0, 0.0, 1.0) for row in gains for value in row)
    halves = _counted(gains, n, seed) if binary else _summed(gains, n, seed)
    whole = [0.0, *(sum(row) / n for row in gains)]
    surplus = 0.0
    for half in halves:
        winner = max(range(len(half)), key=half.__getitem__)
        surplus += half[winner] - whole[winner]
    return max(0.0, surplus / (2 * PAIRS))


def _masks(n: int, seed: int) -> Iterator[tuple[int, int]]:
    """Two halves as bits, each item in the one or the other by a fair coin."""
    rng, every = random.Random(seed), (1 << n) - 1
    for _ in range(PAIRS):
        chosen = 0
        while chosen in (0, every):
            chosen = rng.getrandbits(n)
        yield chosen, every ^ chosen


def _counted(gains: Sequence[Sequence[float]], n: int, seed: int) -> Iterator[list[float]]:
    """Mean gains on each half (the root's, 0, first) where items are won or lost: bits are counted."""
    rows = [(_bits(row, 1.0), _bits(row, -1.0)) for row in gains]
    for masks in _masks(n, seed):
        for mask in masks:
            size = mask.bit_count()
            yield [0.0, *(((won & mask).bit_count() - (lost & mask).bit_count()) / size for won, lost in rows)]


def _bits(row: Sequence[float], wanted: float) -> int:
    return sum(1 << i for i, value in enumerate(row) if value == wanted)


def _summed(gains: Sequence[Sequence[float]], n: int, seed: int) -> Iterator[list[float]]:
    totals = [sum(row) for row in gains]
    for first, _ in _masks(n, seed):
        chosen = [i for i in range(n) if first >> i & 1]
        sums = [sum(map(row.__getitem__, chosen)) for row in gains]
        yield [0.0, *(each / len(chosen) for each in sums)]
        rest = n - len(chosen)
        yield [0.0, *((total - each) / rest for total, each in zip(totals, sums, strict=True))]
