"""A loop that is killed between a score and the answer of the gate: resumed, the question is put, and no look twice."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from looping import PAGE, make_loop_workspace
from workspaces import SCORE, clean_environment, evo, evo_here, new, skilled

from evo.domain.loop import Pick, Plan
from evo.ops.loop.lasting import facts_page
from evo.session import open_session

WORDS = ("loop", "--experiments", "1", "--ideator", "none")
GOOD = PAGE.replace("0.2 + 0.6 * math.exp(-2 * apart)", "0.9")
HOLDS = """\
import time
folder = pathlib.Path({folder!r})
asked = folder / str(sum(1 for _ in open(args.items)))
if asked.exists():
    (folder / "reached").touch()
while asked.exists():
    time.sleep(0.02)
"""
"""An evaluation of so many items is held while a file of that name is there."""
VERIFIED, HELD_OUT = "2", "60"


def kill_tree(loop: subprocess.Popen[bytes]) -> None:
    """Loop, workers, supervisors and evaluations at one moment."""
    family = [*psutil.Process(loop.pid).children(recursive=True), psutil.Process(loop.pid)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    loop.wait(timeout=30)
    psutil.wait_procs(family, timeout=30)


def looks(workspace: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        return db.execute("SELECT k, experiment, passed FROM look ORDER BY k").fetchall()


@pytest.mark.parametrize(
    ("held", "asked"),
    [pytest.param(VERIFIED, [], marks=pytest.mark.slow), (HELD_OUT, [(1, "exp_0001", None)])],
)
def test_c14_a_kill_between_score_and_answer_loses_no_step_of_the_gate(
    tmp_path: Path, held: str, asked: list[tuple[object, ...]]
) -> None:
    """C14, A35: resume is at the point where it stopped, the gate's too; a look that was begun is the one answered."""
    score = SCORE + HOLDS.format(folder=str(tmp_path))
    workspace = make_loop_workspace(tmp_path / "ws", n=200, page=GOOD, score=score)
    (tmp_path / held).touch()
    loop = subprocess.Popen(
        [sys.executable, "-m", "evo", *WORDS], cwd=workspace, env=clean_environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert loop.poll() is None, "it ended before the gate"
            assert time.monotonic() < deadline, "the gate was not reached"
            time.sleep(0.02)
    finally:
        if loop.poll() is None:
            kill_tree(loop)
        (tmp_path / held).unlink()
    assert evo_here("show exp_0001 --json", cwd=workspace).data["state"] == "open"
    assert looks(workspace) == asked

    done = evo(*WORDS, cwd=workspace)
    assert (done.code, done.data["status"], done.data["committed"]) == (0, "completed", "exp_0001"), done.out + done.err
    assert looks(workspace) == [(1, "exp_0001", 1)]
    assert "certified" in next(line for line in done.err.splitlines() if "iter 1: exp_0001" in line)


def test_a_question_that_is_left_at_the_end_is_put_once(tmp_path: Path) -> None:
    """C14: a loop that was cut off after its last pick puts what the gate has not been asked, and then ends."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=200, page=GOOD)
    assert evo_here(f"{' '.join(WORDS)} --json", cwd=workspace).data["committed"] == "exp_0000"
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db", isolation_level=None)) as db:
        db.execute("UPDATE loop SET status = 'stopped'")
    assert evo_here("config set gate.mode certify", cwd=workspace).code == 0
    done = evo_here(f"{' '.join(WORDS)} --json", cwd=workspace)
    assert (done.data["status"], done.data["committed"]) == ("completed", "exp_0001"), done.out + done.err
    assert "exp_0001 is certified against exp_0000" in done.err
    assert looks(workspace) == [(1, "exp_0001", 1)]
    log = subprocess.run(
        ["git", "log", "--format=", "--name-only"], cwd=workspace, capture_output=True, text=True, check=True
    )
    assert "BACKGROUND.md" in log.stdout


def test_c6_a_certified_fact_is_told_beside_what_it_was_certified_against(tmp_path: Path) -> None:
    """C6: the reference of a certificate need not be the parent, over which dev may show nothing."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=200, page=GOOD)
    picks = []
    for k, (parent, skill) in enumerate((("exp_0000", 0.88), ("exp_0001", 0.9)), start=1):
        made = new(workspace, skilled(skill), f"a skill of {skill}", "--parent", parent)
        assert evo_here(f"run {made} --json", cwd=workspace).code == 0
        picks.append(Pick(1, k, "move", Plan(f"a skill of {skill}", "", parent), made, "scored"))
    assert evo_here("config set gate.mode certify", cwd=workspace).code == 0
    assert evo_here("certify exp_0002 --json", cwd=workspace).data["passed"]
    with open_session(workspace) as session:
        told = [line for line in facts_page(session, picks).splitlines() if line.startswith("- ")]
    assert len(told) == 1
    shown = r"certified against exp_0000, on dev \+0\.\d+ \[\+0\.\d+, \+0\.\d+\] over it"
    assert re.fullmatch(f"- exp_0002: .*; {shown}", told[0]), told
