"""What a run is worth before it is made: known values, and the order that common sense asks for."""

from __future__ import annotations

import math
import random

import pytest

from evo.search.worth import Contender, expected_best, improvement, of_child, of_items, of_seed


def test_the_expected_best_of_draws_is_that_of_order_statistics() -> None:
    """Blom's values against the mean of many maxima: within .02 standard deviations."""
    rng = random.Random(1)
    for n in (2, 5, 12, 40):
        best = sum(max(rng.gauss(0.1, 0.05) for _ in range(n)) for _ in range(4000)) / 4000
        assert expected_best(0.1, 0.05, n) == pytest.approx(best, abs=0.002)
    assert expected_best(0.1, 0.05, 1) == 0.1


def test_the_unit_normal_loss_has_its_known_values() -> None:
    assert improvement(0.0, 1.0) == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert improvement(-1.0, 1.0) == pytest.approx(0.0833, abs=1e-4)
    assert improvement(0.3, 0.0) == 0.3


def test_a_seed_is_worth_most_where_runs_are_noisy_and_two_nodes_overlap() -> None:
    """A noisy recipe and two equal nodes: a further seed beats a small step; a quiet recipe: never."""
    noisy = Contender(0.10, 0.002, 0.003, 0.0025, 1)
    quiet = Contender(0.10, 0.002, 0.003, 0.00005, 1)
    step = of_child(0.10, 0.02, noise=0.003, best=0.10)
    assert of_seed(noisy, noisy) > step > of_seed(quiet, quiet)
    assert of_seed(noisy, noisy._replace(mean=-0.3)) < 1e-6
    assert of_items(quiet, quiet) > of_seed(quiet, quiet)
