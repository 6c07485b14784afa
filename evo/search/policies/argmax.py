"""argmax: the best measured leaf, the rule of tools whose frontier is the kept nodes that nothing kept or running
descends from. Kept means: measured above its parent. With k workers the leaves go one by one; when none is left, the
best measured node is picked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, raw_gains
from evo.search.ranking import best_first
from evo.search.tree import ROOT, Tree

if TYPE_CHECKING:
    import random


class Argmax:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        tree = view.tree
        gains = raw_gains(tree)
        closed = _inner_nodes(tree, gains)
        leaves = [float("-inf") if is_inner else gain for gain, is_inner in zip(gains, closed, strict=True)]
        picks = [i for i in best_first(tree, leaves, k) if leaves[i] > float("-inf")]
        return picks + best_first(tree, gains, 1) * (k - len(picks))


def _inner_nodes(tree: Tree, gains: list[float]) -> list[bool]:
    """True where a child runs, or one was measured above the node."""
    closed = [count > 0 for count in tree.pending]
    for i in range(ROOT + 1, len(tree)):
        if gains[i] > gains[tree.parent[i]]:
            closed[tree.parent[i]] = True
    return closed
