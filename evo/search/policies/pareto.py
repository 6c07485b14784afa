"""pareto-per-item: a dev item at random, then one of the nodes that do best on it (after GEPA, arXiv:2507.19457).

A node is on the front when it is the best on some item; one that alone solves a hard item is picked as often as all
those together that solve an easy one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import ItemLeaders, View
from evo.search.tree import ROOT

if TYPE_CHECKING:
    import random


class ParetoPerItem:
    needs_items: ClassVar[bool] = True

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        leaders = view.leaders
        if leaders is None or not leaders.holders:
            return [ROOT] * k
        return [self._one(view, leaders, rng) for _ in range(k)]

    def _one(self, view: View, leaders: ItemLeaders, rng: random.Random) -> int:
        chosen = rng.choice(rng.choice(leaders.holders))
        return chosen if view.tree.is_candidate[chosen] else ROOT
