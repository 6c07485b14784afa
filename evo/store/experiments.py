"""Experiments: adding them, reading them, and moving them between standings.

Invariant: a change of standing is one UPDATE that names its legal former standings, taken from `domain.MOVES`; whoever
comes second finds no row and is told how things stand. What was added is never deleted.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator

from evo import clock
from evo.domain.experiment import BARREN, MOVES, RETURNS, ROOT, Experiment, Standing, experiment_id
from evo.domain.score import Score
from evo.errors import KeyTaken, NotFound, Refused, nearest
from evo.lightdata import dataclass, field
from evo.store import events, requests
from evo.store.checks import finite, finite_score
from evo.store.db import transaction


@dataclass(frozen=True)
class NewExperiment:
    """What `evo new` asks for. `fingerprint` hashes everything that makes it the same experiment when asked again."""

    parent: str
    hypothesis: str
    recipe: str
    technique: str
    fingerprint: str
    params: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    start_from: str = "base"
    key: str | None = None
    picked_by: str = ""
    rerun_of: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class Rescored:
    """A new score of an experiment, or none (with no gain either) where this epoch has none."""

    id: str
    score: Score | None
    epoch: str | None = None
    gain: float | None = None
    gain_var: float | None = None


def add(db: sqlite3.Connection, new: NewExperiment) -> tuple[Experiment, bool]:
    """The experiment, and whether it was created now. The same key or fingerprint gives the one that exists.

    NotFound: no such parent. KeyTaken: the key stands for another one. Refused: the parent can have no children.
    """
    with transaction(db):
        known = _known(db, new)
        if known is not None:
            _remember_key(db, new.key, known)
            return get(db, known), False
        parent = get(db, new.parent)
        if parent.state in BARREN:
            raise Refused(f"{parent.id} is {parent.state} and cannot be a parent", hint=_parent_hint(parent))
        number = db.execute("SELECT max(number) + 1 FROM experiment").fetchone()[0]
        row = _insert(db, number, new, state="pending")
        _remember_key(db, new.key, row.id)
        return row, True


def add_root(db: sqlite3.Connection, *, hypothesis: str, recipe: str, technique: str, seed: int = 0) -> Experiment:
    """`exp_0000`, the untouched base: committed from the start. Adding it again gives the one that exists."""
    with transaction(db):
        if db.execute("SELECT 1 FROM experiment WHERE number = 0").fetchone() is not None:
            return get(db, ROOT)
        new = NewExperiment("", hypothesis, recipe, technique, fingerprint=ROOT, seed=seed)
        return _insert(db, 0, new, state="committed")


def get(db: sqlite3.Connection, id: str) -> Experiment:
    """NotFound names the nearest ids."""
    row = db.execute("SELECT * FROM experiment WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"no experiment {id!r}", hint=_nearest(db, id))
    return from_row(row)


def fingerprint_of(db: sqlite3.Connection, id: str) -> str:
    """What `add` knows the experiment by."""
    return str(db.execute("SELECT fingerprint FROM experiment WHERE id = ?", (id,)).fetchone()[0])


def find_by_content(db: sqlite3.Connection, content_hash: str, seed: int) -> list[Experiment]:
    """Experiments that have finished a run of this content with this seed, oldest first."""
    rows = db.execute(
        "SELECT * FROM experiment WHERE id IN (SELECT experiment FROM attempt"
        " WHERE content_hash = ? AND seed = ? AND outcome = 'ok') ORDER BY number",
        (content_hash, seed),
    )
    return [from_row(row) for row in rows]


def with_hypothesis(db: sqlite3.Connection, hypothesis: str, *, before: str) -> str | None:
    """The oldest experiment with exactly these words that is older than `before`."""
    row = db.execute(
        "SELECT id FROM experiment WHERE hypothesis = ? AND number < (SELECT number FROM experiment WHERE id = ?)"
        " ORDER BY number LIMIT 1",
        (hypothesis, before),
    ).fetchone()
    return None if row is None else str(row["id"])


def children(db: sqlite3.Connection, id: str) -> list[Experiment]:
    """Oldest first."""
    rows = db.execute("SELECT * FROM experiment WHERE parent = ? ORDER BY number", (id,))
    return [from_row(row) for row in rows]


def ancestors(db: sqlite3.Connection, id: str) -> list[Experiment]:
    """From the parent up to the root, the root last; `id` itself is not among them."""
    rows = db.execute(
        "WITH RECURSIVE way (id) AS (SELECT parent FROM experiment WHERE id = ?"
        " UNION SELECT e.parent FROM way JOIN experiment e ON e.id = way.id WHERE e.parent IS NOT NULL)"
        " SELECT e.* FROM way CROSS JOIN experiment e ON e.id = way.id ORDER BY e.number DESC",
        (id,),
    )
    return [from_row(row) for row in rows]


def all(db: sqlite3.Connection) -> Iterator[Experiment]:
    """Oldest first, read as they are asked for."""
    return map(from_row, db.execute("SELECT * FROM experiment ORDER BY number"))


def is_frozen(db: sqlite3.Connection, id: str) -> bool:
    """True for an experiment with children or a certificate: an edit of it needs a new child."""
    row = db.execute(
        "SELECT EXISTS (SELECT 1 FROM experiment WHERE parent = ?)"
        " OR EXISTS (SELECT 1 FROM certificate WHERE experiment = ?)",
        (id, id),
    ).fetchone()
    return bool(row[0])


def move(
    db: sqlite3.Connection, id: str, new: Standing, *, reason: str = "", class_: str = "", key: str | None = None
) -> Experiment:
    """Change the standing; under a key that is known nothing is changed again.

    Refused says how the experiment stands and which moves are legal from there.
    """
    with transaction(db):
        if requests.was_made(db, key, f"{new} {id} {class_} {reason}"):
            return get(db, id)
        return move_within(db, id, new, reason=reason, class_=class_)


def restore(db: sqlite3.Connection, id: str, *, reason: str) -> Experiment:
    """Give a discarded (or cleared contaminated) experiment its former standing back, and never more."""
    with transaction(db):
        old = get(db, id)
        if old.state not in RETURNS or old.former_state is None:
            raise Refused(f"{id} is {old.state}: there is nothing to restore", hint=f"evo show {id}")
        return move_within(db, id, old.former_state, reason=reason)


def move_within(db: sqlite3.Connection, id: str, new: Standing, *, reason: str = "", class_: str = "") -> Experiment:
    """`move`, as a part of the caller's transaction."""
    old = get(db, id)
    row = db.execute(_MOVE_SQL[new], {"id": id, "new": new, "reason": reason, "class": class_, "now": clock.now()})
    moved = row.fetchone()
    if moved is None:
        legal = sorted(MOVES[old.state] | ({old.former_state} if old.former_state else set()))
        raise Refused(
            f"{id} is {old.state} and cannot become {new}",
            hint=f"from {old.state} it can become: {', '.join(legal) or 'nothing else'}",
        )
    told = {"from": old.state, "to": new, "reason": reason, "class": class_}
    events.append(db, "moved", experiment=id, data=told)
    return from_row(moved)


def set_content(db: sqlite3.Connection, id: str, *, commit: str | None, content_hash: str) -> None:
    _update(db, id, commit_sha=commit, content_hash=content_hash)


def set_insight(db: sqlite3.Connection, id: str, insight: str) -> None:
    _update(db, id, insight=insight)


def link_rerun(db: sqlite3.Connection, id: str, *, of: str) -> None:
    """Mark `id` as a rerun of `of`: it may be scored, and can never be certified."""
    get(db, of)
    _update(db, id, rerun_of=of)


def set_scores(db: sqlite3.Connection, rows: Iterable[Rescored]) -> None:
    """Replace scores and gains in one transaction. Refused names the experiment whose number is none."""
    checked = [_score_values(row) for row in rows]
    with transaction(db):
        for values in checked:
            _write(db, values.pop("id"), values)
        events.append(db, "scores", data={"experiments": len(checked)})


def _score_values(row: Rescored) -> dict[str, object]:
    score = None if row.score is None else finite_score(row.score, of=row.id)
    return {
        "id": row.id,
        "score_mean": score.mean if score else None,
        "score_se": score.se if score else None,
        "score_n": score.n if score else None,
        "epoch": row.epoch if score else None,
        "gain": finite(row.gain, of=f"{row.id}: gain") if score else None,
        "gain_var": finite(row.gain_var, of=f"{row.id}: variance of the gain") if score else None,
    }


def _update(db: sqlite3.Connection, id: str, **columns: object) -> None:
    with transaction(db):
        _write(db, id, columns)
        events.append(db, "edited", experiment=id, data=columns)


def _write(db: sqlite3.Connection, id: object, columns: dict[str, object]) -> None:
    places = ", ".join(f"{column} = ?" for column in columns)
    written = db.execute(
        f"UPDATE experiment SET {places}, updated_at = ? WHERE id = ?", (*columns.values(), clock.now(), id)
    )
    if written.rowcount != 1:
        raise NotFound(f"no experiment {id!r}", hint=_nearest(db, str(id)))


def _move_sql(new: Standing) -> str:
    """Legal former standings as a list, or the way back. In SET, names on the right are the old values."""
    froms = ", ".join(f"'{old}'" for old, targets in MOVES.items() if new in targets) or "NULL"
    returns = ", ".join(f"'{old}'" for old in sorted(RETURNS))
    if new == "contaminated":
        clean = former = "CASE WHEN state = 'discarded' THEN clean_state ELSE state END"
    elif new == "discarded":
        clean, former = "CASE WHEN state = 'contaminated' THEN clean_state END", "state"
    else:
        clean, former = "NULL", "NULL"
    return (
        f"UPDATE experiment SET state = :new, former_state = {former}, clean_state = {clean},"
        " state_reason = :reason, state_class = :class, updated_at = :now"
        f" WHERE id = :id AND (state IN ({froms}) OR (state IN ({returns}) AND former_state = :new)) RETURNING *"
    )


_MOVE_SQL: dict[Standing, str] = {new: _move_sql(new) for new in MOVES}


def _known(db: sqlite3.Connection, new: NewExperiment) -> str | None:
    """The id that the key or the fingerprint stands for."""
    same = db.execute("SELECT id FROM experiment WHERE fingerprint = ?", (new.fingerprint,)).fetchone()
    if new.key is not None:
        keyed = db.execute("SELECT experiment FROM experiment_key WHERE key = ?", (new.key,)).fetchone()
        if keyed is not None and (same is None or same["id"] != keyed["experiment"]):
            raise KeyTaken(
                f"the key {new.key!r} stands for {keyed['experiment']}, which was asked for with other arguments",
                hint=f"take another --key, or see `evo show {keyed['experiment']}`",
            )
    return None if same is None else str(same["id"])


def with_key(db: sqlite3.Connection, key: str) -> str | None:
    """The id of the experiment that was made under this key."""
    row = db.execute("SELECT experiment FROM experiment_key WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["experiment"])


def _remember_key(db: sqlite3.Connection, key: str | None, id: str) -> None:
    if key is not None:
        db.execute("INSERT INTO experiment_key (key, experiment) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, id))


def _insert(db: sqlite3.Connection, number: int, new: NewExperiment, *, state: Standing) -> Experiment:
    id, now = experiment_id(number), clock.now()
    row = db.execute(
        "INSERT INTO experiment (number, id, parent, state, hypothesis, recipe, technique, params, seed, start_from,"
        " fingerprint, branch, picked_by, rerun_of, origin, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            number, id, new.parent or None, state, new.hypothesis, new.recipe, new.technique,
            json.dumps(new.params, ensure_ascii=False, allow_nan=False), new.seed, new.start_from,
            new.fingerprint, f"evo/{id}", new.picked_by, new.rerun_of, new.origin, now, now,
        ),
    ).fetchone()  # fmt: skip
    events.append(db, "created", experiment=id, data={"parent": new.parent or None, "picked_by": new.picked_by})
    return from_row(row)


def _parent_hint(parent: Experiment) -> str:
    if parent.state == "pending":
        return f"run it first: evo run {parent.id}"
    if parent.state == "discarded":
        return f"evo restore {parent.id}, or branch from {parent.parent}"
    return f"branch from {parent.parent}"


def _nearest(db: sqlite3.Connection, id: str) -> str:
    match = re.fullmatch(r"(?:exp_)?(\d{1,18})", id)
    if match is None:
        rows = db.execute("SELECT id FROM experiment ORDER BY number DESC LIMIT 20")
        return nearest(id, (row["id"] for row in rows))
    rows = db.execute("SELECT id FROM experiment ORDER BY abs(number - ?) LIMIT 3", (int(match[1]),))
    return "the nearest are: " + (", ".join(row["id"] for row in rows) or "none, the tree is empty")


def from_row(row: sqlite3.Row) -> Experiment:
    return Experiment(
        id=row["id"],
        parent=row["parent"],
        state=row["state"],
        hypothesis=row["hypothesis"],
        recipe=row["recipe"],
        technique=row["technique"],
        params=json.loads(row["params"]),
        seed=row["seed"],
        created_at=row["created_at"],
        former_state=row["former_state"],
        state_reason=row["state_reason"],
        start_from=row["start_from"],
        commit=row["commit_sha"],
        branch=row["branch"],
        insight=row["insight"],
        primary_attempt=row["primary_attempt"],
        score_mean=row["score_mean"],
        score_se=row["score_se"],
        score_n=row["score_n"],
        epoch=row["epoch"],
        gain=row["gain"],
        gain_var=row["gain_var"],
        seeds=row["seeds"],
        is_noop=bool(row["is_noop"]),
        has_forbidden=bool(row["has_forbidden"]),
        rerun_of=row["rerun_of"],
        state_class=row["state_class"],
        content_hash=row["content_hash"],
        is_regressed=bool(row["is_regressed"]),
        origin=row["origin"],
    )
