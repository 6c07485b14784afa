"""The contract of `evo.search.policies.base.Policy`, over every member of the family, and what marks each one."""

from __future__ import annotations

import copy
import random
from collections import Counter

import pytest

from evo.registry import TABLES, load
from evo.search.policies.base import ItemLeaders, Policy, View
from evo.search.posterior import Posterior, Prior
from evo.search.ranking import UcbRules
from evo.search.tree import SearchNode, Tree

NAMES = sorted(TABLES["policy"])
RULES = UcbRules(beta=1.0, kappa=0.004, kappa_cost=0.003)
ITEMS = 12


def policy(name: str) -> Policy:
    member: Policy = load("policy", name)()
    return member


def node(name: int, parent: int, gain: float | None, *, is_candidate: bool = True) -> SearchNode:
    outcome = "scored" if gain is not None else "failed"
    variance = None if gain is None else 4e-4
    return SearchNode(str(name), str(parent), outcome, gain, variance, is_candidate and gain is not None, None)


def root() -> SearchNode:
    return SearchNode("0", None, "scored", 0.0, None, True, None)


def view_of(tree: Tree, *, budget: int | None = 50) -> View:
    rng, leaders = random.Random(9), ItemLeaders()
    for i in range(len(tree)):
        if tree.gain[i] is not None:
            leaders.add(i, [float(rng.random() < 0.4) for _ in range(ITEMS)])
    return View(tree, Posterior(tree, Prior(-0.002, 0.018)), RULES, budget, leaders)


def bushy(size: int = 200) -> Tree:
    rng, rows = random.Random(4), [root()]
    for i in range(1, size):
        parent = rng.randrange(max(0, i - 20), i)
        gain = None if rng.random() < 0.1 else rng.gauss(0.0, 0.03)
        rows.append(node(i, parent, gain, is_candidate=rng.random() < 0.8))
    return Tree.grow(rows)


@pytest.mark.parametrize("name", NAMES)
def test_names_k_candidates_and_changes_nothing(name: str) -> None:
    view = view_of(bushy())
    before = copy.deepcopy(vars(view.tree))
    for k in (1, 4, 300):
        picks = policy(name).pick(view, k, rng=random.Random(1))
        assert len(picks) == k
        assert all(view.tree.is_candidate[i] for i in picks), "discarded and failed nodes are never named"
    assert vars(view.tree) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_settles_every_pick(name: str) -> None:
    """DESIGN §9: every stochastic pick takes a seed."""
    answers = [policy(name).pick(view_of(bushy()), 8, rng=random.Random(7)) for _ in range(2)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_root_is_branched_from(name: str) -> None:
    for budget in (None, 0, 1):
        assert policy(name).pick(view_of(Tree.grow([root()]), budget=budget), 3, rng=random.Random(1)) == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_of_failures_and_discards_leaves_the_root(name: str) -> None:
    tree = Tree.grow([root(), node(1, 0, None), node(2, 1, None), node(3, 0, 0.3, is_candidate=False)])
    assert set(policy(name).pick(view_of(tree), 4, rng=random.Random(1))) == {0}


@pytest.mark.parametrize("name", NAMES)
def test_deep_trees_are_ordinary(name: str) -> None:
    """§12: a 1,100-deep tree hanging a command."""
    tree = Tree.grow([root(), *(node(i, i - 1, 0.0001 * i) for i in range(1, 5_001))])
    assert len(policy(name).pick(view_of(tree, budget=None), 4, rng=random.Random(1))) == 4


def small() -> Tree:
    """Two lines: 1 → 3 (worse than 1) and 2 → 4 (the highest)."""
    return Tree.grow([root(), node(1, 0, 0.05), node(2, 0, 0.03), node(3, 1, 0.01), node(4, 2, 0.06)])


def chosen(name: str, tree: Tree, k: int, *, seed: int = 1) -> list[str]:
    return [tree.ids[i] for i in policy(name).pick(view_of(tree), k, rng=random.Random(seed))]


def test_each_by_what_marks_it() -> None:
    assert chosen("iid", small(), 3) == ["0", "0", "0"]
    assert chosen("greedy", small(), 3) == ["4", "4", "4"]
    assert chosen("argmax", small(), 4) == ["4", "1", "3", "4"], "2 has a better child, the root has better children"
    assert chosen("asha", small(), 3) == ["4", "0", "0"], "rung 2: 4 beats 3; rung 1: 1 has a child already"


def test_top_k_goes_round_the_best_least_crowded_first() -> None:
    tree = Tree.grow([root(), *(node(i, 0, 0.01 * i) for i in range(1, 8)), node(8, 7, -0.1)])
    assert chosen("top-k", tree, 5) == ["6", "5", "4", "3", "7"]


def test_the_stochastic_ones_explore() -> None:
    tree = small()
    share = Counter(chosen("epsilon-greedy", tree, 4000))
    assert share["4"] / 4000 == pytest.approx(0.9 + 0.1 / 5, abs=0.02)
    share = Counter(chosen("softmax", tree, 4000))
    assert share["1"] / share["4"] == pytest.approx(2.71828 ** (-0.01 / 0.02), rel=0.15)
    assert set(chosen("thompson", tree, 400)) >= {"1", "2", "4"}


def test_thompson_picks_as_often_as_a_node_is_the_best() -> None:
    tree = Tree.grow([root(), node(1, 0, 0.05), node(2, 0, 0.05)])
    share = Counter(chosen("thompson", tree, 2000))
    assert share["1"] / 2000 == pytest.approx(share["2"] / 2000, abs=0.05)
    assert share["0"] < share["1"]


def test_pareto_gives_the_only_solver_of_an_item_its_turn() -> None:
    tree = Tree.grow([root(), node(1, 0, 0.2), node(2, 0, -0.2)])
    leaders = ItemLeaders()
    for i, results in enumerate([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]):
        leaders.add(i, results)
    assert leaders.holders == [[0, 1], [0, 1], [1], [2]]
    view = View(tree, Posterior(tree, Prior(-0.002, 0.018)), RULES, None, leaders)
    share = Counter(policy("pareto-per-item").pick(view, 4000, rng=random.Random(2)))
    assert {i: share[i] / 4000 for i in range(3)} == pytest.approx({0: 0.25, 1: 0.5, 2: 0.25}, abs=0.03)


def test_uct_widens_before_it_descends() -> None:
    """A node gets another child while it has fewer than √(runs below it)."""
    assert chosen("uct", Tree.grow([root(), node(1, 0, 0.05)]), 1) == ["0"], "one child of two visits"
    tree = Tree.grow([root(), node(1, 0, 0.05), node(2, 0, -0.2)])
    assert chosen("uct", tree, 1) == ["1"], "two children of three visits: down, into the better line"
    close = Tree.grow([root(), node(1, 0, 0.05), node(2, 0, 0.045)])
    assert chosen("uct", close, 2) == ["1", "2"], "the first pick counts as a visit for the second"
