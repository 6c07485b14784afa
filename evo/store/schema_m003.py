"""The third migration: findings, guards, ideas, and what else came with the sealed gate.

Unreleased: it may still be edited. What the schema as a whole holds to be true stands in `evo.store.schema`.
"""

from __future__ import annotations

M003 = """
CREATE TABLE finding (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment TEXT REFERENCES experiment (id),
    attempt INTEGER,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('block', 'warn', 'note')),
    message TEXT NOT NULL,
    evidence TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(evidence)),
    next TEXT NOT NULL DEFAULT '',
    settled TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX finding_experiment ON finding (experiment, source);
CREATE INDEX finding_open ON finding (severity) WHERE settled = '';

ALTER TABLE attempt ADD COLUMN wall_reserved REAL CHECK (wall_reserved >= 0);
ALTER TABLE attempt ADD COLUMN gpu_reserved REAL CHECK (gpu_reserved >= 0);

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    what TEXT NOT NULL,
    gpu_seconds REAL NOT NULL DEFAULT 0 CHECK (gpu_seconds BETWEEN 0 AND 1e18),
    wall_seconds REAL NOT NULL DEFAULT 0 CHECK (wall_seconds BETWEEN 0 AND 1e18),
    llm_tokens INTEGER NOT NULL DEFAULT 0 CHECK (llm_tokens >= 0),
    usd REAL NOT NULL DEFAULT 0 CHECK (usd BETWEEN 0 AND 1e18),
    created_at TEXT NOT NULL,
    charged_at TEXT
) STRICT;
CREATE TRIGGER ledger_is_charged_once BEFORE UPDATE ON ledger
WHEN OLD.charged_at IS NOT NULL OR NEW.charged_at IS NULL
BEGIN SELECT RAISE(ABORT, 'what was reserved is charged once'); END;
CREATE TRIGGER ledger_is_kept BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'what was spent stays spent'); END;

CREATE TABLE direction (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL CHECK (text <> ''),
    author TEXT NOT NULL DEFAULT '',
    answer TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    acked_at TEXT
) STRICT;
CREATE INDEX direction_open ON direction (id) WHERE acked_at IS NULL;
CREATE TRIGGER direction_stands BEFORE UPDATE ON direction
WHEN OLD.acked_at IS NOT NULL OR NEW.text <> OLD.text
BEGIN SELECT RAISE(ABORT, 'a direction is acknowledged once, and keeps its words'); END;
CREATE TRIGGER direction_is_kept BEFORE DELETE ON direction
BEGIN SELECT RAISE(ABORT, 'directions are acknowledged, never deleted'); END;

CREATE TABLE request (
    key TEXT PRIMARY KEY,
    words TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE guard_result (
    attempt INTEGER NOT NULL REFERENCES attempt (id),
    guard TEXT NOT NULL,
    guard_hash TEXT NOT NULL,
    item TEXT NOT NULL,
    sample INTEGER NOT NULL CHECK (sample >= 0),
    score REAL NOT NULL CHECK (abs(score) <= 1.7976931348623157e308),
    output_hash TEXT NOT NULL,
    output TEXT,
    PRIMARY KEY (attempt, guard_hash, item, sample)
) STRICT, WITHOUT ROWID;

CREATE TABLE branch_check (
    experiment TEXT NOT NULL REFERENCES experiment (id),
    command TEXT NOT NULL CHECK (command <> ''),
    created_at TEXT NOT NULL,
    PRIMARY KEY (experiment, command)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER finding_blocks_commit BEFORE UPDATE OF state ON experiment
WHEN NEW.state = 'committed' AND OLD.state <> 'committed'
    AND EXISTS (SELECT 1 FROM finding WHERE experiment = NEW.id AND severity = 'block' AND settled = '')
BEGIN SELECT RAISE(ABORT, 'a finding that blocks is settled before a commit'); END;
CREATE TRIGGER finding_blocks_look BEFORE INSERT ON look
WHEN EXISTS (SELECT 1 FROM finding WHERE experiment = NEW.experiment AND severity = 'block' AND settled = '')
BEGIN SELECT RAISE(ABORT, 'a finding that blocks is settled before the held-out question'); END;

CREATE INDEX experiment_hypothesis ON experiment (hypothesis);

ALTER TABLE certificate ADD COLUMN terms TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(terms));
CREATE TRIGGER certificate_terms_stand BEFORE UPDATE OF terms ON certificate
BEGIN SELECT RAISE(ABORT, 'a certificate keeps the terms that it was asked on'); END;

ALTER TABLE idea ADD COLUMN brief TEXT NOT NULL DEFAULT '';
ALTER TABLE idea ADD COLUMN fingerprint TEXT;
ALTER TABLE idea ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX idea_is_had_once ON idea (fingerprint);
CREATE INDEX idea_state ON idea (state);
CREATE INDEX idea_experiment ON idea (experiment);
CREATE TRIGGER idea_keeps_its_experiment BEFORE UPDATE OF experiment ON idea
WHEN OLD.experiment IS NOT NULL AND NEW.experiment IS NOT OLD.experiment
BEGIN SELECT RAISE(ABORT, 'a taken idea keeps its experiment'); END;

ALTER TABLE dataset ADD COLUMN derived TEXT NOT NULL DEFAULT '' CHECK (derived IN ('', 'dev'));
ALTER TABLE dataset ADD COLUMN retracted TEXT;
CREATE INDEX dataset_derived ON dataset (sha256) WHERE derived <> '';
CREATE INDEX experiment_dataset_dataset ON experiment_dataset (dataset);
CREATE TRIGGER dataset_label_stays BEFORE UPDATE OF derived ON dataset
WHEN OLD.derived <> '' AND NEW.derived <> OLD.derived
BEGIN SELECT RAISE(ABORT, 'data made from dev failures stays labelled so'); END;
CREATE TRIGGER dataset_retraction_stands BEFORE UPDATE OF retracted ON dataset
WHEN OLD.retracted IS NOT NULL AND NEW.retracted IS NOT OLD.retracted
BEGIN SELECT RAISE(ABORT, 'a retraction stands'); END;

CREATE TABLE loop (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT UNIQUE,
    options TEXT NOT NULL CHECK (json_valid(options)),
    status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'stopped', 'error', 'completed')),
    reason TEXT NOT NULL DEFAULT '',
    controller TEXT NOT NULL DEFAULT '',
    start_commit TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX loop_runs_alone ON loop (status) WHERE status = 'running';

CREATE TABLE loop_pick (
    loop INTEGER NOT NULL REFERENCES loop (id),
    k INTEGER NOT NULL CHECK (k >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('move', 'draw', 'idea', 'data', 'seed')),
    plan TEXT NOT NULL CHECK (json_valid(plan)),
    experiment TEXT REFERENCES experiment (id),
    outcome TEXT NOT NULL DEFAULT '',
    told TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(told)),
    commit_sha TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    PRIMARY KEY (loop, k)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX loop_pick_makes_one ON loop_pick (experiment) WHERE kind <> 'seed';
CREATE TRIGGER loop_pick_ends_once BEFORE UPDATE OF outcome ON loop_pick
WHEN OLD.outcome <> '' AND NEW.outcome <> OLD.outcome
BEGIN SELECT RAISE(ABORT, 'a pick ends once'); END;
"""
