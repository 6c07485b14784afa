"""The winner's curse: what the best of several results owes to chance."""

from __future__ import annotations

import random
import statistics

import pytest

from evo.search.winner import optimism

ITEMS = 120


def world(rng: random.Random, gains: list[float], *, scale: float = 1.0) -> list[list[float]]:
    """Per-item gains over the root of nodes with these true gains; a fifth of the items differ."""
    return [
        [scale * rng.choices((1.0, -1.0, 0.0), (0.1 + gain / 2, 0.1 - gain / 2, 0.8))[0] for _ in range(ITEMS)]
        for gain in gains
    ]


def means(rows: list[list[float]]) -> list[float]:
    return [statistics.fmean(row) for row in rows]


@pytest.mark.parametrize("scale", [1.0, 0.5], ids=["right or wrong", "graded"])
def test_most_of_the_curse_is_taken_off_where_nothing_is_better(scale: float) -> None:
    """Twenty equal nodes: the best looks far better than it is; corrected, it nearly does not."""
    rng = random.Random(5)
    raw, corrected = [], []
    for _ in range(40):
        rows = world(rng, [0.0] * 20, scale=scale)
        best = max(means(rows))
        raw.append(best)
        corrected.append(best - optimism(rows))
    assert statistics.fmean(raw) > 0.06 * scale
    assert abs(statistics.fmean(corrected)) < 0.4 * statistics.fmean(raw)


def test_a_clear_winner_owes_nothing_to_chance() -> None:
    rng = random.Random(6)
    owed = [optimism(world(rng, [0.2, *[-0.1] * 9])) for _ in range(20)]
    assert statistics.fmean(owed) < 0.004


def test_nobody_is_chosen_from_nobody() -> None:
    assert optimism([]) == 0.0
    assert optimism([[1.0]]) == 0.0
    assert optimism([[0.0] * 50]) == 0.0


def test_counting_bits_and_adding_numbers_give_the_same() -> None:
    rows = world(random.Random(7), [0.0] * 6)
    graded = [[*row] for row in rows]
    graded[0][0] += 1e-9
    assert optimism(rows) == pytest.approx(optimism(graded), abs=1e-6)
