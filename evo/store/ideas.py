"""Ideas as rows: open, taken into an experiment, dropped, or refuted by its outcome.

Invariant: the same step from the same parent is one idea, whoever proposes it and however often, and its references
are as they were judged last; a taken idea is linked to its experiment, and stays so.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from evo import clock
from evo.domain.idea import Idea, IdeaState, RecordedIdea, Reference, ReferenceStatus
from evo.errors import NotFound, Refused
from evo.files import sha256_json
from evo.lightdata import replace
from evo.store import events
from evo.store.db import transaction
from evo.validation import plain, restore

MOST_REFERENCES = 8
_WRONG: frozenset[ReferenceStatus] = frozenset({"mismatch", "not_found"})
_MOVES: dict[IdeaState, frozenset[IdeaState]] = {
    "open": frozenset({"taken", "dropped", "refuted"}),
    "taken": frozenset({"refuted"}),
    "dropped": frozenset({"open"}),
    "refuted": frozenset(),
}
_RULES = {"kb", "rules"}
_EXPECTED = ("gain", "low", "high", "gpu_seconds", "refuted_by", "rationale", "novelty", "differs")
"""What the tree says of a step, as it stands when somebody proposes it."""


def fingerprint(idea: Idea) -> str:
    """What makes two ideas the same: the step, not its words; an idea without a recipe is told by its commands."""
    return sha256_json([idea.parent, idea.recipe, idea.technique, idea.patch, [] if idea.recipe else idea.commands])


def add(db: sqlite3.Connection, ideas: Iterable[Idea]) -> list[RecordedIdea]:
    """Record them, all or none, in order; one that is known already is returned as it stands, with its references as
    they are judged now, and while it is open with what its source expects of it now: it is held to that once taken."""
    with transaction(db):
        at = clock.now()  # one asking has one time
        return [_add(db, idea, at=at) for idea in ideas]


def _add(db: sqlite3.Connection, idea: Idea, *, at: str) -> RecordedIdea:
    row = db.execute(
        "INSERT INTO idea (state, title, body, brief, fingerprint, created_at) VALUES ('open', ?, ?, ?, ?, ?)"
        " ON CONFLICT (fingerprint) DO NOTHING RETURNING *",
        (idea.title, json.dumps(plain(idea), allow_nan=False), idea.brief, fingerprint(idea), at),
    ).fetchone()
    if row is None:
        row = db.execute("SELECT * FROM idea WHERE fingerprint = ?", (fingerprint(idea),)).fetchone()
        return _met_again(db, _recorded(row), idea)
    events.append(db, "idea", data={"idea": row["id"], "brief": idea.brief, "title": idea.title})
    return _recorded(row)


def _met_again(db: sqlite3.Connection, known: RecordedIdea, proposed: Idea) -> RecordedIdea:
    """Its references judged anew, and what is cited for it now. A new one that leads elsewhere is told, and not kept:
    the idea has stood without it."""
    now = {(one.url, one.title): one for one in proposed.references}
    kept = []
    for one in known.idea.references:
        again = now.pop((one.url, one.title), one)
        kept.append(one if again.status == "unresolved" else again)
    wrong = [one for one in now.values() if one.status in _WRONG]
    kept = [*kept, *(one for one in now.values() if one.status not in _WRONG)][:MOST_REFERENCES]
    is_alike = proposed.source == known.idea.source or {proposed.source, known.idea.source} == _RULES
    is_expected_anew = known.state == "open" and is_alike
    expected = {name: getattr(proposed, name) for name in _EXPECTED} if is_expected_anew else {}
    idea = replace(known.idea, references=kept, **expected)
    if idea != known.idea:
        body = json.dumps(plain(idea), allow_nan=False)
        db.execute("UPDATE idea SET body = ? WHERE id = ?", (body, known.id))
    return replace(known, idea=replace(idea, references=[*kept, *wrong]))


def get(db: sqlite3.Connection, id: int) -> RecordedIdea:
    row = db.execute("SELECT * FROM idea WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no idea {id}", hint="evo ideas list")
    return _recorded(row)


def listed(db: sqlite3.Connection, *, states: Iterable[IdeaState] = ("open",), limit: int = 50) -> list[RecordedIdea]:
    """Newest first."""
    wanted = list(states)
    marks = ", ".join("?" * len(wanted))
    rows = db.execute(f"SELECT * FROM idea WHERE state IN ({marks}) ORDER BY id DESC LIMIT ?", (*wanted, limit))
    return [_recorded(row) for row in rows]


def waiting(db: sqlite3.Connection, *, limit: int) -> list[RecordedIdea]:
    """Open ones: the newest asking first, and in it the best first, as they were recorded."""
    rows = db.execute("SELECT * FROM idea WHERE state = 'open' ORDER BY created_at DESC, id LIMIT ?", (limit,))
    return [_recorded(row) for row in rows]


def of_experiment(db: sqlite3.Connection, experiment: str) -> RecordedIdea | None:
    """The idea that an experiment was made from."""
    row = db.execute("SELECT * FROM idea WHERE experiment = ? ORDER BY id LIMIT 1", (experiment,)).fetchone()
    return None if row is None else _recorded(row)


def states(db: sqlite3.Connection) -> dict[str, IdeaState]:
    """Fingerprint -> state of every idea that was ever recorded."""
    return {row[0]: row[1] for row in db.execute("SELECT fingerprint, state FROM idea")}


def taken(db: sqlite3.Connection) -> list[RecordedIdea]:
    """Ideas that an experiment was made from, whatever came of them, oldest first."""
    return [_recorded(row) for row in db.execute("SELECT * FROM idea WHERE experiment IS NOT NULL ORDER BY id")]


def move(
    db: sqlite3.Connection, id: int, state: IdeaState, *, reason: str = "", experiment: str | None = None
) -> RecordedIdea:
    """Change its state; `experiment` links a taken one. Refused where the move is not legal."""
    with transaction(db):
        now = get(db, id)
        if state not in _MOVES[now.state]:
            raise Refused(f"idea {id} is {now.state} and cannot become {state}", hint=f"evo ideas show {id}")
        row = db.execute(
            "UPDATE idea SET state = ?, reason = ?, experiment = COALESCE(?, experiment) WHERE id = ? RETURNING *",
            (state, reason, experiment, id),
        ).fetchone()
        events.append(db, f"idea_{state}", experiment=row["experiment"], data={"idea": id, "reason": reason})
        return _recorded(row)


def _recorded(row: sqlite3.Row) -> RecordedIdea:
    body = json.loads(row["body"])
    body["references"] = [restore(Reference, reference) for reference in body.get("references", [])]
    return RecordedIdea(row["id"], row["state"], Idea(**body), row["experiment"], row["reason"], row["created_at"])
