"""Scores: the mean per-item result on dev, with its standard error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from evo.domain.item import ItemResult
from evo.lightdata import dataclass


@dataclass(frozen=True)
class Metric:
    """What a score means. `low`/`high` are None when the range is open; `unit` divides differences in inference."""

    direction: Literal["max", "min"]
    low: float | None
    high: float | None
    unit: float = 1.0

    @property
    def sign(self) -> float:
        return 1.0 if self.direction == "max" else -1.0

    def adjusted(self, difference: float) -> float:
        """A raw difference as a gain: positive is better, in units."""
        return self.sign * difference / self.unit


@dataclass(frozen=True)
class Score:
    """`se` is the sampling standard error, √(max(var, 1/n if binary)/n)."""

    mean: float
    se: float
    n: int


def per_item(results: Iterable[ItemResult]) -> dict[str, float]:
    """Item id -> mean score over its samples, in order of first appearance."""
    sums: dict[str, list[float]] = {}
    for result in results:
        sums.setdefault(result.item, []).append(result.score)
    return {item: sum(scores) / len(scores) for item, scores in sums.items()}


def mean_over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Item id -> mean over runs, for the items that every run has."""
    if not runs:
        return {}
    return {item: sum(run[item] for run in runs) / len(runs) for item in runs[0] if all(item in run for run in runs)}
