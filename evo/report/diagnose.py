"""Which diagnoses of the tree fire, for the views that mention them in a line.

Invariant: one row is read for each; they were judged when the last score came in, not now (`evo diagnose` judges now).
"""

from __future__ import annotations

from collections.abc import Sequence

from evo.domain.finding import Severity
from evo.domain.views import FindingView, Hint
from evo.session import Session
from evo.store import findings

SOURCES = ("diagnose", "format")


def firing(session: Session, *, limit: int = 5) -> list[FindingView]:
    """Open findings about the tree that block or warn, the gravest first."""
    known = [one for source in SOURCES for one in findings.of(session.db, None, source=source)]
    return [
        FindingView(
            one.id, None, one.finding.source, one.finding.kind, one.finding.severity, one.finding.message,
            one.finding.evidence, one.finding.next,
        )
        for one in known
        if not one.settled and one.finding.severity != "note"
    ][:limit]  # fmt: skip


def steps(found: Sequence[FindingView], *severities: Severity) -> list[Hint]:
    """The command that follows each."""
    return [Hint(one.next, f"{one.kind}: {one.message}") for one in found if one.next and one.severity in severities]
