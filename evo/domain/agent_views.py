"""Views for whoever drives the tree without looking at it: the brief, the budget, directions, plans and entries.

Invariant: each is bounded; a fact that nobody recorded is named as missing and never filled in.
"""

from __future__ import annotations

from evo.domain.views import FindingView, Hint, PickView, ScoreView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class DirectionView:
    """A message from the person; `acked` says when it was acknowledged."""

    id: int
    text: str
    at: str
    author: str = ""
    acked: str | None = None
    answer: str = ""


@dataclass(frozen=True)
class DirectionsView:
    directions: list[DirectionView]
    message: str = ""
    truncated: bool = False


@dataclass(frozen=True)
class CapView:
    """`name`: gpu_seconds, wall_seconds, attempts, llm_tokens, usd. Without a cap: `cap` and `left` are None."""

    name: str
    spent: float
    reserved: float
    cap: float | None = None
    left: float | None = None


@dataclass(frozen=True)
class ForecastView:
    """What a further run of a recipe takes, by the median of its newest `n` good ones; `fits`: in what is left."""

    recipe: str
    n: int
    wall_seconds: float
    gpu_seconds: float
    fits: bool
    runs_left: int | None = None
    """None: nothing that it needs is capped."""


@dataclass(frozen=True)
class BudgetView:
    caps: list[CapView]
    forecasts: list[ForecastView] = field(default_factory=list)


@dataclass(frozen=True)
class StageView:
    """0 task definition, 1 base evaluation, 2 local diagnosis, 3 evidence-guided exploration."""

    number: int
    name: str
    why: str
    repeated: bool = False
    """The last attempt failed for engineering reasons: the stage is gone through again."""


@dataclass(frozen=True)
class FailureClassView:
    """Attempts without a score, by the class of their failure; `last` is the newest."""

    class_: str
    count: int
    last: str
    message: str


@dataclass(frozen=True)
class NodeView:
    id: str
    score: ScoreView | None
    hypothesis: str = ""


@dataclass(frozen=True)
class IdeaView:
    id: int
    title: str


@dataclass(frozen=True)
class BriefView:
    """What to read first, and again when memory was cut. `constraints`: word for word from mission.md."""

    name: str
    stage: StageView
    goal: str
    constraints: str
    directions: list[DirectionView]
    budget: list[CapView]
    experiments: int
    states: dict[str, int]
    best: NodeView | None
    committed: NodeView
    base: NodeView
    looks_left: int
    running: list[str]
    frontier: list[PickView]
    failures: list[FailureClassView]
    findings: list[FindingView]
    ideas: list[IdeaView]
    ideas_waiting: int
    method_log: list[str]
    """A line for each of the newest experiments, oldest first: dataset, method, constraint, hyperparameters."""
    next: list[Hint]
    lessons: list[str] = field(default_factory=list)
    """What was learnt that bears on the next child of the best experiment; `evo lessons` has all of it."""
    truncated: list[str] = field(default_factory=list)
    """Fields of which there is more."""


@dataclass(frozen=True)
class MethodLogView:
    """A line for each experiment, oldest first."""

    lines: list[str]
    truncated: bool


@dataclass(frozen=True)
class PlanView:
    """What is about to be tried, from the evidence; it executes nothing. `changes`: data, training, or both."""

    experiment: str
    parent: str | None
    problems: list[str]
    objective: str
    kind: str
    changes: list[str]
    success: str
    guidance: list[str]


@dataclass(frozen=True)
class EntryView:
    """One experiment as an entry of a log: thirteen fields. `missing` names those that nobody has filled."""

    experiment: str
    context: str
    status: str
    motivation: str
    references: list[str]
    start_checkpoint: str
    data: list[str]
    method: str
    config: dict[str, object]
    evaluation: str
    result: str
    analysis: str
    artifacts: list[str]
    next_action: str
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DryRunView:
    """What a command would do; nothing was changed."""

    command: str
    would: list[str]
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class OptionView:
    names: list[str]
    type: str
    required: bool
    default: object
    many: bool
    help: str


@dataclass(frozen=True)
class SchemaView:
    """A command: its options, and the JSON schema of each shape that `data` of its reply may have."""

    command: str
    help: str
    options: list[OptionView]
    data: dict[str, object]


@dataclass(frozen=True)
class SchemasView:
    commands: dict[str, list[str]]
    """Command -> names of the views that it replies with."""
