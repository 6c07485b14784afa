"""What `evo loop` says: each event while it goes on, and the whole at its end.

Invariant: `expected_of_draws` stands beside every gain where the results allow to tell it.
"""

from __future__ import annotations

from evo.domain.loop import LoopStatus, PickKind
from evo.domain.views import ScoreView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class LoopPickView:
    """`gain`: over exp_0000, in units. `expected_of_draws`: what the best of as many random draws as the tree has runs
    would have been expected to gain; None where one run tells nothing of it."""

    k: int
    kind: PickKind
    experiment: str | None
    hypothesis: str
    why: str
    outcome: str = ""
    score: float | None = None
    gain: float | None = None
    gain_se: float | None = None
    is_best: bool = False
    expected_of_draws: float | None = None


@dataclass(frozen=True)
class LoopEventView:
    """One moment: `began`, `resumed`, `picked`, `ended`, `answered`, `warning` or `over`."""

    event: str
    loop: int
    message: str
    pick: LoopPickView | None = None


@dataclass(frozen=True)
class LoopView:
    """`experiments` counts those that the loop made; `best` is the tree's by posterior mean."""

    id: int
    status: LoopStatus
    reason: str
    experiments: int
    runs: int
    best: str
    score: ScoreView | None
    gain: float | None
    gain_se: float | None
    expected_of_draws: float | None
    committed: str
    picks: list[LoopPickView] = field(default_factory=list)
    truncated: bool = False
