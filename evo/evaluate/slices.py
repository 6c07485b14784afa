"""Means by slice: where a model is good, and where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from evo.domain.item import Item


class SliceMean(NamedTuple):
    mean: float
    n: int


def slice_means(items: Iterable[Item], scores: Mapping[str, float]) -> dict[str, SliceMean]:
    """Slice -> mean of `scores` (item id -> score) over its scored items; items without a slice are left out."""
    grouped: dict[str, list[float]] = {}
    for item in items:
        if item.slice is not None and item.id in scores:
            grouped.setdefault(item.slice, []).append(scores[item.id])
    return {name: SliceMean(sum(found) / len(found), len(found)) for name, found in sorted(grouped.items())}
