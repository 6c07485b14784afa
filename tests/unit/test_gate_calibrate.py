"""What the gate can show, and how often its test accepts where there is nothing to accept."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from evo.config import SearchConfig
from evo.gate import calibrate
from evo.gate.asking import zeta
from evo.gate.decision import Comparison, GateRules
from evo.gate.power import asking_gain, required_items
from evo.gate.statistics import RunNoise
from evo.search.posterior import Posterior, Prior
from evo.search.tree import SearchNode, Tree

RULES = GateRules("certify", 0.05, 0.0, 20)
NO_LUCK = RunNoise(0.0, 1, 1)


def test_items_for_five_and_three_points_are_the_documented_ones() -> None:
    """A35, §8: 80 % power at 20 % discordance, σ_run 0 / .007: 489 / 645 for 5 points, 1,368 / 4,190 for 3."""
    needs = {
        (gain, sigma): required_items(gain, discordance=0.2, sigma_run=sigma, alpha=0.05)
        for gain in (0.05, 0.03)
        for sigma in (0.0, 0.007)
    }
    assert needs[0.05, 0.0] == 489
    assert needs[0.05, 0.007] == 645
    assert needs[0.03, 0.0] == 1368
    assert round(needs[0.03, 0.007] or 0, -1) == 4190


@pytest.mark.parametrize(("n", "discordance", "of_root"), [(45, 0.2, True), (200, 0.2, True), (1000, 0.1, False)])
def test_the_asking_gain_is_where_the_posterior_asks(n: int, discordance: float, of_root: bool) -> None:
    search = SearchConfig()
    edge = asking_gain(
        n, discordance=discordance, sigma_run=0.007, prior=(search.mu, search.tau), needed=1.645, of_root=of_root
    )

    def evidence(gain: float) -> float:
        half = (discordance - gain**2) / (2 * n)
        child = SearchNode("1", "0", "scored", gain, half + 0.007**2, True, None)
        root = SearchNode("0", None, "scored", None, None, True, None)
        posterior = Posterior(Tree.grow([root, child]), Prior(search.mu, search.tau))
        seen = posterior.difference(1, 0)
        return zeta(seen.mean, seen.variance, root_half=half if of_root else 0.0)

    assert evidence(edge - 1e-5) < 1.645 <= evidence(edge + 1e-5)


def world(n: int, rng: random.Random, *, gain: float = 0.0) -> Comparison:
    """Binary results of two sides that differ on a fifth of the items."""
    ours, theirs = [], []
    for _ in range(n):
        if rng.random() < 0.2:
            is_ours = rng.random() < 0.5 + gain / 0.4
            ours.append(float(is_ours))
            theirs.append(float(not is_ours))
        else:
            ours.append(1.0)
            theirs.append(1.0)
    return Comparison(ours, theirs, NO_LUCK, n)


def test_exchanged_sides_accept_at_about_alpha_whatever_the_gain_was() -> None:
    """The null is made of the items' own differences: even a real gain of ten points leaves no trace in it."""
    for gain in (0.0, 0.1):
        rng = random.Random(3)
        found = world(200, rng, gain=gain)
        assert calibrate.accepts(found, RULES, alpha=0.05) == (gain > 0)
        draws = 1500
        accepted = sum(calibrate.accepts(calibrate.exchanged(found, rng), RULES, alpha=0.05) for _ in range(draws))
        rate = calibrate.rate_of(accepted, draws)
        assert rate.low < 0.055
        assert 0.015 < rate.rate < 0.065
        with_luck = replace(found, noise=RunNoise(0.03, 1, 1))
        fewer = sum(calibrate.accepts(calibrate.exchanged(with_luck, rng), RULES, alpha=0.05) for _ in range(500))
        assert fewer / 500 < rate.rate


def test_a_cluster_is_exchanged_as_a_whole() -> None:
    clusters = [i // 4 for i in range(40)]
    pair = Comparison([1.0] * 40, [0.0] * 40, NO_LUCK, 40, clusters=clusters)
    drawn = calibrate.exchanged(pair, random.Random(1))
    by_cluster = [set(drawn.candidate[i : i + 4]) for i in range(0, 40, 4)]
    assert all(len(values) == 1 for values in by_cluster)
    assert len(set(drawn.candidate)) == 2
    assert all(a + b == 1.0 for a, b in zip(drawn.candidate, drawn.reference, strict=True))


def test_simulated_runs_differ_by_their_luck() -> None:
    plan = calibrate.Plan(n=2000, base=0.4, discordance=0.2, noise=RunNoise(0.03, 1, 1))
    rng = random.Random(2)
    drawn = [calibrate.simulated(plan, rng) for _ in range(60)]
    gains = [sum(a - b for a, b in zip(c.candidate, c.reference, strict=True)) / 2000 for c in drawn]
    expected = math.sqrt(2 * 0.03**2 + 0.2 / 2000)
    spread = math.sqrt(sum(gain**2 for gain in gains) / len(gains))
    assert spread == pytest.approx(expected, rel=0.3)


def test_runs_that_agree_are_said_to_agree() -> None:
    same, other = [1.0, 0.0] * 50, [0.0, 1.0] * 50
    like = Comparison([], [], NO_LUCK, 100)
    found = calibrate.among([same, same, other], like, RULES, alpha=0.05)
    assert (found.comparisons, found.accepted, found.equal) == (6, 0, 1)


def test_the_interval_of_a_rate() -> None:
    """Wilson: none of 20 leaves room for 16 %."""
    assert calibrate.rate_of(0, 20).high == pytest.approx(0.1611, abs=1e-4)
    assert calibrate.rate_of(50, 1000)[1:] == (pytest.approx(0.0381, abs=1e-4), pytest.approx(0.0653, abs=1e-4))
