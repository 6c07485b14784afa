"""The schema of evo.db, as numbered migrations that are never edited once released.

What the database itself holds to be true, whoever writes:
- columns hold the type they declare; scores are finite numbers (NaN arrives in SQLite as NULL and is refused as such);
- parents exist and are older than their children, so there is no cycle; experiments and attempts are never deleted;
- a change of standing is a move of `domain.experiment.MOVES`, and only a passed certificate commits: never a no-op,
  a rerun, outputs that are forbidden, or what a check has found and nobody settled;
- one attempt without an outcome per experiment, and every attempt's token is unique; an outcome is written once;
- the same weights are asked about on the same held-out items against the same reference once, and the answer stands;
- no result of a held-out or vault item can be stored;
- events are appended, never changed;
- `meta.tree_version` counts the changes that what is believed of the tree depends on.
Times are ISO 8601 UTC text. Only migrating imports sqlite-utils; everything else opens the file with `sqlite3`.
"""

from __future__ import annotations

from evo.store.schema_m003 import M003

APPLICATION_ID = 0x65766F31
"""`evo1`, in the file's header: another program's database is told from ours."""

FINITE = "({0} IS NULL OR abs({0}) <= 1.7976931348623157e308)"

M001 = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL CHECK (json_valid(value))) STRICT, WITHOUT ROWID;

CREATE TABLE experiment (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE CHECK (id = printf('exp_%04d', number)),
    parent TEXT REFERENCES experiment (id) CHECK ((parent IS NULL) = (number = 0)),
    state TEXT NOT NULL CHECK (state IN ('pending', 'open', 'committed', 'failed', 'contaminated', 'discarded')),
    former_state TEXT CHECK (former_state IN ('pending', 'open', 'failed', 'contaminated')),
    clean_state TEXT CHECK (clean_state IN ('pending', 'open', 'failed')),
    recipe TEXT NOT NULL,
    seed INTEGER NOT NULL,
    epoch TEXT,
    score_mean REAL CHECK {FINITE.format("score_mean")},
    score_se REAL CHECK {FINITE.format("score_se")},
    score_n INTEGER CHECK (score_n >= 1),
    gain REAL CHECK {FINITE.format("gain")},
    gain_var REAL CHECK {FINITE.format("gain_var")},
    gpu_seconds REAL NOT NULL DEFAULT 0 CHECK (gpu_seconds BETWEEN 0 AND 1e18),
    seeds INTEGER NOT NULL DEFAULT 0,
    primary_attempt INTEGER,
    is_noop INTEGER NOT NULL DEFAULT 0 CHECK (is_noop IN (0, 1)),
    has_forbidden INTEGER NOT NULL DEFAULT 0 CHECK (has_forbidden IN (0, 1)),
    rerun_of TEXT REFERENCES experiment (id),
    technique TEXT NOT NULL,
    start_from TEXT NOT NULL DEFAULT 'base',
    branch TEXT NOT NULL,
    commit_sha TEXT,
    content_hash TEXT,
    fingerprint TEXT NOT NULL UNIQUE,
    picked_by TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    hypothesis TEXT NOT NULL,
    params TEXT NOT NULL CHECK (json_valid(params)),
    state_reason TEXT NOT NULL DEFAULT '',
    state_class TEXT NOT NULL DEFAULT '',
    insight TEXT NOT NULL DEFAULT '',
    CHECK ((score_mean IS NULL) = (score_se IS NULL) AND (score_mean IS NULL) = (score_n IS NULL)),
    CHECK ((score_mean IS NULL) = (epoch IS NULL)),
    CHECK ((gain IS NULL) = (gain_var IS NULL)),
    CHECK ((former_state IS NULL) = (state NOT IN ('contaminated', 'discarded'))),
    CHECK (state <> 'contaminated' OR former_state <> 'contaminated'),
    CHECK ((clean_state IS NULL) = (state <> 'contaminated' AND former_state IS NOT 'contaminated')),
    CHECK (number <> 0 OR state = 'committed')
) STRICT;
CREATE INDEX experiment_parent ON experiment (parent);
CREATE INDEX experiment_state ON experiment (state);
CREATE INDEX experiment_best ON experiment (epoch, gain DESC) WHERE state IN ('open', 'committed');

CREATE TABLE experiment_key (
    key TEXT PRIMARY KEY,
    experiment TEXT NOT NULL REFERENCES experiment (id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER experiment_parent_is_older BEFORE INSERT ON experiment
WHEN NEW.parent IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM experiment WHERE id = NEW.parent AND number < NEW.number)
BEGIN SELECT RAISE(ABORT, 'a parent exists and is older than its child'); END;
CREATE TRIGGER experiment_parent_stays BEFORE UPDATE OF parent, id, number ON experiment
BEGIN SELECT RAISE(ABORT, 'an experiment keeps its id and parent'); END;
CREATE TRIGGER experiment_is_kept BEFORE DELETE ON experiment
BEGIN SELECT RAISE(ABORT, 'experiments are discarded, never deleted'); END;
CREATE TRIGGER experiment_moves BEFORE UPDATE OF state ON experiment
WHEN NEW.state <> OLD.state AND NOT (
    (OLD.state = 'pending' AND NEW.state IN ('open', 'failed', 'contaminated', 'discarded'))
    OR (OLD.state = 'failed' AND NEW.state IN ('open', 'contaminated', 'discarded'))
    OR (OLD.state = 'open' AND NEW.state IN ('committed', 'contaminated', 'discarded'))
    OR (OLD.state = 'committed' AND NEW.state = 'open')
    OR (OLD.state = 'contaminated' AND NEW.state IN ('discarded', OLD.former_state))
    OR (OLD.state = 'discarded' AND NEW.state = OLD.former_state)
)
BEGIN SELECT RAISE(ABORT, 'no legal move between these standings'); END;
CREATE TRIGGER experiment_commits_by_certificate BEFORE UPDATE OF state ON experiment
WHEN NEW.state = 'committed' AND OLD.state <> 'committed' AND (
    NEW.is_noop OR NEW.has_forbidden OR NEW.rerun_of IS NOT NULL
    OR NOT EXISTS (SELECT 1 FROM certificate WHERE experiment = NEW.id AND passed AND NOT is_void)
)
BEGIN SELECT RAISE(ABORT, 'only a passed certificate commits'); END;

CREATE TRIGGER beliefs_change AFTER UPDATE OF gain, gain_var, epoch, state ON experiment
WHEN OLD.gain IS NOT NEW.gain OR OLD.gain_var IS NOT NEW.gain_var OR OLD.epoch IS NOT NEW.epoch
  OR (OLD.state IN ('discarded', 'contaminated')) <> (NEW.state IN ('discarded', 'contaminated'))
BEGIN
  INSERT INTO meta (key, value) VALUES ('tree_version', '1')
  ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1;
END;

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
    is_detached INTEGER NOT NULL DEFAULT 0 CHECK (is_detached IN (0, 1)),
    controller TEXT NOT NULL,
    isolation TEXT NOT NULL DEFAULT 'none',
    train_seconds REAL,
    eval_seconds REAL,
    gpu_seconds REAL NOT NULL DEFAULT 0 CHECK (gpu_seconds BETWEEN 0 AND 1e18),
    commit_sha TEXT,
    content_hash TEXT,
    weights_hash TEXT,
    is_noop INTEGER NOT NULL DEFAULT 0 CHECK (is_noop IN (0, 1)),
    created_at TEXT NOT NULL,
    ended_at TEXT,
    UNIQUE (experiment, n),
    CHECK ((outcome IS NULL) = (state <> 'ended')),
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX attempt_live ON attempt (experiment) WHERE outcome IS NULL;
CREATE INDEX attempt_content ON attempt (content_hash, seed) WHERE outcome = 'ok';
CREATE TRIGGER attempt_ends_once BEFORE UPDATE OF outcome, state, token, n, experiment, seed ON attempt
WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an attempt ends once'); END;
CREATE TRIGGER attempt_is_kept BEFORE DELETE ON attempt
BEGIN SELECT RAISE(ABORT, 'attempts are never deleted'); END;

CREATE TABLE item_result (
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    eval_hash TEXT NOT NULL,
    split TEXT NOT NULL CHECK (split IN ('mid', 'dev')),
    item TEXT NOT NULL,
    sample INTEGER NOT NULL CHECK (sample >= 0),
    score REAL NOT NULL CHECK {FINITE.format("score")},
    output_hash TEXT NOT NULL,
    output TEXT,
    is_forbidden INTEGER NOT NULL DEFAULT 0 CHECK (is_forbidden IN (0, 1)),
    PRIMARY KEY (attempt, eval_hash, split, item, sample)
) STRICT, WITHOUT ROWID;

CREATE TABLE look (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    heldout_hash TEXT NOT NULL,
    k INTEGER NOT NULL CHECK (k >= 1),
    experiment TEXT NOT NULL REFERENCES experiment (id),
    against TEXT NOT NULL REFERENCES experiment (id),
    weights_hash TEXT NOT NULL,
    against_weights_hash TEXT NOT NULL,
    evidence REAL CHECK {FINITE.format("evidence")},
    passed INTEGER CHECK (passed IN (0, 1)),
    created_at TEXT NOT NULL,
    UNIQUE (heldout_hash, k),
    UNIQUE (heldout_hash, weights_hash, against_weights_hash),
    CHECK (experiment <> against),
    CHECK (weights_hash <> against_weights_hash)
) STRICT;
CREATE TRIGGER look_answer_stands BEFORE UPDATE ON look
WHEN OLD.passed IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an answered look is never changed'); END;
CREATE TRIGGER look_is_kept BEFORE DELETE ON look
BEGIN SELECT RAISE(ABORT, 'looks are never given back'); END;

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
    is_void INTEGER NOT NULL DEFAULT 0 CHECK (is_void IN (0, 1)),
    void_reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    CHECK (experiment <> against)
) STRICT;
CREATE INDEX certificate_experiment ON certificate (experiment);
CREATE INDEX certificate_valid ON certificate (id) WHERE passed AND NOT is_void;
CREATE TRIGGER certificate_stands BEFORE UPDATE ON certificate
WHEN OLD.is_void OR NEW.passed <> OLD.passed OR NEW.experiment <> OLD.experiment OR NEW.look <> OLD.look
BEGIN SELECT RAISE(ABORT, 'a certificate can only be made void'); END;
CREATE TRIGGER certificate_is_kept BEFORE DELETE ON certificate
BEGIN SELECT RAISE(ABORT, 'certificates are made void, never deleted'); END;

CREATE TABLE idea (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('open', 'taken', 'dropped', 'refuted')),
    title TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    experiment TEXT REFERENCES experiment (id),
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE dataset (
    sha256 TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    lines INTEGER NOT NULL CHECK (lines >= 0),
    source TEXT NOT NULL,
    transform TEXT NOT NULL DEFAULT '',
    parents TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(parents)),
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE experiment_dataset (
    experiment TEXT NOT NULL REFERENCES experiment (id),
    role TEXT NOT NULL,
    dataset TEXT NOT NULL REFERENCES dataset (sha256),
    PRIMARY KEY (experiment, role, dataset)
) STRICT, WITHOUT ROWID;

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
) STRICT;

CREATE TABLE note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT REFERENCES experiment (id),
    text TEXT NOT NULL,
    author TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX note_experiment ON note (experiment);

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    experiment TEXT,
    attempt INTEGER,
    data TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(data))
) STRICT;
CREATE INDEX event_experiment ON event (experiment);
CREATE TRIGGER event_is_append_only_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER event_is_append_only_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
"""

M002 = f"""
ALTER TABLE attempt ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0 CHECK (resumes BETWEEN 0 AND 3);
ALTER TABLE attempt ADD COLUMN summary TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(summary));
ALTER TABLE experiment ADD COLUMN is_regressed INTEGER NOT NULL DEFAULT 0 CHECK (is_regressed IN (0, 1));
ALTER TABLE experiment ADD COLUMN origin TEXT NOT NULL DEFAULT '';

CREATE TABLE mid_eval (
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    step INTEGER NOT NULL CHECK (step >= 0),
    mean REAL NOT NULL CHECK {FINITE.format("mean")},
    se REAL NOT NULL CHECK {FINITE.format("se")},
    n INTEGER NOT NULL CHECK (n >= 1),
    seconds REAL NOT NULL,
    is_best INTEGER NOT NULL DEFAULT 0 CHECK (is_best IN (0, 1)),
    created_at TEXT NOT NULL,
    PRIMARY KEY (attempt, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE partial_run (
    experiment TEXT PRIMARY KEY REFERENCES experiment (id),
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    fidelity REAL NOT NULL CHECK (fidelity > 0 AND fidelity < 1),
    parent_mean REAL NOT NULL CHECK {FINITE.format("parent_mean")},
    gain REAL NOT NULL CHECK {FINITE.format("gain")},
    is_promoted INTEGER CHECK (is_promoted IN (0, 1)),
    decided_at TEXT,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (("m001_first", M001), ("m002_training", M002), ("m003_findings", M003))
"""(name, SQL) in order; a released entry is never edited, only followed by another."""

VERSION = len(MIGRATIONS)
"""Kept in `PRAGMA user_version`; a file with a higher one is refused."""
