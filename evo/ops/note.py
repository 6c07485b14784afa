"""`evo note`: words that stay with an experiment.

Invariant: a note is added and never replaced; an experiment has one insight, and the event log keeps the earlier ones.
"""

from __future__ import annotations

from evo.domain.views import MessageView
from evo.errors import UsageError
from evo.session import Session
from evo.store import experiments, notes

LONGEST = 10_000
LONGEST_INSIGHT = 500


def write_note(
    session: Session, name: str, *, text: str | None, insight: str | None, key: str | None = None
) -> MessageView:
    """Add the note (under a key once), set the insight, or both.

    UsageError for neither, for an empty or an overlong one.
    """
    said = None if text is None else _checked(text, "note", longest=LONGEST)
    learnt = None if insight is None else _checked(" ".join(insight.split()), "insight", longest=LONGEST_INSIGHT)
    if said is None and learnt is None:
        raise UsageError("what is to be noted?", hint=f'evo note {name} "text", or --insight "one line"')
    experiments.get(session.db, name)
    if said is not None:
        notes.add(session.db, said, experiment=name, key=key)
    if learnt is not None:
        experiments.set_insight(session.db, name, learnt)
    facts = {"note": said, "insight": learnt}
    told = {"id": name} | {key: value for key, value in facts.items() if value is not None}
    return MessageView(f"noted on {name}", dict(told))


def _checked(text: str, what: str, *, longest: int) -> str:
    if not text.strip():
        raise UsageError(f"the {what} is empty")
    if len(text) > longest:
        raise UsageError(
            f"the {what} has {len(text)} characters; {longest} are allowed", hint="keep the rest in a file"
        )
    return text.strip()
