"""Workspaces whose runs log a curve, and what the mirror does with them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from workspaces import Answer, evo, make_command_workspace

from evo.ops.tracking.track import Places, is_running

TRAIN = """\
import json, os, pathlib, sys, time
steps, skill, pause = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with open(pathlib.Path(os.environ["EVO_JOB"], "metrics.jsonl"), "a") as file:
    for step in range(1, steps + 1):
        row = {"at": "2026-11-01T10:00:%02d.000Z" % step, "step": step, "loss": 1 / step, "note": "a-run's-own-words"}
        file.write(json.dumps(row) + "\\n")
        file.flush()
        time.sleep(pause)
if skill == "crash":
    sys.exit("no such thing")
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text(skill)
"""


def training(root: Path, *, skill: str, steps: int = 5, pause: float = 0.0) -> str:
    """`argv` of a training command that logs a curve."""
    return f"argv={sys.executable} {root.parent / 'shared' / 'train.py'} {steps} {skill} {pause}"


def workspace(folder: Path, *settings: str) -> Path:
    root = make_command_workspace(folder / "ws", *settings, n=150)
    (folder / "shared" / "train.py").write_text(TRAIN)
    return root


def run(root: Path, experiment: str, **env: str) -> Answer:
    """`evo run`, with a home of its own: no login of whoever runs the tests."""
    return evo("run", experiment, cwd=root, HOME=str(root.parent), **env)


def sync(root: Path, *words: str, **env: str) -> Answer:
    return evo("wandb", "sync", *words, cwd=root, HOME=str(root.parent), **env)


def status(root: Path, **env: str) -> dict[str, Any]:
    found: dict[str, Any] = evo("wandb", "status", cwd=root, HOME=str(root.parent), **env).data
    return found


def wait_for_mirror(root: Path, *, patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while is_running(Places(root / ".evo" / "track")):
        assert time.monotonic() < deadline, (root / ".evo/track/tracker.log").read_text()
        time.sleep(0.05)


def newest(root: Path) -> str:
    return str(evo("tree", cwd=root).data["nodes"][-1]["id"])


def mirrors(root: Path) -> list[int]:
    """Mirrors of this workspace that are at work, by pid."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"evo.ops.tracking.mirror" in words and str(root).encode() in words:
            found.append(int(path.parent.name))
    return found
