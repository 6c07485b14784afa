"""softmax: a candidate with probability proportional to exp(measured gain / T), with replacement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from evo.search.policies.base import View, candidates, raw_gains

if TYPE_CHECKING:
    import random

TEMPERATURE = 0.02
"""About one standard error of 200 binary results, in units."""


class Softmax:
    needs_items: ClassVar[bool] = False

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        allowed = candidates(view.tree)
        gains = raw_gains(view.tree)
        top = max(gains[i] for i in allowed)
        weights = [math.exp((gains[i] - top) / TEMPERATURE) for i in allowed]
        return rng.choices(allowed, weights, k=k)
