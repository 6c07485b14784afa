"""The posterior on the tree against the dense Gaussian formula, and DESIGN §9's reference numbers."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.search.posterior import JUMP, Posterior, Prior
from evo.search.ranking import UcbRules, best_node, upper_bounds
from evo.search.tree import SearchNode, Tree

PRIOR = Prior(mu=-0.002, tau=0.018)
RULES = UcbRules(beta=1.0, kappa=0.004, kappa_cost=0.003)


def scored(name: int, parent: int, gain: float | None, variance: float = 4e-4) -> SearchNode:
    outcome = "scored" if gain is not None else "failed"
    return SearchNode(str(name), str(parent), outcome, gain, variance if gain is not None else None, True, None)


def root() -> SearchNode:
    return SearchNode("0", None, "scored", 0.0, None, True, None)


def reference_tree() -> Tree:
    rows = [(1, 0, 0.05), (2, 1, 0.03), (3, 1, 0.02), (4, 0, 0.01)]
    return Tree.grow([root(), *(scored(*row) for row in rows)])


def dense(tree: Tree, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance by the textbook: the walk's covariance from shared edges, conditioned on what was seen."""
    n = len(tree)
    walk, drift = np.zeros((n, n)), np.zeros(n)
    for i in range(1, n):
        p, a = tree.parent[i], tree.anchor[tree.parent[i]]
        edge, gain = prior.tau**2, tree.gain[i]
        if gain is not None:
            steps = tree.depth[i] - tree.depth[a]
            surprise = gain - tree.gain[a] - steps * prior.mu
            if abs(surprise) > JUMP * math.sqrt(steps * prior.tau**2 + tree.variance[i] + tree.variance[a]):
                edge = surprise**2
        walk[i, :i] = walk[:i, i] = walk[p, :i]
        walk[i, i] = walk[p, p] + edge
        drift[i] = drift[p] + prior.mu
    seen = [i for i in range(1, n) if tree.gain[i] is not None]
    if not seen:
        return drift, walk
    noise = np.diag([tree.variance[i] for i in seen])
    weights = np.linalg.solve(walk[np.ix_(seen, seen)] + noise, walk[seen]).T
    mean = drift + weights @ (np.array([tree.gain[i] for i in seen]) - drift[seen])
    return mean, walk - weights @ walk[seen]


@st.composite
def trees(draw: st.DrawFn) -> list[SearchNode]:
    """Random trees with failed nodes, leaps and collapses."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    size = draw(st.integers(2, 40))
    reach = draw(st.sampled_from([1, 3, 100]))
    rows, true = [root()], [0.0]
    for i in range(1, size):
        parent = max(0, i - 1 - rng.randrange(reach))
        true.append(true[parent] + rng.gauss(-0.002, 0.018) + rng.choice([0, 0, 0, 0, 0.4, -0.35]))
        variance = 10 ** rng.uniform(-5, -2)
        gain = None if rng.random() < 0.15 else true[i] + rng.gauss(0.0, math.sqrt(variance))
        rows.append(scored(i, parent, gain, variance))
    return rows


def test_reference_numbers() -> None:
    """DESIGN §9: m, sd, cov and U of the reference tree; branch from 2 although 1 has the highest raw score."""
    tree = reference_tree()
    posterior = Posterior(tree, PRIOR)
    assert posterior.mean == pytest.approx([0, 0.023166, 0.025120, 0.020644, 0.003370], abs=1e-5)
    deviations = [math.sqrt(v) for v in posterior.variance]
    assert deviations == pytest.approx([0, 0.010944, 0.014682, 0.014682, 0.013379], abs=1e-5)
    assert posterior.covariance(1, 2) == pytest.approx(6.618e-5, abs=1e-8)
    bounds = upper_bounds(tree, posterior, RULES)
    assert bounds == pytest.approx([-0.004394, 0.029716, 0.039802, 0.035327, 0.016749], abs=1e-5)
    assert tree.ids[best_node(tree, posterior)] == "2"


@settings(deadline=None, max_examples=150)
@given(trees())
def test_one_pass_up_and_down_equals_the_dense_formula(rows: list[SearchNode]) -> None:
    tree = Tree.grow(rows)
    posterior = Posterior(tree, PRIOR)
    mean, covariance = dense(tree, PRIOR)
    assert posterior.mean == pytest.approx(mean, abs=1e-9)
    found = [[posterior.covariance(i, j) for j in range(len(tree))] for i in range(len(tree))]
    assert np.allclose(found, covariance, atol=1e-9)
    i, j = len(tree) - 1, len(tree) // 2
    expected = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    assert posterior.difference(i, j) == pytest.approx((mean[i] - mean[j], expected), abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(trees())
def test_node_by_node_gives_what_the_whole_tree_gives(rows: list[SearchNode]) -> None:
    tree = Tree(rows[0])
    posterior = Posterior(tree, PRIOR)
    for row in rows[1:]:
        tree.add(row)
        assert len(posterior.mean) == len(tree)
    whole = Posterior(Tree.grow(rows), PRIOR)
    assert posterior.mean == pytest.approx(whole.mean, abs=1e-12)
    assert posterior.variance == pytest.approx(whole.variance, abs=1e-12)
    last = len(tree) - 1
    assert posterior.covariance(last, last // 2) == pytest.approx(whole.covariance(last, last // 2), abs=1e-12)


def test_a_leap_is_believed_and_a_small_step_is_shrunk() -> None:
    """DESIGN §9, jump edges: a walk with τ = .018 would shrink .40 to a third; e² keeps it."""
    tree = Tree.grow([root(), scored(1, 0, 0.40), scored(2, 0, 0.03), scored(3, 1, 0.05)])
    mean = Posterior(tree, PRIOR).mean
    assert mean[1] == pytest.approx(0.40, abs=0.003)
    assert mean[2] < 0.015
    assert mean[3] == pytest.approx(0.05, abs=0.003), "the collapse of 3 does not drag 1 down"


def test_a_leap_across_a_failed_parent_is_still_a_leap() -> None:
    tree = Tree.grow([root(), scored(1, 0, None), scored(2, 1, 0.40)])
    assert Posterior(tree, PRIOR).mean[2] == pytest.approx(0.40, abs=0.003)


def test_worlds_drawn_from_the_posterior_have_its_mean_and_covariance() -> None:
    posterior = Posterior(reference_tree(), PRIOR)
    rng = random.Random(5)
    worlds = np.array([posterior.draw(rng) for _ in range(20_000)])
    assert worlds.mean(axis=0) == pytest.approx(posterior.mean, abs=5e-4)
    assert np.cov(worlds.T)[1, 2] == pytest.approx(6.618e-5, rel=0.1)


def test_a_chain_of_100000_nodes_needs_no_recursion() -> None:
    """§12: a 1,100-deep tree hanging a command."""
    tree = Tree.grow([root(), *(scored(i, i - 1, 0.0001 * (i % 7)) for i in range(1, 100_001))])
    posterior = Posterior(tree, PRIOR)
    assert math.isfinite(posterior.mean[-1])
    assert posterior.covariance(100_000, 1) == pytest.approx(0.0, abs=1e-30)
