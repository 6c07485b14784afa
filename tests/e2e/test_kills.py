"""kill -9 at random moments of `evo run`: what was finished is stored, once, and nothing is left running."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from proclist import processes_of
from workspaces import clean_environment, evo, make_command_workspace, new

ROUNDS = 60
WORK = """argv=sh -c 'sleep 0.{tenths} & sleep 0.{tenths}; echo 0.{skill} > "$EVO_CHECKPOINT_DIR/skill.txt"; wait'"""


def start_run(workspace: Path, experiment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "evo", "run", experiment, "--json"],
        cwd=workspace,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ok_attempts(workspace: Path, experiment: str) -> int:
    with contextlib.closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        query = "SELECT count(*) FROM attempt WHERE experiment = ? AND outcome = 'ok'"
        return int(db.execute(query, (experiment,)).fetchone()[0])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sixty_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """§12: a timeout or kill that leaves the child training; a finished score lost; a run recorded twice."""
    chance = random.Random(7)
    workspace = make_command_workspace(tmp_path / "ws", "max-attempts=100", "run.grace-s=0.2", n=150)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    scored = 0
    for round_ in range(ROUNDS):
        setting = WORK.format(tenths=chance.randrange(1, 4), skill=400 + round_)
        experiment = new(workspace, setting, f"round {round_}", "--parent", "exp_0000")
        driver = start_run(workspace, experiment)
        time.sleep(chance.uniform(0.0, 1.1))
        whom = chance.choice(["driver", "child", "both"])
        family = processes_of(workspace, experiment)
        victims = {"driver": [driver.pid], "child": family[:1], "both": [driver.pid, *family]}[whom]
        kill(victims)
        driver.wait(timeout=30)
        before = evo("show", experiment, cwd=workspace).data["score"]
        assert evo("recover", cwd=workspace).code == 0
        for _ in range(20):
            answer = evo("run", experiment, cwd=workspace)
            if answer.code == 0:
                break
            assert answer.code in (6, 9), (round_, whom, answer.out, answer.err)
            time.sleep(0.2)
        assert answer.code == 0, (round_, whom, answer.out, answer.err)
        assert answer.data["score"] is not None
        assert before in (None, answer.data["score"]), "a stored score has changed"
        assert ok_attempts(workspace, experiment) == 1, (round_, whom)
        assert processes_of(workspace, experiment) == [], (round_, whom)
        scored += 1
    assert scored == ROUNDS
    assert evo("fsck", cwd=workspace).data["findings"] == []
    assert evo("status", cwd=workspace).data["running"] == []
