"""Several processes at one experiment: none takes another's files away, and no certificate is lost to a look at it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from workspaces import SCORE, clean_environment, evo, evo_here, make_command_workspace, new, skilled

SLOW = """\
import os, time
folder = pathlib.Path({folder!r})
if sum(1 for _ in open(args.items)) <= 32:
    with open(folder / "log", "a") as log:
        log.write("begun\\n")
    while (folder / "hold").exists():
        time.sleep(0.02)
    with open(folder / "log", "a") as log:
        log.write("over\\n")
"""
"""A verification is held while a file is there; what it evaluates is on record."""


def start(workspace: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "evo", *words, "--json"],
        cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(log: Path, lines: int) -> None:
    deadline = time.monotonic() + 30
    while not log.exists() or len(log.read_text().split()) < lines:
        assert time.monotonic() < deadline, "the evaluation did not begin"
        time.sleep(0.02)


def test_two_verifications_take_turns_and_no_question_is_asked_meanwhile(tmp_path: Path) -> None:
    """A35: what one process looks at is not taken away by another, so nothing is found that is not there."""
    score = SCORE + SLOW.format(folder=str(tmp_path))
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=150, score=score)
    node = new(workspace, skilled(0.95), "far better than the base", "--parent", "exp_0000")
    assert evo("run", node, cwd=workspace).code == 0
    assert evo_here("config set gate.mode certify", cwd=workspace).code == 0

    (tmp_path / "hold").touch()
    first = start(workspace, "verify", node)
    wait_for(tmp_path / "log", 1)
    second = start(workspace, "verify", node)
    try:
        asked = evo("certify", node, cwd=workspace, timeout=20)
        assert (asked.code, evo_here("status --json", cwd=workspace).data["looks"]["used"]) == (9, 0), asked.out
        assert (tmp_path / "log").read_text().split() == ["begun"]
    finally:
        (tmp_path / "hold").unlink()
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["data"]["ok"]) == (0, True), out + err
    assert (tmp_path / "log").read_text().split() == ["begun", "over"] * 2

    answered = evo("certify", node, cwd=workspace)
    assert (answered.code, answered.data["passed"]) == (0, True), answered.out
    assert evo_here(f"show {node} --json", cwd=workspace).data["state"] == "committed"
