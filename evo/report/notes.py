"""`evo notes`: what people and agents wrote down.

Invariant: insights and notes come in one list, newest first, each with its kind.
"""

from __future__ import annotations

from evo.domain.experiment import parse_experiment_id
from evo.domain.read_views import NotesView, NoteView
from evo.domain.views import Reply
from evo.session import Session, open_session
from evo.store import experiments, listings, notes


def notes_reply(exp: str | None, *, limit: int) -> Reply:
    name = None if exp is None else parse_experiment_id(exp)
    with open_session(readonly=True) as session:
        return Reply(notes_view(session, name, limit=limit))


def notes_view(session: Session, identifier: str | None = None, *, limit: int = 50) -> NotesView:
    """Of one experiment, or of all and of the workspace."""
    db = session.db
    if identifier is None:
        written = notes.latest(db, limit=limit + 1)
        insights = [(e.id, e.insight, at) for e, at in listings.with_insight(db, limit=limit + 1)]
    else:
        experiment = experiments.get(db, identifier)
        written = notes.of(db, identifier, limit=limit + 1)
        insights = [(identifier, experiment.insight, listings.changed_at(db, identifier))] if experiment.insight else []
    views = [NoteView(note.experiment, "note", note.text, note.author, note.created_at) for note in written]
    views += [NoteView(name, "insight", text, "", at) for name, text, at in insights]
    views.sort(key=lambda view: view.at, reverse=True)
    return NotesView(views[:limit], truncated=len(views) > limit)
