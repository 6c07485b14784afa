"""`evo stop`: a training ends now, and what it has is measured."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from midway import attempt_folder, await_, make_paged_workspace, metrics, plan, query, started
from proclist import processes_of
from workspaces import evo, make_command_workspace, new


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_paged_workspace(tmp_path_factory.mktemp("stop") / "ws", "gate.mode=none")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    return workspace


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_command_workspace(tmp_path_factory.mktemp("stop") / "ws", "gate.mode=none", "run.grace-s=0.5")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    return workspace


def test_a_page_hands_over_its_best_checkpoint(paged: Path) -> None:
    experiment = plan(paged, 0.5, 0.9, *[0.7] * 30, pause=0.2)
    driver = started(paged, experiment)
    await_(lambda: len(metrics(paged, experiment)) >= 5)
    first = evo("stop", experiment, cwd=paged)
    assert (first.code, first.data["facts"]) == (0, {"id": experiment, "attempt": 1})
    assert evo("stop", experiment, cwd=paged).code == 0, "asking twice does no harm"
    assert driver.wait(60) == 0
    shown = evo("show", experiment, cwd=paged).data
    assert shown["attempts"][0]["outcome"] == "ok"
    assert shown["score"]["mean"] > 0.8
    assert (attempt_folder(paged, experiment) / "output" / "skill.txt").read_text() == "0.9"
    assert len(metrics(paged, experiment)) < 20


def test_one_that_was_stopped_is_evaluated_even_below_its_parent(paged: Path) -> None:
    parent = plan(paged, 0.95)
    assert evo("run", parent, cwd=paged).code == 0
    experiment = plan(paged, *[0.1] * 30, parent=parent, pause=0.3)
    driver = started(paged, experiment)
    await_(lambda: len(metrics(paged, experiment)) >= 3)
    assert evo("stop", experiment, cwd=paged).code == 0
    assert driver.wait(60) == 0
    shown = evo("show", experiment, cwd=paged).data
    assert shown["score"]["mean"] < 0.3
    assert not shown["regressed"]


def test_a_command_is_ended_at_once_and_its_output_measured(command: Path) -> None:
    line = """argv=sh -c 'echo 0.7 > "$EVO_CHECKPOINT_DIR/skill.txt"; touch "$EVO_JOB/ready"; sleep 300'"""
    experiment = new(command, line, "sleeps on")
    driver = started(command, experiment)
    await_((attempt_folder(command, experiment) / "ready").exists)
    began = time.monotonic()
    assert evo("stop", experiment, cwd=command).code == 0
    assert driver.wait(30) == 0
    assert time.monotonic() - began < 15
    shown = evo("show", experiment, cwd=command).data
    assert shown["attempts"][0]["outcome"] == "ok"
    assert shown["score"]["mean"] == pytest.approx(0.7, abs=0.12)
    assert processes_of(command, experiment) == []


def test_stopped_before_there_was_anything_is_said(command: Path) -> None:
    experiment = new(command, """argv=sh -c 'touch "$EVO_JOB/ready"; sleep 300'""", "leaves nothing")
    driver = started(command, experiment)
    await_((attempt_folder(command, experiment) / "ready").exists)
    assert evo("stop", experiment, cwd=command).code == 0
    assert driver.wait(30) == 6
    entry = evo("show", experiment, cwd=command).data["attempts"][0]
    assert (entry["outcome"], entry["class"]) == ("killed", "stopped")


def test_what_does_not_train_cannot_be_stopped(command: Path) -> None:
    idle = new(command, "argv=true", "never run")
    refused = evo("stop", idle, cwd=command)
    assert (refused.code, refused.error["message"]) == (4, f"{idle} is not running")
    assert evo("stop", "exp_9999", cwd=command).code == 3
    ready = """argv=sh -c 'echo 0.5 > "$EVO_CHECKPOINT_DIR/skill.txt"; touch "$EVO_JOB/ready"; sleep 300'"""
    first, second = new(command, ready, "has the slot"), new(command, ready, "waits for the slot")
    drivers = [started(command, first)]
    await_((attempt_folder(command, first) / "ready").exists)
    drivers.append(started(command, second))
    await_((attempt_folder(command, second) / "heartbeat").exists)
    waiting = evo("stop", second, cwd=command)
    assert waiting.code == 4
    assert "waits for its turn" in waiting.error["message"]
    assert evo("abort", second, cwd=command).code == 0
    assert evo("stop", first, cwd=command).code == 0
    assert [driver.wait(30) for driver in drivers] == [0, 6]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_deaf_page_is_ended_after_a_minute_and_its_checkpoints_are_kept(paged: Path) -> None:
    """It left nothing to measure, and goes on another day."""
    experiment = plan(paged, *[0.1 + k / 500 for k in range(400)], pause=0.2, deaf=True)
    driver = started(paged, experiment)
    await_(lambda: len(metrics(paged, experiment)) >= 3)
    began = time.monotonic()
    assert evo("stop", experiment, cwd=paged).code == 0
    assert driver.wait(120) == 6
    assert 55 < time.monotonic() - began < 90
    assert processes_of(paged, experiment) == []
    found = query(paged, "SELECT outcome, failure FROM attempt WHERE experiment = ?", experiment)
    assert found == [(None, "interrupted")]
    assert evo("abort", experiment, cwd=paged).code == 0
