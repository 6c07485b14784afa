"""What the live screen shows at one moment, as plain data.

Invariant: every number in here was read from the workspace; the drawing adds none and needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evo.domain.experiment import ROOT
from evo.domain.run_views import VitalsView


@dataclass(frozen=True)
class Node:
    """One experiment. `se` is the standard error of `score`; `delta` the difference of score to the parent."""

    id: str
    parent: str | None
    state: str
    technique: str
    hypothesis: str
    score: float | None = None
    se: float | None = None
    delta: float | None = None
    is_certified: bool = False
    """A valid certificate stands behind it. The baseline is committed without one."""
    failure: str = ""
    """Class of its last failure."""

    @property
    def is_root(self) -> bool:
        return self.id == ROOT


@dataclass(frozen=True)
class Work:
    """What runs now. `stage`: queued, training, evaluating, held-out, vault, re-scoring, smoke, finished."""

    experiment: str
    stage: str
    seconds: float
    vitals: VitalsView | None = None
    """What it says of itself; None for work without an attempt."""


@dataclass(frozen=True)
class Curve:
    """The training curve of one attempt: `values` over `steps`, of the metric `name`. `total`: steps to do.

    `mids`: (step, mean) of its mid-evaluations, on an axis of their own.
    """

    experiment: str
    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]
    learning_rate: float | None = None
    total: int | None = None
    seconds: float | None = None
    """Between its first line and its last."""
    is_live: bool = False
    """False for the curve of a run that is over."""
    mids: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class LiveState:
    """`nodes` are parents before children, by number. `is_min`: less is better."""

    name: str
    nodes: tuple[Node, ...]
    looks_used: int
    looks_limit: int
    elapsed_s: float
    work: tuple[Work, ...] = ()
    curve: Curve | None = None
    is_min: bool = False
    low: float | None = 0.0
    high: float | None = 1.0
    message: str = ""
    """What happened last, in one sentence."""
    by_id: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {node.id: node for node in self.nodes})

    @property
    def stages(self) -> dict[str, Work]:
        """What each experiment that is at work is doing."""
        return {work.experiment: work for work in self.work}

    def best_so_far(self) -> list[Node | None]:
        """For every experiment, the best-scored one up to and including it."""
        best: Node | None = None
        line: list[Node | None] = []
        for node in self.nodes:
            if node.score is not None and (best is None or self._is_better(node, best)):
                best = node
            line.append(best)
        return line

    def _is_better(self, node: Node, other: Node) -> bool:
        if node.score is None or other.score is None or node.state in ("discarded", "contaminated"):
            return False
        return node.score < other.score if self.is_min else node.score > other.score
