"""How `evo loop` ends where it was not its stop policy that ended it: what it says, by which code, and what goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from looping import heartbeat, make_loop_workspace
from workspaces import SCORE, clean_environment, evo_here

KEYLESS = "--ideator none"
WORDS = [sys.executable, "-m", "evo", "loop", "-n", "2", "--ideator", "none", "--json"]


@pytest.mark.slow
def test_a_budget_that_is_spent_before_the_baseline_is_exit_8(tmp_path: Path) -> None:
    """As at any later run; what it was refused for is said, and once the cap is gone nothing is held to it."""
    slow = f"import time\ntime.sleep(1.2)\n{SCORE}"
    workspace = make_loop_workspace(tmp_path / "ws", "budget.wall-clock=1s", n=60, score=slow)
    assert evo_here("run exp_0000 --json", cwd=workspace).code == 6
    spent = evo_here(f"loop -n 1 {KEYLESS} --json", cwd=workspace)
    assert (spent.code, spent.error["code"]) == (8, "budget"), spent.out
    assert "baseline" in spent.error["message"]
    assert evo_here("config unset budget.wall-clock --json", cwd=workspace).code == 0
    done = evo_here("run exp_0000 --json", cwd=workspace)
    assert done.code == 0, "without a cap the evaluation is still held to what was left of it"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "ignored", "why"), [("HUP", False, "its terminal was closed"), ("HUP", True, ""), ("KILL", False, "")]
)
def test_a_dropped_terminal_stops_it_and_a_kill_is_seen_at_once(
    tmp_path: Path, word: str, ignored: bool, why: str
) -> None:
    """C14: SIGHUP stops it as Ctrl-C does, under nohup it goes on; after kill -9 status does not say that it runs."""
    workspace = make_loop_workspace(tmp_path / "ws", "run.grace-s=0.2", n=60, pause=1.5)
    words = ["nohup", *WORDS] if ignored else WORDS
    loop = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL)
    try:
        while not evo_here("status --json", cwd=workspace).data["running"]:
            assert loop.poll() is None
            time.sleep(0.05)
        assert evo_here("status --json", cwd=workspace).data["loop"]["status"] == "running"
        os.kill(loop.pid, getattr(signal, f"SIG{word}"))
        code = loop.wait(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            loop.kill()
        loop.wait()
    stand = evo_here("status --json", cwd=workspace).data["loop"]
    if word == "KILL":
        assert (stand["status"], stand["reason"]) == ("quiet", f"its process {loop.pid} is gone; evo loop goes on")
    elif ignored:
        assert (code, stand["status"], stand["made"]) == (0, "completed", 2)
    else:
        assert (code, stand["status"], stand["reason"]) == (9, "stopped", why)
        assert heartbeat(workspace)["error"] == why
