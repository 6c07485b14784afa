"""tree-ucb, the default: highest upper confidence bound of the true gain, less crowding and cost (DESIGN §9)."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View
from evo.search.ranking import best_first, upper_bound, upper_bounds
from evo.search.tree import id_key

if TYPE_CHECKING:
    import random


class TreeUcb:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        """Draws nothing. A pick only lowers its own node, so all k come out of the k best before the first."""
        tree = view.tree
        bounds = upper_bounds(tree, view.posterior, view.rules)
        heap = [(-bounds[i], id_key(tree.ids[i]), i, 0) for i in best_first(tree, bounds, k)]
        heapq.heapify(heap)
        picks = []
        for _ in range(k):
            _, name, i, extra = heap[0]
            picks.append(i)
            lowered = upper_bound(tree, view.posterior, view.rules, i, extra=extra + 1)
            heapq.heapreplace(heap, (-lowered, name, i, extra + 1))
        return picks
