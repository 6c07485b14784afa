"""Views of a run before and while it trains: the trial before it, and what it says of itself on the way.

Invariant: nothing here is a score, except where it is called one; lists are bounded.
"""

from __future__ import annotations

from evo.domain.views import ScoreView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class FaultView:
    """`reason`: out_of_memory, no_output, dtype, template, tokenizer, reward, training, evaluation, score."""

    reason: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class SmokeView:
    """A trial of a few steps. `score` and `base` are means on the same few dev items and rank nothing."""

    id: str
    passed: bool
    seconds: float
    rows: int
    score: ScoreView | None
    base: float | None
    faults: list[FaultView] = field(default_factory=list)
    log: str = ""
    """Of the stage that failed; empty where the trial passed."""
    message: str = ""
