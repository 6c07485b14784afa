"""`evo loop` on a machine that gives out: it says what is missing, loses nothing, and goes on once it is mended."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from looping import heartbeat, make_loop_workspace
from workspaces import evo_here

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
    states = evo_here("status --json", cwd=workspace).data["states"]
    assert states.get("pending", 0) == 0
    assert sum(states.values()) == 3 + is_edited, "an orphan"
