"""uct: walk down from the root by the mean measured gain below each child plus an exploration bonus (Kocsis and
Szepesvári 2006), and branch where a node has fewer children than √(runs below it), which is progressive widening."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, children_of
from evo.search.tree import NOWHERE, ROOT, Tree

if TYPE_CHECKING:
    import random

EXPLORATION = 0.03
"""Weight of the bonus, in units: about two steps of the walk."""


class Uct:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        """Draws nothing; a pick counts as a visit at once, all the way up."""
        walk = _Walk(view.tree)
        return [walk.pick() for _ in range(k)]


class _Walk:
    """Visits and mean gains per subtree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.children = [[c for c in row if tree.is_candidate[c]] for row in children_of(tree)]
        self.crowd = [c + q for c, q in zip(tree.tried, tree.pending, strict=True)]
        self.visits = [1 + q for q in tree.pending]
        self.scored = [int(gain is not None) for gain in tree.gain]
        self.total = [gain or 0.0 for gain in tree.gain]
        for i in range(len(tree) - 1, ROOT, -1):
            above = tree.parent[i]
            self.visits[above] += self.visits[i]
            self.scored[above] += self.scored[i]
            self.total[above] += self.total[i]

    def pick(self) -> int:
        i = ROOT
        while self.children[i] and self.crowd[i] >= math.ceil(math.sqrt(self.visits[i])):
            i = max(self.children[i], key=lambda child: self._promise(child, i))
        self.crowd[i] += 1
        above = i
        while above != NOWHERE:
            self.visits[above] += 1
            above = self.tree.parent[above]
        return i

    def _promise(self, child: int, i: int) -> float:
        """The child's mean gain below plus its bonus; the first of equals wins in `max`, which is the oldest."""
        mean = self.total[child] / self.scored[child] if self.scored[child] else 0.0
        return mean + EXPLORATION * math.sqrt(math.log(self.visits[i]) / self.visits[child])
