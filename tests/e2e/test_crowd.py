"""Eight processes at once on one workspace: nothing is lost, nothing is made or run twice."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import clean_environment, evo, make_command_workspace, new, skilled

WORKERS = 8


def at_once(workspace: Path, *commands: list[str]) -> list[tuple[int, dict[str, object]]]:
    """Exit code and envelope of each command, all started before the first is awaited."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "evo", *words, "--json"],
            cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in commands
    ]  # fmt: skip
    answers = []
    for process in started:
        out, err = process.communicate(timeout=200)
        assert out.count("\n") == 1, out + err
        answers.append((process.returncode, json.loads(out)))
    return answers


def rows(workspace: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_command_workspace(tmp_path / "ws", "run.slots=2", n=150)


def test_eight_shells_branch_without_loss(workspace: Path) -> None:
    commands = [
        ["new", "--parent", "exp_0000", "--recipe", "command", "--set", skilled(f"0.{worker}"), "-m", f"w{worker} k{k}"]
        for worker in range(1, WORKERS + 1)
        for k in range(3)
    ]
    answers = at_once(workspace, *commands)
    assert [code for code, _ in answers] == [0] * len(commands)
    made = [answer["data"]["id"] for _, answer in answers]  # type: ignore[index]
    assert len(set(made)) == len(commands)
    for name in made:
        assert (workspace / ".evo" / "worktrees" / name / "recipe" / "recipe.yaml").is_file()
    assert evo("fsck", cwd=workspace).data["findings"] == []


def test_the_same_words_from_eight_shells_are_one_node(workspace: Path) -> None:
    words = ["new", "--parent", "exp_0000", "--recipe", "command", "--set", skilled(0.5), "-m", "the same"]
    answers = at_once(workspace, *([words] * WORKERS))
    assert {answer["data"]["id"] for _, answer in answers} == {"exp_0001"}  # type: ignore[index]
    assert sum(bool(answer["data"]["created"]) for _, answer in answers) == 1  # type: ignore[index]


def test_eight_workers_take_eight_pending_nodes_once_each(workspace: Path) -> None:
    """The first of them scores the baseline, the others wait for it."""
    for k in range(WORKERS):
        new(workspace, skilled(f"0.3{k}"), f"node {k}", "--parent", "exp_0000")
    answers = at_once(workspace, *([["run", "--next"]] * WORKERS))
    assert [code for code, _ in answers] == [0] * WORKERS, answers
    per_node = rows(workspace, "SELECT experiment, count(*) FROM attempt GROUP BY experiment")
    assert sorted(per_node) == [(f"exp_{k:04d}", 1) for k in range(WORKERS + 1)]


def test_two_runs_of_one_node_start_one_attempt(workspace: Path) -> None:
    """§12: two simultaneous runs of one node both starting."""
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    node = new(workspace, "argv=sh -c 'sleep 0.5; echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt'", "slow one")
    answers = at_once(workspace, *([["run", node]] * WORKERS))
    codes = sorted(code for code, _ in answers)
    assert codes.count(0) >= 1
    assert set(codes) <= {0, 9}
    assert rows(workspace, f"SELECT count(*) FROM attempt WHERE experiment = '{node}'") == [(1,)]
