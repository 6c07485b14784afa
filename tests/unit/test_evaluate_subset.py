"""How many items a comparison needs, and means by slice."""

from __future__ import annotations

import pytest

from evo.domain.item import parse_item
from evo.evaluate.slices import slice_means
from evo.evaluate.subset import comparison_floor, is_evidence


@pytest.mark.parametrize(
    ("total", "floor"), [(1, 1), (31, 31), (32, 32), (200, 32), (640, 32), (641, 33), (1000, 50), (10_000, 500)]
)
def test_floor_is_32_or_five_percent_or_all_there_is(total, floor):
    """D10: min(N, max(32, ⌈5 % of N⌉)); fewer may stop a run but are never evidence."""
    assert comparison_floor(total) == floor
    assert is_evidence(floor, total)
    assert not is_evidence(floor - 1, total)


def test_nothing_is_no_evidence():
    assert not is_evidence(0, 0)


def test_slices_are_means_over_their_scored_items():
    rows = [("a", "carry"), ("b", "carry"), ("c", "plain"), ("d", None), ("e", "plain")]
    items = [parse_item({"id": name, "prompt": name, "target": "", "slice": part}) for name, part in rows]
    means = slice_means(items, {"a": 1.0, "b": 0.5, "c": 0.0, "d": 1.0})
    assert means == {"carry": (0.75, 2), "plain": (0.0, 1)}
