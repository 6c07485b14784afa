"""What a planner reads before it thinks: the pages of the workspace, and what is wrong now (row C7).

Invariant: pages are whole; failures are dev items of the best experiment, with what was asked, expected and answered.
A shipped page that nobody wrote in says nothing, and what the loop wrote is nothing to search by: it would find its own
steps again.
"""

from __future__ import annotations

from pathlib import Path

from evo.domain.experiment import ROOT
from evo.ideas.facts import FailedItem, Reading
from evo.ops.checks.diagnose import dev_items
from evo.ops.loop.margin import LINE
from evo.session import Session
from evo.store import experiments, results
from evo.workspace.mission import added, divided, read_mission

BACKGROUND, CONTEXT, PLAN = "BACKGROUND.md", "AGENT_CONTEXT.md", "PLAN.md"
MOST_FAILURES = 20


def reading_of(session: Session, *, best: str = ROOT) -> Reading:
    root = session.layout.root
    mission = read_mission(root).written
    pages = {name: added(_text(root / name), name) for name in (BACKGROUND, PLAN)}
    by_people = (added(text.partition(LINE)[0], name) for name, text in pages.items())
    return Reading(
        mission=mission,
        background=pages[BACKGROUND],
        context=_text(root / CONTEXT),
        plan=pages[PLAN],
        failures=failed_items(session, best),
        words=" ".join([divided(mission)[0], *by_people]),
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
    texts = ((dev[row.item], row.output or "", row.score) for row in wrong[:limit])
    return [FailedItem(item.id, item.question, str(item.target or ""), said, score) for item, said, score in texts]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
