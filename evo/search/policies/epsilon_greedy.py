"""epsilon-greedy: the best measured node, but any candidate with probability ε."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, candidates, raw_gains
from evo.search.ranking import best_first

if TYPE_CHECKING:
    import random

EPSILON = 0.1


class EpsilonGreedy:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        best = best_first(view.tree, raw_gains(view.tree), 1)[0]
        allowed = candidates(view.tree)
        return [rng.choice(allowed) if rng.random() < EPSILON else best for _ in range(k)]
