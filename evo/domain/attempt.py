"""Attempts: one try at running an experiment.

Invariant: an attempt without an outcome is the only one of its experiment; its token is the only one whose
result is accepted.
"""

from __future__ import annotations

from typing import Literal, get_args

from evo.lightdata import dataclass, field

Outcome = Literal["ok", "failed", "timed_out", "killed", "lost"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
AttemptState = Literal["queued", "running", "trained", "ended"]
"""`trained`: training is over, its evaluation is still owed and costs no further attempt."""
INTERRUPTED = "interrupted"
"""Failure of a live attempt whose training was cut off and can go on at a checkpoint."""
MOST_RESUMES = 3


@dataclass(frozen=True)
class Attempt:
    """Seconds are wall-clock; `gpu_seconds` is wall time multiplied by GPUs held."""

    experiment: str
    n: int
    seed: int
    token: str
    state: AttemptState
    created_at: str
    outcome: Outcome | None = None
    failure: str = ""
    """Class of the failure: `nonzero_exit`, `out_of_memory`, `no_output`, `bad_result`, `eval_failed`, …"""
    message: str = ""
    executor: str = "local"
    detached: bool = False
    isolation: str = "none"
    train_seconds: float | None = None
    eval_seconds: float | None = None
    gpu_seconds: float = 0.0
    ended_at: str | None = None
    commit: str | None = None
    content_hash: str | None = None
    weights_hash: str | None = None
    is_noop: bool = False
    controller: str = ""
    """`host boot_id pid pid_start` of the process that claimed it."""
    resumes: int = 0
    summary: dict[str, float] = field(default_factory=dict)
    """The end of its metrics: `train_score`, `reward`, `loss`, `steps`, `tokens`, … where it logged them."""
    wall_reserved: float | None = None
    """The most seconds that a budget leaves to what runs of it now, training and evaluation; None: no such limit."""

    @property
    def is_interrupted(self) -> bool:
        """Nothing of it runs, and it goes on at its last checkpoint when it is run again; no attempt is spent."""
        return self.outcome is None and self.failure == INTERRUPTED

    @property
    def counts(self) -> bool:
        """True when this attempt counts against `max-attempts`: every one that started, save the lost."""
        return self.outcome != "lost"
