"""`evo log`: the end of a training or evaluation log, or of the event log.

Invariant: only logs of attempts are read, by number and never through a link; sealed evaluations log elsewhere.
"""

from __future__ import annotations

from evo.domain.experiment import ROOT, parse_experiment_id
from evo.domain.read_views import EventLogView, EventView, LogView
from evo.domain.views import Hint, Reply
from evo.errors import NotFound, UsageError
from evo.runner import records
from evo.session import Session, open_session
from evo.store import attempts, events, experiments

MOST_BYTES = 4 << 20
WIDEST = 4000
"""Characters of one line that are shown."""


def log_reply(exp: str | None, *, attempt: int | None, is_eval: bool, tail: int) -> Reply:
    if exp is None and (attempt is not None or is_eval):
        raise UsageError("--attempt and --eval need an experiment", hint="evo log exp_0001 --eval")
    name = None if exp is None else parse_experiment_id(exp)
    with open_session(readonly=True) as session:
        if name is None:
            return Reply(event_log(session, tail=tail))
        view = log_view(session, name, attempt=attempt, is_eval=is_eval, tail=tail)
    other = f"evo log {name} --attempt {view.attempt}" + ("" if view.kind == "eval" else " --eval")
    return Reply(view, next=() if name == ROOT else (Hint(other, "the other log of this attempt"),))


def log_view(
    session: Session, identifier: str, *, attempt: int | None = None, is_eval: bool = False, tail: int = 50
) -> LogView:
    """The last `tail` lines. NotFound where there was no such attempt, or it has logged nothing."""
    experiments.get(session.db, identifier)
    tries = attempts.of(session.db, identifier)
    if not tries:
        raise NotFound(f"{identifier} has not run", hint=f"evo run {identifier}")
    number = attempts.get(session.db, identifier, tries[-1].n if attempt is None else attempt).n
    folder = session.layout.attempt(identifier, number)
    kind = "eval" if is_eval or identifier == ROOT else "train"
    path = folder.eval_log if kind == "eval" else folder.train_log
    if not path.is_file():
        raise NotFound(f"attempt {number} of {identifier} has no {kind} log at {path}", hint=f"evo show {identifier}")
    lines = records.tail_lines(str(path), lines=tail + 1, limit=MOST_BYTES)
    shown = [line[:WIDEST] for line in lines[-tail:]]
    return LogView(identifier, number, kind, str(path), shown, truncated=len(lines) > tail)


def event_log(session: Session, *, tail: int) -> EventLogView:
    found = events.latest(session.db, limit=tail + 1)
    shown = [EventView(e.at, e.kind, e.experiment, e.attempt, e.data) for e in reversed(found[:tail])]
    return EventLogView(shown, truncated=len(found) > tail)
