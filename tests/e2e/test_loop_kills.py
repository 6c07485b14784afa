"""kill -9 at random moments of `evo loop`: resumed, it ends with exactly the experiments that were asked for."""

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
from looping import journal, make_loop_workspace
from proclist import processes_of
from workspaces import clean_environment, evo

KILLS, EXPERIMENTS = 10, 12
WORDS = ("loop", "--experiments", str(EXPERIMENTS), "--workers", "2", "--ideator", "none")


def start(workspace: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "evo", *WORDS, "--json"],
        cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def drivers(workspace: Path) -> list[int]:
    """Processes of `evo run` that work for the loop."""
    return [pid for n in range(EXPERIMENTS + 1) for pid in processes_of(workspace, f"exp_{n:04d}")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_c14_ten_kills_and_the_loop_ends_with_exactly_its_experiments(tmp_path: Path) -> None:
    """C14, D16: whatever is killed and whenever, every pick is made once, ended once, stored once."""
    chance = random.Random(11)
    workspace = make_loop_workspace(tmp_path / "ws", "run.grace-s=0.2", "max-attempts=100", n=100, pause=1.0)
    alive = 0
    for _ in range(KILLS):
        loop = start(workspace)
        time.sleep(chance.uniform(0.3, 1.8))
        alive += loop.poll() is None
        with_family = chance.random() < 0.5
        kill([loop.pid, *(drivers(workspace) if with_family else [])])
        loop.wait(timeout=30)
    assert alive >= KILLS - 1, "the loop was at its end before it could be killed"
    done = evo(*WORDS, cwd=workspace, timeout=120)
    assert done.code == 0, done.out + done.err
    assert (done.data["status"], done.data["experiments"]) == ("completed", EXPERIMENTS)
    with contextlib.closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        assert db.execute("SELECT count(*) FROM experiment").fetchone()[0] == EXPERIMENTS + 1
        per = "SELECT count(*), sum(outcome = 'ok') FROM attempt GROUP BY experiment"
        assert all(ok == 1 for _, ok in db.execute(per)), "a run was recorded twice, or lost"
        assert db.execute("SELECT count(*) FROM loop").fetchone()[0] == 1
    assert len({row["experiment"] for row in journal(workspace)}) == EXPERIMENTS
    assert drivers(workspace) == []
    assert evo("fsck", cwd=workspace).data["findings"] == []
    assert evo("status", cwd=workspace).data["running"] == []
    commits = subprocess.run(["git", "log", "--format=%s"], cwd=workspace, capture_output=True, text=True, check=True)
    iterations = [line.split(":")[0] for line in commits.stdout.splitlines() if line.startswith("iter ")]
    assert sorted(iterations) == sorted(f"iter {k}" for k in range(1, EXPERIMENTS + 1))
