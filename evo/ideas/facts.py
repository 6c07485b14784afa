"""What an ideator knows of a workspace: the task, what each recipe may do, and how every experiment went.

Invariant: plain values from the store and evo.yaml; nothing of held-out is here, and nothing that a run says of its
own score.
"""

from __future__ import annotations

from typing import Any, Literal

from evo.config import ParamSpec
from evo.domain.experiment import ROOT
from evo.lightdata import dataclass, field

RewardShape = Literal["verifiable", "pairs", "demonstrations", "scorer", "corpus"]


@dataclass(frozen=True)
class Task:
    """`shapes`: what the workspace could learn from, by its scorer and its files, the strongest first.

    `rows` counts training rows by shape; `chance` is the score of guessing, where that is known.
    """

    objective: str
    benchmark: str
    shapes: list[RewardShape]
    rows: dict[str, int] = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)
    scorer: str = ""
    dev_items: int = 0
    base_score: float | None = None
    chance: float | None = None
    is_maximised: bool = True
    unit: float = 1.0
    low: float | None = None
    high: float | None = None
    """Ends of the metric's range; None where it is open."""
    model_family: str = ""
    """`model_type` of the base's config: llama, qwen2, …; empty where there is no model."""
    model_parameters: int = 0
    has_cuda: bool = False
    answer_tokens: int = 0
    """That evaluation allows an answer; 0 where a command asks."""
    disagreement: float = 0.0
    """Share of the training rows that others with the same question contradict."""
    is_asked_here: bool = True
    """evo asks the questions itself; a command that does takes no temperature and no examples."""
    slices: dict[str, float] = field(default_factory=dict)
    """Dev means of the best node by slice, where items carry one."""


@dataclass(frozen=True)
class FailedItem:
    """An item of dev that the best experiment got wrong."""

    id: str
    input: str
    expected: str
    actual: str
    score: float


@dataclass(frozen=True)
class Reading:
    """What was written about the task, by people and by the loop (row C7). `words`: what people wrote, to search by."""

    mission: str = ""
    background: str = ""
    context: str = ""
    plan: str = ""
    failures: list[FailedItem] = field(default_factory=list)
    words: str = ""


def started_from(start: str, parent: str) -> str:
    return {"parent": parent, "base": ROOT}.get(start, start)


@dataclass(frozen=True)
class Node:
    """One experiment. `gain` is over exp_0000, direction-adjusted, in units; `delta` the same over its parent.

    `params` holds what differs from the recipe's defaults; `failure` is the class of its last failed attempt and
    `log_tail` the end of that log; `readings` name what the run's own numbers call for (`reward-flat`, …)
    and the kinds of its open findings.
    """

    id: str
    parent: str | None
    depth: int
    state: str
    recipe: str
    technique: str
    params: dict[str, Any]
    hypothesis: str = ""
    gain: float | None = None
    se: float = 0.0
    delta: float | None = None
    delta_se: float = 0.0
    shrunken: float | None = None
    """Posterior mean gain over exp_0000."""
    score: float | None = None
    failure: str = ""
    log_tail: str = ""
    gpu_seconds: float = 0.0
    is_noop: bool = False
    is_regressed: bool = False
    discard_class: str = ""
    readings: list[str] = field(default_factory=list)
    insight: str = ""
    commit: str | None = None
    reason: str = ""
    """Why it was discarded, in somebody's words."""
    start: str = "parent"
    """What it started from: `parent`, `base`, or an experiment."""
    updated_at: str = ""
    """When its newest fact came in."""
    further: int | None = None
    """The seed that a further run of it would take; None where evo runs none."""

    @property
    def weights_of(self) -> str:
        """The experiment whose weights it started from; exp_0000 for the base model."""
        return started_from(self.start, self.parent or ROOT)


@dataclass(frozen=True)
class RecipeFacts:
    name: str
    technique: str
    reward_shape: str
    params: dict[str, ParamSpec]
    rewards: int = 0
    """Terms that its reward is the sum of."""
    init_from: str = "parent"
    """What its runs start from: `parent`, `base`, or an experiment."""

    @property
    def follows(self) -> bool:
        """Whether another parent means other weights to start from."""
        return self.init_from == "parent"


@dataclass(frozen=True)
class Facts:
    """`best` and `committed` are ids; `findings` the kinds of unsettled findings about the tree as a whole.

    `reading` is there for whoever is asked for ideas.
    """

    task: Task
    nodes: dict[str, Node]
    recipes: dict[str, RecipeFacts]
    best: str
    committed: str
    findings: list[str] = field(default_factory=list)
    rounds_without_gain: int = 0
    reading: Reading = field(default_factory=Reading)

    def path(self, id: str) -> list[Node]:
        """From the root to `id`."""
        line: list[Node] = []
        at: str | None = id
        while at is not None:
            line.append(self.nodes[at])
            at = self.nodes[at].parent
        return line[::-1]

    def children(self, id: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.parent == id]
