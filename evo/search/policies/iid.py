"""iid: every run starts from the root. What any search has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View
from evo.search.tree import ROOT

if TYPE_CHECKING:
    import random


class Iid:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        return [ROOT] * k
