"""The views that commands emit: the same object feeds the terminal, `--json` and MCP.

Invariant: the fields are the contract of the JSON data; `as_data` adds nothing and never yields NaN or infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evo.errors import EvoError
from evo.lightdata import dataclass, field, fields, is_dataclass

if TYPE_CHECKING:
    from evo.domain.guard_views import GuardView
    from evo.domain.run_views import MidView, ReadingsView, VitalsView


def as_data(value: Any) -> Any:
    """Plain JSON data for a view. A number that is not finite becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name.rstrip("_"): as_data(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {str(key): as_data(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_data(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class Hint:
    """A next step: a command that works as it stands, and why."""

    cmd: str
    why: str


@dataclass(frozen=True)
class Reply:
    """What a use case hands to the command line: one view, next steps, warnings."""

    view: Any
    next: tuple[Hint, ...] = ()
    warnings: tuple[str, ...] = ()
    failure: EvoError | None = None
    """Shown beside the view, and the exit code: a failed run still has an experiment to show."""


@dataclass(frozen=True)
class ScoreView:
    mean: float
    se: float
    n: int


@dataclass(frozen=True)
class IntervalView:
    """A 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RecipeView:
    name: str
    technique: str
    params: dict[str, object]


@dataclass(frozen=True)
class AttemptView:
    n: int
    seed: int
    outcome: str | None
    class_: str
    seconds: float | None
    isolation: str
    state: str = "ended"
    message: str = ""
    log: str = ""


@dataclass(frozen=True)
class CertificateView:
    against: str
    passed: bool
    look: int
    mode: str
    isolation: str = "none"
    void: bool = False
    lineage: str = ""
    """`declared: exp_0004 was adopted` where weights that evo did not train went into it."""


@dataclass(frozen=True)
class CostView:
    gpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class FindingView:
    """What a check has found; `severity`: block, warn or note. `settled` says why it is over, where it is."""

    id: int
    experiment: str | None
    source: str
    kind: str
    severity: str
    message: str
    evidence: dict[str, object] = field(default_factory=dict)
    next: str = ""
    settled: str = ""


@dataclass(frozen=True)
class ExperimentView:
    """`show` and `run`. `delta` is the paired difference to the parent; `shrunken` the posterior gain over the root."""

    id: str
    parent: str | None
    state: str
    hypothesis: str
    recipe: RecipeView
    score: ScoreView | None
    delta: IntervalView | None
    attempts: list[AttemptView]
    certificate: CertificateView | None
    epoch: str | None
    cost: CostView
    seed: int = 0
    running: bool = False
    noop: bool = False
    regressed: bool = False
    """Not evaluated: by mid-evaluation it is clearly worse than its parent."""
    forbidden: bool = False
    dev_exposed: bool = False
    """It, or one that it descends from, trained on data made from dev failures: its dev score is too good."""
    created: str = ""
    worktree: str = ""
    commit: str | None = None
    insight: str = ""
    reason: str = ""
    shrunken: IntervalView | None = None
    corrected: float | None = None
    """Of the best experiment: its score, less what it owes to having been chosen as the best."""
    seeds: int = 0
    slices: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    counted: str = "dev items"
    """What `score.n` counts; `repeats` of a benchmark that yields one number a call."""
    claim: str = ""
    """What the score speaks for: `one run`, or `mean of 3 seeds`."""
    evidence: float | None = None
    """ζ over the last committed node, from dev; None where the gate would not ask about it."""
    needed: float | None = None
    """The ζ at which the gate asks."""
    message: str = ""
    """One kind sentence about what happened and what it means."""
    vitals: VitalsView | None = None
    """What it says of itself, while it runs."""
    mids: list[MidView] = field(default_factory=list)
    """How the checkpoints of its last attempt stood, once that has ended."""
    readings: ReadingsView | None = None
    findings: list[FindingView] = field(default_factory=list)
    """The gravest first."""
    guards: list[GuardView] = field(default_factory=list)


@dataclass(frozen=True)
class NewView:
    id: str
    created: bool
    worktree: str
    parent: str | None = None
    picked_by: str | None = None
    """The policy that chose the parent, None when it was named."""


@dataclass(frozen=True)
class NewGridView:
    """`new --grid`: one entry for each point of the grid."""

    experiments: list[NewView]


@dataclass(frozen=True)
class LooksView:
    used: int
    limit: int


@dataclass(frozen=True)
class RunningView:
    id: str
    attempt: int
    stage: str
    seconds: float
    heartbeat_age_s: float | None


@dataclass(frozen=True)
class EpochView:
    """The evaluation in force since `at`: the `number`-th, and what was changed in it then, in words."""

    hash: str
    number: int
    changes: list[str]
    at: str


@dataclass(frozen=True)
class LoopStandView:
    """How the last loop stands. `status`: running, quiet (running by its word, but gone or silent: `reason` names
    the process), stopped, error or completed. `wanted`: how many experiments it is to make; None: no such end."""

    id: int
    status: str
    made: int
    wanted: int | None
    reason: str = ""


@dataclass(frozen=True)
class StatusView:
    """`states` counts each standing; `best` and `committed` are ids (committed: the last one).

    `best_by` says what makes `best` the best: `posterior` (the shrunken estimate), or in a large tree `dev gain`.
    """

    experiments: int
    states: dict[str, int]
    best: str | None
    committed: str
    looks: LooksView
    running: list[RunningView]
    stale: list[RunningView]
    name: str = ""
    best_by: str = "posterior"
    best_score: ScoreView | None = None
    corrected: float | None = None
    """The best score, less what it owes to having been chosen as the best."""
    committed_score: ScoreView | None = None
    base_score: ScoreView | None = None
    attempts: int = 0
    trained: list[str] = field(default_factory=list)
    """Experiments whose evaluation is still owed."""
    interrupted: list[str] = field(default_factory=list)
    """Experiments whose training was cut off: `evo run` goes on at their last checkpoint."""
    diagnoses: list[FindingView] = field(default_factory=list)
    """What `evo diagnose` says of the tree and nobody has settled."""
    epoch: EpochView | None = None
    """None before the first evaluation."""
    loop: LoopStandView | None = None


@dataclass(frozen=True)
class TreeNodeView:
    id: str
    parent: str | None
    state: str
    score: float | None
    hypothesis: str
    recipe: str
    depth: int = 0
    se: float | None = None
    running: bool = False
    certified: bool = False
    children: int = 0
    """How many it has, shown or not."""
    old_epoch: bool = False
    """The score is of an earlier evaluation and is not comparable."""
    corrected: float | None = None
    """Of the best experiment: its score, less what it owes to having been chosen as the best."""
    dev_exposed: bool = False


@dataclass(frozen=True)
class TreeView:
    """Nodes in depth-first order, children by id. `total`: how many there are in the whole tree."""

    nodes: list[TreeNodeView]
    truncated: bool
    total: int = 0


@dataclass(frozen=True)
class PickView:
    id: str
    value: float
    mean: float
    sd: float


@dataclass(frozen=True)
class FrontierView:
    policy: str
    picks: list[PickView]
    seed: int | None = None


@dataclass(frozen=True)
class CertifyView:
    id: str
    against: str
    passed: bool
    looks: LooksView
    message: str = ""


@dataclass(frozen=True)
class ReleaseView:
    id: str
    vault: VaultView
    opened_now: bool
    message: str = ""


@dataclass(frozen=True)
class VaultView:
    """The final number with its 95 % interval. `source` is `vault`, or `heldout (reused, k looks)`."""

    mean: float
    low: float
    high: float
    n: int
    source: str = "vault"


@dataclass(frozen=True)
class KeyValueView:
    key: str
    value: object


@dataclass(frozen=True)
class FailureView:
    id: str
    slice: str | None
    input: str
    expected: str | None
    output: str | None
    score: float


@dataclass(frozen=True)
class FailuresView:
    """Dev items only, worst first."""

    experiment: str
    items: list[FailureView]
    total: int
    truncated: bool


@dataclass(frozen=True)
class MessageView:
    """A command whose whole outcome is a sentence and a few facts."""

    message: str
    facts: dict[str, object] = field(default_factory=dict)
