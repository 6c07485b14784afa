"""What a use case tells of work that takes long; the command line draws it, a pipe gets a line now and then."""

from __future__ import annotations

from collections.abc import Callable

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class Tick:
    """One moment of one experiment. `stage`: queued, training, evaluating, smoke, held-out, vault, re-scoring, waiting
    (while another process is at it)."""

    experiment: str
    attempt: int
    stage: str
    seconds: float
    metrics: dict[str, object] = field(default_factory=dict)
    heartbeat_age_s: float | None = None
    folder: str = ""
    """Of the attempt, where there is one: more about it is to be read there."""


OnTick = Callable[[Tick], None]


def silent(tick: Tick) -> None:
    """For callers that show nothing."""
    del tick
