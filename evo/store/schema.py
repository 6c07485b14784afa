"""The schema of evo.db, as numbered migrations that are never edited once released.

What the database itself holds to be true, whoever writes:
- one attempt without an outcome per experiment, and every attempt's token is unique;
- scores are finite numbers (NaN arrives in SQLite as NULL and is refused as such);
- parents exist; numbers of experiments only grow; a committed experiment is not discarded;
- the same weights are asked about on the same held-out items against the same reference once;
- events are appended, never changed.
Times are ISO 8601 UTC text. Only migrating imports sqlite-utils; everything else opens the file with `sqlite3`.
"""

from __future__ import annotations

VERSION = 1
"""Kept in `PRAGMA user_version`; a file with a higher one is refused."""

FINITE = "typeof({0}) IN ('real', 'integer') AND abs({0}) <= 1.7976931348623157e308"

M001 = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE experiment (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE CHECK (id = printf('exp_%04d', number)),
    parent TEXT REFERENCES experiment (id) CHECK (parent IS NOT NULL OR id = 'exp_0000'),
    state TEXT NOT NULL CHECK (state IN ('pending', 'open', 'committed', 'failed', 'contaminated', 'discarded')),
    former_state TEXT,
    state_reason TEXT NOT NULL DEFAULT '',
    state_class TEXT NOT NULL DEFAULT '',
    hypothesis TEXT NOT NULL,
    recipe TEXT NOT NULL,
    technique TEXT NOT NULL,
    params TEXT NOT NULL CHECK (json_valid(params)),
    seed INTEGER NOT NULL,
    start_from TEXT NOT NULL DEFAULT 'base',
    key TEXT UNIQUE,
    fingerprint TEXT NOT NULL UNIQUE,
    branch TEXT NOT NULL DEFAULT '',
    commit_sha TEXT,
    content_hash TEXT,
    insight TEXT NOT NULL DEFAULT '',
    picked_by TEXT NOT NULL DEFAULT '',
    rerun_of TEXT REFERENCES experiment (id),
    primary_attempt INTEGER,
    epoch TEXT,
    score_mean REAL CHECK (score_mean IS NULL OR ({FINITE.format("score_mean")})),
    score_se REAL CHECK (score_se IS NULL OR ({FINITE.format("score_se")})),
    score_n INTEGER,
    gain REAL CHECK (gain IS NULL OR ({FINITE.format("gain")})),
    gain_var REAL CHECK (gain_var IS NULL OR ({FINITE.format("gain_var")})),
    seeds INTEGER NOT NULL DEFAULT 0,
    is_noop INTEGER NOT NULL DEFAULT 0,
    has_forbidden INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CHECK ((score_mean IS NULL) = (score_se IS NULL) AND (score_mean IS NULL) = (epoch IS NULL)),
    CHECK (parent IS NULL OR parent <> id)
);
CREATE INDEX experiment_parent ON experiment (parent, state);
CREATE INDEX experiment_state ON experiment (state, score_mean);
CREATE INDEX experiment_content ON experiment (content_hash, seed);

CREATE TRIGGER experiment_parent_is_older BEFORE INSERT ON experiment
WHEN NEW.parent IS NOT NULL AND (SELECT number FROM experiment WHERE id = NEW.parent) >= NEW.number
BEGIN SELECT RAISE(ABORT, 'a parent is older than its child'); END;
CREATE TRIGGER experiment_parent_stays BEFORE UPDATE OF parent, id, number ON experiment
BEGIN SELECT RAISE(ABORT, 'an experiment keeps its id and parent'); END;
CREATE TRIGGER experiment_is_kept BEFORE DELETE ON experiment
BEGIN SELECT RAISE(ABORT, 'experiments are discarded, never deleted'); END;
CREATE TRIGGER committed_is_never_discarded BEFORE UPDATE OF state ON experiment
WHEN OLD.state = 'committed' AND NEW.state NOT IN ('committed', 'open')
BEGIN SELECT RAISE(ABORT, 'a committed experiment can only lose its certificate'); END;

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT NOT NULL REFERENCES experiment (id),
    n INTEGER NOT NULL CHECK (n >= 1),
    seed INTEGER NOT NULL,
    token TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'trained', 'ended')),
    outcome TEXT CHECK (outcome IN ('ok', 'failed', 'timed_out', 'killed', 'lost')),
    failure TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    executor TEXT NOT NULL,
    is_detached INTEGER NOT NULL DEFAULT 0,
    controller TEXT NOT NULL,
    isolation TEXT NOT NULL DEFAULT 'none',
    train_seconds REAL,
    eval_seconds REAL,
    gpu_seconds REAL NOT NULL DEFAULT 0,
    commit_sha TEXT,
    content_hash TEXT,
    weights_hash TEXT,
    is_noop INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    UNIQUE (experiment, n),
    CHECK ((outcome IS NULL) = (state <> 'ended'))
);
CREATE UNIQUE INDEX attempt_live ON attempt (experiment) WHERE outcome IS NULL;

CREATE TABLE item_result (
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    eval_hash TEXT NOT NULL,
    split TEXT NOT NULL CHECK (split IN ('mid', 'dev')),
    item TEXT NOT NULL,
    sample INTEGER NOT NULL,
    score REAL NOT NULL CHECK ({FINITE.format("score")}),
    output_hash TEXT NOT NULL,
    output TEXT,
    is_forbidden INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (attempt, eval_hash, split, item, sample)
) WITHOUT ROWID;

CREATE TABLE look (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    heldout_hash TEXT NOT NULL,
    k INTEGER NOT NULL,
    experiment TEXT NOT NULL REFERENCES experiment (id),
    against TEXT NOT NULL REFERENCES experiment (id),
    weights_hash TEXT NOT NULL,
    against_weights_hash TEXT NOT NULL,
    evidence REAL,
    passed INTEGER CHECK (passed IN (0, 1)),
    created_at TEXT NOT NULL,
    UNIQUE (heldout_hash, k),
    UNIQUE (heldout_hash, weights_hash, against_weights_hash)
);

CREATE TABLE certificate (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT NOT NULL REFERENCES experiment (id),
    against TEXT NOT NULL REFERENCES experiment (id),
    look INTEGER NOT NULL UNIQUE REFERENCES look (id),
    passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
    mode TEXT NOT NULL,
    isolation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    weights_hash TEXT NOT NULL,
    is_void INTEGER NOT NULL DEFAULT 0,
    void_reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    CHECK (experiment <> against)
);
CREATE INDEX certificate_experiment ON certificate (experiment);

CREATE TABLE idea (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('open', 'taken', 'dropped', 'refuted')),
    title TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    experiment TEXT REFERENCES experiment (id),
    created_at TEXT NOT NULL
);

CREATE TABLE dataset (
    sha256 TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    lines INTEGER NOT NULL,
    source TEXT NOT NULL,
    transform TEXT NOT NULL DEFAULT '',
    parents TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(parents)),
    created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE experiment_dataset (
    experiment TEXT NOT NULL REFERENCES experiment (id),
    role TEXT NOT NULL,
    dataset TEXT NOT NULL REFERENCES dataset (sha256),
    PRIMARY KEY (experiment, role, dataset)
) WITHOUT ROWID;

CREATE TABLE artifact (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT NOT NULL REFERENCES experiment (id),
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    uri TEXT NOT NULL,
    content_key TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (experiment, attempt, label)
);

CREATE TABLE note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT REFERENCES experiment (id),
    text TEXT NOT NULL,
    author TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL
);

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    experiment TEXT,
    attempt INTEGER,
    data TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(data))
);
CREATE INDEX event_experiment ON event (experiment);
CREATE TRIGGER event_is_append_only_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER event_is_append_only_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (("m001_first", M001),)
"""(name, SQL) in order; a released entry is never edited, only followed by another."""
