"""greedy: every run starts from the best measured result so far, as hill-climbing loops do (keep what is better)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, raw_gains
from evo.search.ranking import best_first

if TYPE_CHECKING:
    import random


class Greedy:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        return best_first(view.tree, raw_gains(view.tree), 1) * k
