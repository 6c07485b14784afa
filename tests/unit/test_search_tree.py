"""The columns of the search tree: order, counts, refusals, and what dev says of one node."""

from __future__ import annotations

import math
import random

import pytest

from evo.errors import UsageError
from evo.search.tree import SearchNode, Tree, id_key, sighting


def node(name: str, parent: str | None, outcome: str = "scored", **changes: object) -> SearchNode:
    is_scored = outcome == "scored"
    fields = {"gain": 0.01 if is_scored else None, "variance": 4e-4 if is_scored else None}
    fields |= {"is_candidate": is_scored, "hours": None} | changes
    return SearchNode(name, parent, outcome, **fields)  # type: ignore[arg-type]


def test_ids_compare_as_numbers_else_as_text() -> None:
    names = ["10", "9", "exp_0010", "exp_0009", "b", "a10", "a9"]
    assert sorted(names, key=id_key) == ["9", "exp_0009", "10", "exp_0010", "a10", "a9", "b"]


def test_rows_in_any_order_make_the_same_tree() -> None:
    rows = [node("exp_0000", None), *(node(f"exp_{i:04d}", f"exp_{i // 2:04d}") for i in range(1, 50))]
    rows[3] = node("exp_0003", "exp_0001", "failed")
    rows[4] = node("exp_0004", "exp_0002", "pending")
    straight = Tree.grow(rows)
    random.Random(3).shuffle(rows)
    shuffled = Tree.grow(rows)
    assert straight.tried[straight.at("exp_0001")] == 2, "scored and failed children count"
    assert straight.pending[straight.at("exp_0002")] == 1
    for name in straight.ids:
        i, j = straight.at(name), shuffled.at(name)
        assert shuffled.parent[j] < j or name == "exp_0000"
        assert (straight.tried[i], straight.pending[i], straight.depth[i]) == (
            shuffled.tried[j],
            shuffled.pending[j],
            shuffled.depth[j],
        )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([node("0", None), node("1", "2"), node("2", "1")], "'1' (parent '2')"),
        ([node("0", None), node("1", "7")], "'1' (parent '7')"),
        ([node("0", None), node("1", "1")], "'1' (parent '1')"),
        ([node("0", None), node("1", "0"), node("1", "0")], "'1' is already"),
        ([node("0", None), node("1", None)], "second root: '1'"),
        ([], "the root"),
    ],
)
def test_what_is_no_tree_is_named(rows: list[SearchNode], words: str) -> None:
    """§12: a cyclic tree hanging a command, a missing one read as empty."""
    with pytest.raises(UsageError) as problem:
        Tree.grow(rows)
    assert words in problem.value.message


@pytest.mark.parametrize("changes", [{"gain": math.nan}, {"gain": math.inf}, {"variance": 0.0}, {"variance": math.nan}])
def test_numbers_that_are_none_change_nothing(changes: dict[str, float]) -> None:
    """§12: NaN, inf recorded as a score."""
    tree = Tree(node("0", None))
    with pytest.raises(UsageError):
        tree.add(node("1", "0", **changes))
    assert len(tree) == len(tree.anchor) == len(tree.variance) == 1
    assert tree.tried == [0]


def test_a_pick_is_held_until_it_is_released_once() -> None:
    tree = Tree(node("0", None))
    tree.hold(0)
    tree.hold(0)
    tree.release(0)
    assert tree.pending == [1]
    tree.release(0)
    tree.release(0)
    assert tree.pending == [0]


def test_what_dev_says_of_a_node() -> None:
    """DESIGN §9: y_k and s_k² = max(Var d, 1/n)/(2n) + σ_run²/seeds."""
    seen = sighting([1, 1, 0, 0.5], [0, 1, 0, 0], sigma_run=0.007, seeds=2)
    spread = ((1 - 0.375) ** 2 + 0.375**2 * 2 + 0.125**2) / 3
    assert seen.gain == pytest.approx(0.375)
    assert seen.variance == pytest.approx(max(spread, 1 / 4) / 8 + 0.007**2 / 2)
    assert seen.root_half == pytest.approx(spread / 8)
    equal = sighting([1, 0], [1, 0], sigma_run=0.0, seeds=1)
    assert equal == (0.0, pytest.approx(1 / 2 / 4), 0.0), "agreement is not certainty"
    with pytest.raises(UsageError, match="3 dev results for 2 dev items"):
        sighting([1, 0, 1], [1, 0], sigma_run=0.0, seeds=1)


def test_three_repeats_of_a_number_are_not_three_items() -> None:
    """§6: ranked by what the repeats show; 1/n of three would drown every gain of a scalar benchmark."""
    base, better = [0.40, 0.41, 0.42], [0.60, 0.62, 0.61]
    seen = sighting(better, base, sigma_run=0.0, seeds=1, floor=0.02**2)
    assert seen.variance == pytest.approx(0.02**2 / 6)
    assert sighting(better, base, sigma_run=0.0, seeds=1).variance == pytest.approx(1 / 18)
