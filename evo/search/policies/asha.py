"""asha: asynchronous successive halving (Li et al. 2020) on the tree, where a rung is a depth.

A node in the best 1/η of its rung by measured gain earns one child, the deepest rung first; when nobody has
earned one, a new line starts at the root. The top rung is log_η(budget): what lies there is not trained further.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, candidates, raw_gains
from evo.search.tree import ROOT, id_key

if TYPE_CHECKING:
    import random

ETA = 2


class Asha:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        """Draws nothing."""
        earned = self._earned(view)
        return (earned + [ROOT] * k)[:k]

    def _earned(self, view: View) -> list[int]:
        tree = view.tree
        gains = raw_gains(tree)
        top = math.inf if view.budget is None else math.floor(math.log(max(ETA, view.budget), ETA))
        rungs: dict[int, list[int]] = {}
        for i in candidates(tree):
            if i != ROOT and tree.gain[i] is not None and tree.depth[i] < top:
                rungs.setdefault(tree.depth[i], []).append(i)
        earned = []
        for depth in sorted(rungs, reverse=True):
            rung = sorted(rungs[depth], key=lambda i: (-gains[i], id_key(tree.ids[i])))
            earned += [i for i in rung[: len(rung) // ETA] if not tree.tried[i] + tree.pending[i]]
        return earned
