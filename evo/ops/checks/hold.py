"""Row A19: where three techniques came to one score and nobody has looked, a further one is held back.

Invariant: techniques that were tried go on; one row is read where nothing is held back.
"""

from __future__ import annotations

from importlib import import_module

from evo.errors import Refused
from evo.session import Session
from evo.store import findings
from evo.store.findings import Recorded


def refuse_held_back(session: Session, technique: str) -> None:
    """Refused (exit 4) before any node or compute; the tree is judged anew before that is said."""
    if _holding(session) is None:
        return
    import_module("evo.ops.checks.diagnose").refresh(session)
    one = _holding(session)
    if one is not None and not import_module("evo.store.moves").was_scored(session.db, technique):
        raise Refused(
            f"{technique} is held back: {one.finding.message}",
            hint="evo diagnose shows both sides and what the scorer says; then evo diagnose --ack same-score",
        )


def _holding(session: Session) -> Recorded | None:
    known = findings.of(session.db, None, source="diagnose")
    return next((one for one in known if one.finding.kind == "same-score" and not one.settled), None)
