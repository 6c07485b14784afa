"""The loop: one search that somebody left alone, and its picks, which are planned, run and ended one by one.

Invariant: plain values; what a pick plans is for that pick alone and changes no setting of the workspace.
"""

from __future__ import annotations

from typing import Any, Literal

from evo.lightdata import dataclass, field

LoopStatus = Literal["running", "stopped", "error", "completed"]
PickKind = Literal["move", "draw", "idea", "data", "seed"]
"""Values of parameters by the results so far; an independent draw; an idea that was taken; training data by slice; a
further seed of an experiment that is there."""


@dataclass(frozen=True)
class LoopOptions:
    """`experiments`: how many to make; None: no such end. `until`: target, budget, stall:K or never."""

    experiments: int | None = None
    until: str = "budget"
    workers: int = 1
    ideator: str = "kb"
    policy: str = ""
    """Empty: the loop's own choice, which is the workspace's policy where weights are inherited."""
    recipes: list[str] = field(default_factory=list)
    seed: int = 42


@dataclass(frozen=True)
class Plan:
    """What one pick is to try. `settings` are parameters of this experiment alone; training rows of `slices` are drawn
    twice, as many of each as `rows` says.

    `gain` is the expected gain over exp_0000, in units, with its 95 % interval, where the results speak of it.
    """

    hypothesis: str
    why: str
    parent: str = ""
    recipe: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 42
    slices: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    idea: int | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Pick:
    """The k-th pick of a loop. `outcome`: empty while it is under way; else scored, or the word of its failure."""

    loop: int
    k: int
    kind: PickKind
    plan: Plan
    experiment: str | None = None
    outcome: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    ended_at: str | None = None

    @property
    def is_open(self) -> bool:
        return not self.outcome

    @property
    def counts(self) -> bool:
        """Whether it makes one of the experiments that were asked for: what was refused before it ran is none, and a
        further seed makes none."""
        return self.kind != "seed" and self.outcome != "refused"


@dataclass(frozen=True)
class Loop:
    """`start_commit`: what children of the base see of the workspace, the same for all of one loop."""

    id: int
    options: LoopOptions
    status: LoopStatus
    start_commit: str
    reason: str = ""
    controller: str = ""
    created_at: str = ""
