"""Workspaces whose recipe is a page in plain Python: checkpoints, mid-evaluations, a wish to stop, a second start.

As in `workspaces`, weights are a file `skill.txt` and a command scores them, so that runs take a second. The parameter
`curve` says how good each checkpoint is; a checkpoint comes every two steps.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proclist import processes_of
from workspaces import SCORE, clean_environment, evo, write_gold

RECIPE = """\
name: steps
technique: sft
mid_eval: {every: 2, patience: 2}
params:
  curve: {type: list, default: ["0.5"], doc: the skill of each checkpoint}
  pause: {type: float, default: 0.0, min: 0, doc: seconds that a step takes}
  deaf: {type: bool, default: false, doc: stops neither when it is told to nor early}
  die: {type: int, default: 0, doc: kill itself after this step of the first start}
  how: {type: str, default: KILL, doc: "the signal, or the exit code, to die of"}
"""
PAGE = """\
import os, shutil, signal, sys, time
from evo import recipe

run = recipe.current()
p, mid = run.params, run.mid
every = mid.every if mid else 2
start = int((run.resume_from / "step").read_text()) if run.resume_from else 0
best = run.folder / "best"
scores = run.mid_scores
waited = len(scores) - 1 - max((i for i, score in enumerate(scores) if score.is_best), default=len(scores) - 1)
last = len(p.curve) * every
for step in range(start + 1, last + 1):
    time.sleep(p.pause)
    run.log(step=step, loss=1.0 / step, started_at=start)
    is_over = run.should_stop and not p.deaf
    if step % every == 0 or is_over:
        checkpoint = run.checkpoint_dir / f"checkpoint-{step}"
        shutil.rmtree(checkpoint, ignore_errors=True)
        checkpoint.mkdir()
        (checkpoint / "skill.txt").write_text(p.curve[min(len(p.curve), (step + 1) // every) - 1])
        weights = shutil.copytree(checkpoint, run.folder / "weights", dirs_exist_ok=True)
        (checkpoint / "step").write_text(str(step))
        (checkpoint / "complete").touch()
        score = run.mid_eval(weights, step=step)
        waited = 0 if score is None or score.is_best else waited + 1
        if waited == 0:
            shutil.rmtree(best, ignore_errors=True)
            shutil.copytree(weights, best)
    if step == p.die and start == 0:
        if p.how.isdigit():
            sys.exit(int(p.how))
        os.kill(os.getpid(), getattr(signal, "SIG" + p.how))
        time.sleep(60)
    if is_over or (mid and waited >= mid.patience and not p.deaf):
        break
run.finish(best, artifacts={path.name.replace("checkpoint", "step"): path for path in run.checkpoint_dir.iterdir()})
"""


def make_paged_workspace(folder: Path, *settings: str, n: int = 320, score: str = SCORE, recipe: str = RECIPE) -> Path:
    """A workspace with 32 mid items and the recipe `steps`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    gold = write_gold(folder.parent / f"{folder.name}-gold.jsonl", n)
    (folder.parent / "score.py").write_text(score)
    sets = [word for setting in ("run.smoke=never", *settings) for word in ("--set", setting)]
    answer = evo(
        "init", folder, "--template", "default", "--gold", gold,
        "--eval-command", "python score.py", "--eval-files", folder.parent / "score.py", *sets, cwd=folder.parent,
    )  # fmt: skip
    assert answer.code == 0, answer.err + answer.out
    place = folder / "recipes" / "steps"
    place.mkdir(parents=True)
    (place / "recipe.yaml").write_text(recipe)
    (place / "train.py").write_text(PAGE)
    return folder


def plan(workspace: Path, *curve: float, parent: str = "exp_0000", **params: object) -> str:
    """A new experiment whose checkpoints have these skills; its id."""
    sets = {"curve": json.dumps([str(skill) for skill in curve]), **params}
    words = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    answer = evo(
        "new", "--parent", parent, "--recipe", "steps", "-m", f"a curve {curve} {params}", *words, cwd=workspace
    )
    assert answer.code == 0, answer.err + answer.out
    found: str = answer.data["id"]
    return found


def query(workspace: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{workspace / '.evo' / 'evo.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def attempt_folder(workspace: Path, experiment: str, n: int = 1) -> Path:
    return workspace / ".evo" / "attempts" / experiment / str(n)


def metrics(workspace: Path, experiment: str, n: int = 1) -> list[dict[str, Any]]:
    path = attempt_folder(workspace, experiment, n) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def started(workspace: Path, experiment: str) -> subprocess.Popen[bytes]:
    """`evo run` in the foreground of a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "evo", "run", experiment, "--json"],
        cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def await_(claim: Callable[[], object], *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def kill_page(workspace: Path, experiment: str) -> None:
    """kill -9 of what trains, and of nothing else."""
    found = [pid for pid in processes_of(workspace, experiment) if b"recipe/train.py" in command_line(pid)]
    assert found, "nothing trains"
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes()
    return b""
