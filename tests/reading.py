"""A workspace in every state that the read commands know, made with the real store and real git, without any run.

exp_0000  committed, scored .40         the base
├─ exp_0001  committed by a certificate, scored .70, worktree
│  ├─ exp_0002  open, scored .75, worktree with an uncommitted edit, two seeds
│  └─ exp_0006  pending, its attempt is running: heard of just now
├─ exp_0003  failed: a log with control characters
├─ exp_0004  discarded, scored .30
├─ exp_0005  pending
├─ exp_0007  pending, its attempt has gone quiet
├─ exp_0008  pending, trained: its evaluation is owed
└─ exp_0009  open, scored in an older epoch
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from growing import claimed, wish

from evo.domain.experiment import ROOT
from evo.domain.item import ItemResult
from evo.domain.score import Score
from evo.files import write_jsonl
from evo.gate.statistics import score_error
from evo.runner import proc
from evo.search.tree import sighting
from evo.store import attempts, datasets, experiments, gate_rows, meta, notes, record
from evo.store import db as database
from evo.store.record import Finished
from evo.workspace import repository
from evo.workspace.layout import Layout
from evo.workspace.settings import refresh

EPOCH = "e" * 64
OLD_EPOCH = "0" * 64
HELDOUT = "h" * 64
SECRET = "the vault's answer is 42"
N = 40
CONFIG = """name: reading
gate:
  mode: certify
"""


def right(n: int) -> list[float]:
    """The first `n` of the dev items are right."""
    return [1.0] * n + [0.0] * (N - n)


def reading_workspace(root: Path) -> Path:
    """Build it under `root`; the folder that holds evo.yaml."""
    layout = Layout(root / "my-task")
    layout.data.mkdir(parents=True)
    layout.create()
    (layout.root / "evo.yaml").write_text(CONFIG)
    (layout.root / ".gitignore").write_text(".evo/\n")
    write_jsonl(layout.data / "dev.jsonl", [dev_row(i) for i in range(N)])
    write_jsonl(layout.sealed / "heldout.jsonl", [{"prompt": SECRET, "target": SECRET}], mode=0o600)
    recipe = root / "recipe"
    recipe.mkdir()
    (recipe / "train.py").write_text("rate = 1\n")
    repository.init(layout.root)
    start = repository.commit_files(layout.root, ["evo.yaml", ".gitignore", "data/dev.jsonl"], "first")
    database.create(layout.db)
    with contextlib.closing(database.connect(layout.db)) as db:
        experiments.add_root(db, hypothesis="the untouched base", recipe="base", technique="none")
        _grow(layout, db, start, recipe)
    refresh(layout)
    return layout.root


def dev_row(i: int) -> dict[str, object]:
    return {"id": f"item-{i}", "prompt": f"{i} + {i} =", "target": str(2 * i), "slice": "even" if i % 2 == 0 else "odd"}


def _grow(layout: Layout, db: sqlite3.Connection, start: str, recipe: Path) -> None:
    meta.set(db, "epoch", EPOCH)
    meta.set(db, "heldout_hash", HELDOUT)
    meta.set(db, "metric_unit", 1.0)
    score(db, ROOT, right(16))
    first = plant(db, params={"learning_rate": 1e-4, "epochs": 2}, hypothesis="two epochs of clean data")
    work(layout, db, first, start, recipe)
    score(db, first, right(28))
    commit(db, first)
    second = plant(db, parent=first, params={"learning_rate": 5e-5, "epochs": 2}, hypothesis="a lower rate")
    work(layout, db, second, head_of(layout, first), None)
    (layout.worktree(second) / "recipe" / "train.py").write_text("rate = 2\n")
    sha = repository.commit_worktree(layout, second, "lower").sha
    experiments.set_content(db, second, commit=sha, content_hash="c2")
    (layout.worktree(second) / "recipe" / "train.py").write_text("rate = 3\n")
    score(db, second, right(30), metrics=[2.5, 1.5, 0.5])
    score(db, second, right(30), seed=1, seeds=2)
    crash(layout, db, plant(db, hypothesis="a learning rate that explodes"))
    gone = plant(db, hypothesis="train on noise")
    score(db, gone, right(12))
    experiments.move(db, gone, "discarded", reason="it forgets how to add", class_="hypothesis")
    plant(db, hypothesis="not run yet")
    beat(layout, db, plant(db, parent=first, hypothesis="running now"), age_s=0.0)
    beat(layout, db, plant(db, hypothesis="gone quiet"), age_s=3600.0)
    owe(db, plant(db, hypothesis="evaluation owed"))
    score(db, plant(db, hypothesis="scored before the scorer changed"), right(20), epoch=OLD_EPOCH)
    notes.add(db, "look at the carries", experiment=second, author="ana")
    experiments.set_insight(db, second, "a lower rate keeps the format")
    datasets.register(db, datasets.Dataset("d" * 64, "data/train.jsonl", 100, "data/train.jsonl"))
    datasets.link(db, second, used=[("train", "d" * 64)])


def plant(db: sqlite3.Connection, **changes: Any) -> str:
    return experiments.add(db, wish(**changes))[0].id


def score(
    db: sqlite3.Connection,
    id: str,
    scores: Sequence[float],
    *,
    epoch: str = EPOCH,
    seed: int = 0,
    seeds: int = 1,
    metrics: Sequence[float] = (),
    is_noop: bool = False,
) -> None:
    """A finished attempt with these dev results, and the gain that follows from them."""
    attempt = claimed(db, id, seed=seed, commit=experiments.get(db, id).commit)
    seen = sighting(scores, right(16), sigma_run=0.007, seeds=seeds)
    told = Finished(
        id,
        attempt.n,
        attempt.token,
        "ok",
        eval_hash=epoch,
        results=[
            ItemResult(f"item-{i}", 0, value, "hash", str(2 * i if value else 2 * i + 1))
            for i, value in enumerate(scores)
        ],
        score=Score(sum(scores) / N, score_error(scores), N),
        gain=None if id == ROOT else seen.gain,
        gain_var=None if id == ROOT else seen.variance,
        seeds=seeds,
        weights_hash=f"weights of {id}",
        isolation="bwrap",
        train_seconds=61.5,
        eval_seconds=2.5,
        gpu_seconds=64.0,
        is_primary=seed == 0,
        is_noop=is_noop,
    )
    assert record.finish(db, told)
    if metrics:
        path = Layout(Path(database.file_of(db)).parent.parent).attempt(id, attempt.n).metrics
        path.parent.mkdir(parents=True)
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(metrics, 1)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')


def work(layout: Layout, db: sqlite3.Connection, id: str, start: str, recipe: Path | None) -> None:
    repository.add_worktree(layout, id, start_commit=start, recipe_folder=recipe)
    sha = repository.commit_worktree(layout, id, "as made").sha
    experiments.set_content(db, id, commit=sha, content_hash=f"content of {id}")


def head_of(layout: Layout, id: str) -> str:
    return repository.commit_worktree(layout, id, "as it is").sha


def commit(db: sqlite3.Connection, id: str) -> None:
    look = gate_rows.reserve_look(
        db, heldout_hash=HELDOUT, experiment=id, against=ROOT, weights_hash=f"weights of {id}",
        against_weights_hash=f"weights of {ROOT}", limit=20, evidence=2.9,
    )  # fmt: skip
    gate_rows.answer(db, look, passed=True, mode="certify", isolation="bwrap", epoch=EPOCH, move_to_committed=True)


def crash(layout: Layout, db: sqlite3.Connection, id: str) -> None:
    attempt = claimed(db, id)
    folder = layout.attempt(id, attempt.n)
    folder.root.mkdir(parents=True)
    lines = [f"step {n}" for n in range(200)]
    folder.train_log.write_text("\n".join([*lines, "\x1b[2Jloss is \x07nan", "RuntimeError: loss is nan"]) + "\n")
    told = Finished(id, attempt.n, attempt.token, "failed", failure="nonzero_exit", message="RuntimeError: loss is nan")
    assert record.finish(db, told)


def beat(layout: Layout, db: sqlite3.Connection, id: str, *, age_s: float) -> None:
    attempt = claimed(db, id)
    attempts.start(db, id, attempt.n, token=attempt.token, isolation="bwrap")
    folder = layout.attempt(id, attempt.n)
    folder.root.mkdir(parents=True)
    folder.supervisor.write_text(json.dumps({"process": proc.identity(os.getpid()), "stage": "training"}))
    folder.heartbeat.touch()
    os.utime(folder.heartbeat, (time.time() - age_s, time.time() - age_s))


def owe(db: sqlite3.Connection, id: str) -> None:
    attempt = claimed(db, id)
    assert record.finish(db, Finished(id, attempt.n, attempt.token, "trained", train_seconds=5.0))
