"""thompson: the best node of one world drawn from the posterior, a new world for each pick."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View
from evo.search.ranking import best_first

if TYPE_CHECKING:
    import random


class Thompson:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        return [best_first(view.tree, view.posterior.draw(rng), 1)[0] for _ in range(k)]
