"""How answers are generated: the part of an EvalJob that a model backend acts on, typed.

A default here is the neutral value (greedy, once, no stop text); what a workspace gets is in `evo.config`.
"""

from __future__ import annotations

from collections.abc import Mapping

from evo.lightdata import dataclass, field
from evo.validation import restore


@dataclass(frozen=True)
class Generation:
    """`temperature` 0 is greedy. Sample k is drawn from `seed` + k."""

    max_new_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0
    batch_size: int = 1
    stop: list[str] = field(default_factory=list)


def generation_of(options: Mapping[str, object]) -> Generation:
    return restore(Generation, options)
