"""Our tails against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from evo.gate.tails import binomial_mid_tail, normal_quantile, normal_upper_tail, t_quantile, t_upper_tail


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 19, 99, 1000, 99_999])
def test_student(df: int) -> None:
    for t in (-40, -5, -1, -0.1, 0, 0.1, 0.5, 1, 1.7, 3, 8, 40):
        assert t_upper_tail(t, df) == pytest.approx(stats.t.sf(t, df), abs=1e-10, rel=1e-8)
    for level in (0.001, 0.05, 0.5, 0.95, 0.975):
        assert t_quantile(level, df) == pytest.approx(stats.t.ppf(level, df), abs=1e-9)


@pytest.mark.parametrize("trials", [0, 1, 2, 5, 17, 100, 1000, 10_000, 100_000])
def test_binomial_mid_tail(trials: int) -> None:
    for share in (0, 0.1, 0.45, 0.49, 0.5, 0.51, 0.6, 1):
        wins = int(trials * share)
        expected = stats.binom.sf(wins, trials, 0.5) + 0.5 * stats.binom.pmf(wins, trials, 0.5)
        assert binomial_mid_tail(wins, trials) == pytest.approx(expected, abs=1e-10)


def test_normal() -> None:
    for z in (-6, -1.645, 0, 0.3, 1.96, 9):
        assert normal_upper_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)
    for level in (1e-6, 0.05, 0.5, 0.8, 0.999):
        assert normal_quantile(level) == pytest.approx(stats.norm.ppf(level), abs=1e-9)
