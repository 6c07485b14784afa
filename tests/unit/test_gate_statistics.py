"""Standard errors, tails and intervals of DESIGN §8, with its reference values."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evo.errors import UsageError
from evo.gate.statistics import (
    RunNoise,
    interval,
    least_items,
    lower_bound,
    p_mid,
    p_run,
    paired,
    score_error,
    sigma_from_seeds,
    standard_error,
)

NO_NOISE = RunNoise(0.0, 1, 1)
SUPERVISED = RunNoise(0.007, 1, 1)


def sides(wins: int, losses: int, n: int = 200) -> tuple[list[int], list[int]]:
    """Binary results with so many items that only one side gets right."""
    both = n - wins - losses
    return [1] * wins + [0] * losses + [1] * both, [0] * wins + [1] * losses + [1] * both


@pytest.mark.parametrize(
    ("wins", "losses", "by_items", "z_plain", "z_noisy", "by_run"),
    [
        (0, 0, 0.500000, 0.0, 0.0, 0.500000),
        (5, 0, 0.015625, 2.2589, 1.6836, 0.046126),
        (8, 2, 0.032715, 1.9099, 1.6158, 0.053072),
        (12, 5, 0.048126, 1.7058, 1.5364, 0.062225),
        (20, 10, 0.035378, 1.8365, 1.7260, 0.042176),
        (60, 40, 0.023022, 2.0152, 1.9763, 0.024060),
        (40, 60, 0.976978, -2.0152, -1.9763, 0.975940),
    ],
)
def test_reference_table(
    wins: int, losses: int, by_items: float, z_plain: float, z_noisy: float, by_run: float
) -> None:
    """DESIGN §8, reference values (n = 200)."""
    pair = paired(*sides(wins, losses))
    assert (pair.wins, pair.losses, pair.is_binary) == (wins, losses, True)
    assert p_mid(pair) == pytest.approx(by_items, abs=1e-6)
    assert pair.mean / standard_error(pair, NO_NOISE) == pytest.approx(z_plain, abs=5e-5)
    assert pair.mean / standard_error(pair, SUPERVISED) == pytest.approx(z_noisy, abs=5e-5)
    assert p_run(pair, SUPERVISED, min_gain=0.0) == pytest.approx(by_run, abs=1e-6)


def test_clustered_reference() -> None:
    """DESIGN §8: SE .279508 before, .322748 after the factor G/(G−1)."""
    candidate, reference = [1, 1, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0, 0, 0]
    pair = paired(candidate, reference, clusters=[0, 0, 1, 1, 2, 2, 3, 3])
    assert pair.groups == 4
    assert math.sqrt((pair.clustered or 0.0) * 3 / 4) == pytest.approx(0.279508, abs=1e-6)
    assert standard_error(pair, NO_NOISE) == pytest.approx(0.322748, abs=1e-6)


def test_clusters_that_cancel_are_not_certainty() -> None:
    """The floor holds under clusters: sums of +1 and −1 within each would say that the error is zero."""
    pair = paired([1, 0] * 6, [0, 1] * 6, clusters=[i // 2 for i in range(12)])
    assert pair.clustered == 0.0
    assert standard_error(pair, NO_NOISE) == pytest.approx(1 / 12)


def test_items_of_one_persona_do_not_count_as_many() -> None:
    """B20's published case: 14 pairs over 5 seeds; clustering widens what pooling makes narrow."""
    rng = random.Random(1)
    by_cluster = [rng.choice([0, 1, 1]) for _ in range(8)]
    candidate = [result for result in by_cluster for _ in range(10)]
    pooled = paired(candidate, [0] * 80)
    clustered = paired(candidate, [0] * 80, clusters=[i // 10 for i in range(80)])
    assert standard_error(clustered, NO_NOISE) > 2.5 * standard_error(pooled, NO_NOISE)
    assert p_run(clustered, NO_NOISE, min_gain=0.3) > p_run(pooled, NO_NOISE, min_gain=0.3)


def test_floors_of_results_that_are_not_binary() -> None:
    pair = paired([0.501] * 100, [0.5] * 100)
    assert not pair.is_binary
    assert standard_error(pair, NO_NOISE) == pytest.approx(0.02 / 10)
    assert paired([-1, 0, -1], [0, -1, -1]).is_binary, "right and wrong, with the direction turned round"
    assert not paired([1, -1, 0], [0, 0, 0]).is_binary


def test_run_noise_shrinks_with_runs() -> None:
    pair = paired(*sides(20, 10))
    noise = RunNoise(0.007, 3, 2)
    expected = pair.spread / 200 + 0.007**2 * (1 / 3 + 1 / 2)
    assert standard_error(pair, noise) ** 2 == pytest.approx(expected)


def test_intervals_cover() -> None:
    """Every interval that is shown is 95 %; a guard's bound is one-sided 95 %."""
    pair = paired(*sides(30, 15))
    shown = interval(pair, SUPERVISED)
    reach = 1.959964 * standard_error(pair, SUPERVISED)
    assert (shown.low, shown.high) == pytest.approx((pair.mean - reach, pair.mean + reach))
    bound = pair.mean - 1.644854 * standard_error(pair, SUPERVISED)
    assert lower_bound(pair, SUPERVISED) == pytest.approx(bound, abs=1e-7)
    few = paired(*sides(30, 15), clusters=[i % 6 for i in range(200)])
    assert interval(few, NO_NOISE).high - few.mean == pytest.approx(2.570582 * standard_error(few, NO_NOISE), abs=1e-6)


@pytest.mark.parametrize(
    ("results", "expected"),
    [([1, 0, 1, 1], math.sqrt(0.25 / 4)), ([1, 1, 1, 1], math.sqrt(0.25 / 4)), ([0.2, 0.4], math.sqrt(0.02 / 2))],
)
def test_error_of_a_score(results: list[float], expected: float) -> None:
    """DESIGN §7: √(max(var, 1/n if binary)/n)."""
    assert score_error(results) == pytest.approx(expected)


def test_repeats_of_one_number_are_no_answers_that_are_right_or_wrong():
    """§6: over the repeats of a scalar benchmark, sd/√R; one at exactly 0 is not three wrong items."""
    assert score_error([0.0, 0.0, 0.0], is_scalar=True) == 0.0
    assert score_error([0.0, 0.0, 0.0]) > 0.3
    assert score_error([0.4, 0.5, 0.6], is_scalar=True) == pytest.approx(0.1 / 3**0.5)


@pytest.mark.parametrize(("total", "needed"), [(10, 10), (32, 32), (200, 32), (641, 33), (10_000, 500)])
def test_a_comparison_needs_so_many_items(total: int, needed: int) -> None:
    """D10: the full set below 32, else max(32, ceil(5 % N))."""
    assert least_items(total) == needed


def test_sigma_of_seeds_leaves_out_the_sampling_part() -> None:
    """DESIGN §8: from ≥ 3 seeds their SD less the sampling part, floored at .003."""
    rng = np.random.default_rng(1)
    items = rng.normal(0.0, 1.0, 400)
    found = []
    for _ in range(200):
        runs = [(0.5 + rng.normal(0, 0.02) + 0.1 * items + rng.normal(0, 0.3, 400)).tolist() for _ in range(5)]
        found.append((sigma_from_seeds(runs) or 0.0) ** 2)
    assert math.sqrt(float(np.mean(found))) == pytest.approx(0.02, rel=0.1)
    assert sigma_from_seeds([[1, 0]] * 2) is None
    assert sigma_from_seeds([[1, 0, 1]] * 3) == 0.003


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="2 results against 3"):
        paired([1, 0], [1, 0, 1])
