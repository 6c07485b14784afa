"""Further views of the read commands: comparisons, logs, diffs, lines of descent, notes.

Invariant: every list is bounded, and `truncated` says when there is more. A difference is second minus first (`compare
A B`: B − A), in the metric's own units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.domain.views import Hint, IntervalView, ScoreView
from evo.lightdata import dataclass, field

if TYPE_CHECKING:
    from evo.domain.agent_views import StageView
    from evo.domain.guard_views import GuardView
    from evo.domain.run_views import ReadingsView


@dataclass(frozen=True)
class SideView:
    """One of the two that are compared."""

    id: str
    state: str
    hypothesis: str
    recipe: str
    score: ScoreView | None
    dev_exposed: bool = False
    corrected: float | None = None
    """Of the best experiment: its score, less what it owes to having been chosen as the best."""


@dataclass(frozen=True)
class SliceView:
    """Means of both sides on the dev items of one slice, and the paired difference."""

    slice: str
    n: int
    a: float
    b: float
    delta: IntervalView


@dataclass(frozen=True)
class FlipView:
    """A dev item on which the two differ: the scores, and what each answered."""

    id: str
    slice: str | None
    input: str
    expected: str | None
    a: float
    b: float
    a_output: str | None
    b_output: str | None


@dataclass(frozen=True)
class ChangeView:
    """One parameter, dataset or setting that differs; None where a side has none."""

    name: str
    a: object
    b: object


@dataclass(frozen=True)
class FileChangeView:
    """Lines added and removed; None for a binary file."""

    path: str
    added: int | None
    removed: int | None


@dataclass(frozen=True)
class CurveView:
    """What `metrics.jsonl` of the scored attempt says of the loss."""

    points: int
    steps: int | None
    first_loss: float | None
    last_loss: float | None
    lowest_loss: float | None


@dataclass(frozen=True)
class CompareView:
    """B − A on their common dev items of one epoch; `gained` and `lost` count items where B is better or worse."""

    a: SideView
    b: SideView
    epoch: str
    n: int
    delta: IntervalView
    gained: int
    lost: int
    slices: list[SliceView]
    flipped: list[FlipView]
    truncated: bool
    changes: list[ChangeView]
    files: list[FileChangeView]
    curves: dict[str, CurveView | None] = field(default_factory=dict)
    readings: dict[str, ReadingsView | None] = field(default_factory=dict)
    """How each side was trained, and what its own numbers call for."""
    guards: list[GuardView] = field(default_factory=list)
    """Of B; `delta` is B − A."""


@dataclass(frozen=True)
class NextView:
    """What to do next, most useful first: the same steps as the envelope's `next`. `stage`: where the work stands."""

    stage: StageView
    steps: list[Hint]
    truncated: bool = False


@dataclass(frozen=True)
class DiffView:
    """What the worktree of `experiment` changed since `against`. `text`: a unified diff of at most `--limit` lines."""

    experiment: str
    against: str
    files: list[FileChangeView]
    text: str
    truncated: bool
    changes: list[ChangeView] = field(default_factory=list)


@dataclass(frozen=True)
class LogView:
    """The end of one log file of an attempt."""

    experiment: str
    attempt: int
    kind: str
    """`train` or `eval`."""
    path: str
    lines: list[str]
    truncated: bool


@dataclass(frozen=True)
class EventView:
    at: str
    kind: str
    experiment: str | None
    attempt: int | None
    data: dict[str, object]


@dataclass(frozen=True)
class EventLogView:
    """The last events, oldest first."""

    events: list[EventView]
    truncated: bool


@dataclass(frozen=True)
class PathNodeView:
    """`gain`: paired dev difference to exp_0000, direction-adjusted, in units; None without a score of this epoch."""

    id: str
    state: str
    hypothesis: str
    recipe: str
    score: ScoreView | None
    gain: float | None
    old_epoch: bool = False


@dataclass(frozen=True)
class PathView:
    """From the root to `experiment`. When bounded, the nodes nearest to the experiment are kept."""

    experiment: str
    nodes: list[PathNodeView]
    truncated: bool


@dataclass(frozen=True)
class DiscardView:
    id: str
    parent: str | None
    reason: str
    class_: str
    hypothesis: str
    recipe: str
    score: float | None
    at: str


@dataclass(frozen=True)
class DiscardsView:
    """Newest first."""

    discards: list[DiscardView]
    total: int
    truncated: bool


@dataclass(frozen=True)
class NoteView:
    """`kind`: `note` or `insight`."""

    experiment: str | None
    kind: str
    text: str
    author: str
    at: str


@dataclass(frozen=True)
class NotesView:
    """Newest first."""

    notes: list[NoteView]
    truncated: bool


@dataclass(frozen=True)
class ScriptView:
    """Text that a shell reads."""

    shell: str
    text: str
