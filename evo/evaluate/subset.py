"""How many items a comparison needs (DESIGN §7): fewer may stop a run, but never rank a node."""

from __future__ import annotations

import math

FLOOR_ITEMS = 32
FLOOR_SHARE = 0.05


def comparison_floor(total: int) -> int:
    """min(N, max(32, ⌈5 % of N⌉)) for a split of N items."""
    return min(total, max(FLOOR_ITEMS, math.ceil(total * FLOOR_SHARE)))


def is_evidence(scored: int, total: int) -> bool:
    """Whether results on `scored` of a split's `total` items may rank a node."""
    return total > 0 and scored >= comparison_floor(total)
