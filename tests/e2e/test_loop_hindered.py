"""`evo loop` on a machine that gives out: it says what is missing, loses nothing, and goes on once it is mended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from looping import heartbeat, make_loop_workspace
from workspaces import SCORE, clean_environment, evo_here

from evo.domain.loop import LoopOptions
from evo.errors import Refused
from evo.ops.loop.drive import LoopRequest, loop
from evo.session import open_session

KEYLESS = "--ideator none"


def faulty_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git before the real one that makes no worktree while the file that is returned is there."""
    flag, real = folder / "full", shutil.which("git")
    flag.touch()
    script = folder / "git"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *"reset --hard"*) [ -e {flag} ] && {{ echo "no room" >&2; exit 128; }};; esac\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return flag


@pytest.mark.parametrize("is_edited", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_could_not_be_made_is_made_later_and_leaves_no_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_edited: bool
) -> None:
    """C14, D16: git fails after the experiment was written down: the pick stays open, and resumed it is the same one;
    where its recipe was edited meanwhile, that one is given up and others are made."""
    flag = faulty_git(tmp_path, monkeypatch)
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    refused = evo_here(f"loop -n 2 --workers 2 {KEYLESS} --json", cwd=workspace)
    assert (refused.code, "of pick 1 could not be made" in refused.error["message"]) == (4, True), refused.out
    assert "no room" in refused.error["hint"]
    assert heartbeat(workspace)["status"] == "error"
    flag.unlink()
    if is_edited:
        page = workspace / "recipes" / "cube" / "train.py"
        page.write_text(page.read_text() + "\n")
    done = evo_here(f"loop {KEYLESS} --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", 2)
    scored = [pick for pick in done["picks"] if pick["outcome"] == "scored"]
    assert any(pick["hypothesis"].endswith("the recipe's defaults") for pick in scored), "its values count as tried"
    states = evo_here("status --json", cwd=workspace).data["states"]
    assert states.get("pending", 0) == 0
    assert sum(states.values()) == 3 + is_edited, "an orphan"


def test_a_page_that_cannot_be_written_ends_it_in_words(tmp_path: Path) -> None:
    """C14: no traceback, the path is named, the row says error; before it begins it is refused, and nothing is lost."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    page = workspace / "AGENT_CONTEXT.md"
    page.mkdir()
    assert evo_here(f"loop -n 1 {KEYLESS} --json", cwd=workspace).error["message"].startswith("AGENT_CONTEXT.md is a ")
    assert evo_here("status --json", cwd=workspace).data["loop"] is None
    page.rmdir()

    def tell(event: str, *_: object) -> None:
        if event == "picked":
            page.mkdir()

    with contextlib.chdir(workspace), open_session() as session:
        options = LoopOptions(1, ideator="none")
        with pytest.raises(Refused, match=r"AGENT_CONTEXT\.md: Is a directory"):
            loop(session, LoopRequest(options, frozenset({"experiments", "ideator"})), tell)
    stand = evo_here("status --json", cwd=workspace).data["loop"]
    assert (stand["status"], "Is a directory" in stand["reason"]) == ("error", True)
    assert heartbeat(workspace)["status"] == "error"
    page.rmdir()
    done = evo_here("loop --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", 1)


def test_notes_of_git_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    (workspace / ".git" / "worktrees").write_text("in the way")
    refused = evo_here("new --recipe cube -m words --json", cwd=workspace)
    assert refused.code == 4, refused.err
    assert ".git/worktrees/exp_0001: Not a directory" in refused.error["message"]


def test_without_git_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = evo_here(f"loop -n 1 {KEYLESS} --json", cwd=workspace)
    assert (refused.code, refused.error["message"]) == (4, "git is not installed")
    assert evo_here("status --json", cwd=workspace).data["loop"] is None


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_baseline_is_started_again(tmp_path: Path) -> None:
    """C14: also the first run survives a kill; what is killed each time is said in words, and not started for ever."""
    workspace = make_loop_workspace(
        tmp_path / "ws", "gate.mode=none", n=60, score=f"import time\ntime.sleep(1)\n{SCORE}"
    )
    words = [sys.executable, "-m", "evo", "loop", "-n", "1", "--ideator", "none", "--json"]
    for deaths in (99, 1):
        loop = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE)
        try:
            while loop.poll() is None and deaths:
                for worker in psutil.Process(loop.pid).children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if "exp_0000" in worker.cmdline():
                            worker.kill()
                            deaths -= 1
                time.sleep(0.1)
            answer = json.loads(loop.communicate(timeout=60)[0])
        finally:
            loop.kill()
            loop.wait()
        if deaths:
            assert answer["error"]["message"] == "the baseline has no score (killed)"
            assert "ended by SIGKILL" in answer["error"]["hint"]
        else:
            assert answer["data"]["status"] == "completed"
