"""Partial runs: who is promoted, and when they are off."""

from __future__ import annotations

import math

from evo.search.fidelity import Pair, Partial, correlation, is_worth_it, promoted, proposals, ranked


def test_two_children_per_pick_and_the_better_half_goes_on() -> None:
    """DESIGN §9: propose η = 2 children, rank by m_p + λ·d_lo, promote the top one."""
    assert proposals([3, 7]) == [3, 3, 7, 7]
    pick = [Partial("1", 0.02, 0.01), Partial("2", 0.02, 0.03)]
    assert [one.id for one in promoted(pick)] == ["2"]
    round_of_two = [*pick, Partial("3", 0.0, 0.06), Partial("4", 0.10, -0.02)]
    assert [one.id for one in ranked(round_of_two)] == ["4", "2", "3", "1"]
    assert [one.id for one in promoted(round_of_two)] == ["4", "2"]


def test_a_reading_that_is_no_number_never_wins() -> None:
    assert promoted([Partial("1", 0.0, math.nan), Partial("2", 0.0, -0.5)])[0].id == "2"
    assert promoted([Partial("1", 0.0, math.inf), Partial("2", 0.0, -0.5)])[0].id == "2"


def test_off_once_eight_pairs_say_little() -> None:
    """DESIGN §9: off when the observed correlation over ≥ 8 promoted pairs falls under .4."""
    unrelated = [Pair(x, y) for x, y in zip(range(8), [3, 1, 4, 1, 5, 9, 2, 0], strict=True)]
    related = [Pair(x, 0.5 * x + (-1) ** x) for x in range(8)]
    assert correlation(unrelated) is not None
    assert is_worth_it(unrelated[:7])
    assert not is_worth_it(unrelated)
    assert is_worth_it(related)
    assert not is_worth_it([Pair(1.0, 0.02)] * 8), "readings that never vary cannot rank"
    assert math.isclose(correlation([Pair(x, -x) for x in (1.0, 2.0, 3.0)]) or 0.0, -1.0)
