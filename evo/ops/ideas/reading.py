"""What a planner reads before it thinks: background whole, the newest of the running notes, and what is wrong now.

Row C7. Invariant: BACKGROUND.md is never cut; of AGENT_CONTEXT.md the end counts; failures are dev items of the best
experiment, with what was asked, expected and answered.
"""

from __future__ import annotations

from pathlib import Path

from evo.domain.experiment import ROOT
from evo.lightdata import dataclass, field
from evo.ops.checks.diagnose import dev_items
from evo.session import Session
from evo.store import experiments, results
from evo.workspace.mission import read_mission

CONTEXT_CHARS = 5000
MOST_FAILURES = 20
LONGEST = 600
"""Characters of one text of an item."""


@dataclass(frozen=True)
class FailedItem:
    id: str
    input: str
    expected: str
    actual: str
    score: float


@dataclass(frozen=True)
class Reading:
    goal: str
    constraints: str
    background: str
    context: str
    plan: str
    failures: list[FailedItem] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What the task is about, as one text to search by."""
        return " ".join([self.goal, self.background, self.plan])


def reading_of(session: Session, *, best: str = ROOT) -> Reading:
    root = session.layout.root
    mission = read_mission(root)
    return Reading(
        goal=mission.goal,
        constraints=mission.constraints,
        background=_text(root / "BACKGROUND.md"),
        context=_text(root / "AGENT_CONTEXT.md")[-CONTEXT_CHARS:],
        plan=_text(root / "PLAN.md"),
        failures=failed_items(session, best),
    )


def failed_items(session: Session, id: str, *, limit: int = MOST_FAILURES) -> list[FailedItem]:
    """Worst first. Empty without a score."""
    known = experiments.get(session.db, id)
    if known.epoch is None or known.primary_attempt is None:
        return []
    dev = {item.id: item for item in dev_items(session)}
    top = session.metric.high if session.metric.sign > 0 else session.metric.low
    rows = results.items(session.db, id, n=known.primary_attempt, eval_hash=known.epoch)
    wrong = [row for row in rows if row.score != top and row.item in dev]
    wrong.sort(key=lambda row: (session.metric.sign * row.score, row.item))
    return [
        FailedItem(
            row.item, dev[row.item].question[:LONGEST], str(dev[row.item].target or "")[:LONGEST],
            (row.output or "")[:LONGEST], row.score,
        )
        for row in wrong[:limit]
    ]  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
