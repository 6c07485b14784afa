"""top-k: the k best measured nodes, one pick each; more workers than nodes start again from the best."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, raw_gains
from evo.search.ranking import best_first

if TYPE_CHECKING:
    import random

WIDTH = 5
"""A single worker has width too: it takes the least crowded of so many."""


class TopK:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        tree = view.tree
        best = best_first(tree, raw_gains(tree), max(k, WIDTH))
        best.sort(key=lambda i: tree.tried[i] + tree.pending[i])
        return list(islice(cycle(best), k))
