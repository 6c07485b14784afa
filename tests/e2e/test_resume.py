"""Training that was cut off goes on: the same attempt, the same folder, at its last checkpoint."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from midway import attempt_folder, await_, kill_page, make_paged_workspace, metrics, plan, query, started
from proclist import processes_of
from workspaces import evo

CURVE = (0.5, 0.6, 0.7, 0.8, 0.9)
ATTEMPT = "SELECT n, state, outcome, failure, resumes FROM attempt WHERE experiment = ? ORDER BY n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_paged_workspace(tmp_path_factory.mktemp("resume") / "ws", "gate.mode=none", "run.grace-s=0.5")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    return workspace


def test_a_killed_training_goes_on_where_it_stopped(shared: Path) -> None:
    """§12: training at second start beginning again at iteration 1. E6: what is resumed from is not what is scored.

    E10: the events of metrics.jsonl, the state of the run on disk, and a resume that needs no option.
    """
    experiment = plan(shared, *CURVE, pause=0.1)
    driver = started(shared, experiment)
    await_(lambda: len(metrics(shared, experiment)) >= 5)
    kill_page(shared, experiment)
    assert driver.wait(30) == 6
    assert query(shared, ATTEMPT, experiment) == [(1, "queued", None, "interrupted", 0)]
    shown = evo("show", experiment, cwd=shared)
    assert "interrupted at step 4" in shown.data["message"]
    assert [hint["cmd"] for hint in shown.document["next"]] == [f"evo run {experiment}"]
    status = evo("status", cwd=shared)
    assert (status.data["interrupted"], status.data["running"], status.data["stale"]) == ([experiment], [], [])
    assert f"evo run {experiment}" in [hint["cmd"] for hint in evo("next", cwd=shared).document["next"]]
    swept = evo("sync", cwd=shared)
    assert (swept.code, swept.data["interrupted"]) == (0, [experiment])
    assert processes_of(shared, experiment) == [], "sync has started it"

    answer = evo("run", experiment, cwd=shared)
    assert answer.code == 0, answer.err + answer.out
    rows = metrics(shared, experiment)
    assert [row["step"] for row in rows] == list(range(1, 11)), "a step is missing, or there twice"
    assert [row["started_at"] for row in rows] == [0] * 4 + [4] * 6
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", "ok", "", 1)]
    assert [step for (step,) in query(shared, "SELECT step FROM mid_eval JOIN attempt ON id = attempt"
            " WHERE experiment = ?", experiment)] == [2, 4, 6, 8, 10]  # fmt: skip
    folder = attempt_folder(shared, experiment)
    assert (folder / "train-1.log").exists(), "the log of the part before is gone"
    assert sorted(path.name for path in (folder / "output").iterdir()) == ["skill.txt"]
    assert answer.data["score"]["mean"] > 0.8
    seconds = answer.data["attempts"][0]["seconds"]
    assert seconds > 10 * 0.1, "the time before the kill was forgotten"
    assert evo("fsck", cwd=shared).data["findings"] == []


def test_next_takes_it_up(shared: Path) -> None:
    experiment = plan(shared, *CURVE, die=3)
    assert evo("run", experiment, cwd=shared).code == 6
    answer = evo("run", "--next", cwd=shared)
    assert (answer.code, answer.data["id"]) == (0, experiment)
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", "ok", "", 1)]


@pytest.mark.parametrize("whom", ["controller", "supervisor", "both"])
def test_a_lost_controller_or_supervisor_loses_no_training(shared: Path, whom: str) -> None:
    experiment = plan(shared, *CURVE, pause=0.1, die=0, how=f"KILL{['controller', 'supervisor', 'both'].index(whom)}")
    driver = started(shared, experiment)
    await_(lambda: len(metrics(shared, experiment)) >= 3)
    supervisors = query_supervisor(shared, experiment)
    if whom != "supervisor":
        driver.kill()
    if whom != "controller":
        os.kill(supervisors, signal.SIGKILL)
    driver.wait(30)
    await_(lambda: processes_of(shared, experiment) == [])
    assert evo("recover", cwd=shared).code == 0
    assert query(shared, ATTEMPT, experiment) == [(1, "queued", None, "interrupted", 0)]
    assert evo("run", experiment, cwd=shared).code == 0
    assert [row["step"] for row in metrics(shared, experiment)] == list(range(1, 11))
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", "ok", "", 1)]


def query_supervisor(workspace: Path, experiment: str) -> int:
    record = attempt_folder(workspace, experiment) / "supervisor.json"
    return int(json.loads(record.read_text())["process"]["pid"])


def test_three_resumes_and_no_more(tmp_path: Path) -> None:
    """§5: at most three; then the attempt has ended as killed, and counts. §12: the cap not binding crashes."""
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none", "max-attempts=1")
    page = workspace / "recipes" / "steps" / "train.py"
    page.write_text(page.read_text().replace("step == p.die and start == 0", "step == start + 3"))
    experiment = plan(workspace, *[0.5] * 12, deaf=True)
    for resumes in range(3):
        assert evo("run", experiment, cwd=workspace).code == 6
        assert query(workspace, ATTEMPT, experiment) == [(1, "queued", None, "interrupted", resumes)]
    assert evo("run", experiment, cwd=workspace).code == 6
    assert query(workspace, ATTEMPT, experiment) == [(1, "ended", "killed", "signal", 3)]
    refused = evo("run", experiment, cwd=workspace)
    assert (refused.code, len(query(workspace, ATTEMPT, experiment))) == (4, 1)


@pytest.mark.parametrize("how", ["3", "timeout", "abort"])
def test_what_was_ordered_or_failed_by_itself_is_not_resumed(shared: Path, how: str) -> None:
    experiment = plan(shared, *CURVE, pause=0.2, **({"die": 3, "how": "3"} if how == "3" else {"how": how}))
    if how == "abort":
        driver = started(shared, experiment)
        await_(lambda: len(metrics(shared, experiment)) >= 3)
        assert evo("abort", experiment, cwd=shared).code == 0
        assert driver.wait(30) == 6
    else:
        words = ("--timeout", "1.2s") if how == "timeout" else ()
        assert evo("run", experiment, *words, cwd=shared).code in (6, 7)
    outcome = {"3": ("failed", "nonzero_exit"), "timeout": ("timed_out", "timeout"), "abort": ("killed", "aborted")}
    assert (attempt_folder(shared, experiment) / "checkpoints" / "checkpoint-2").exists()
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", *outcome[how], 0)]


def test_without_a_complete_checkpoint_the_attempt_has_ended(shared: Path) -> None:
    experiment = plan(shared, *CURVE, die=1)
    assert evo("run", experiment, cwd=shared).code == 6
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", "killed", "signal", 0)]


def test_edited_content_is_another_attempt(shared: Path) -> None:
    experiment = plan(shared, *CURVE, die=3, pause=0.01)
    assert evo("run", experiment, cwd=shared).code == 6
    page = shared / ".evo" / "worktrees" / experiment / "recipe" / "train.py"
    page.write_text(page.read_text().replace("step == p.die", "step == -1") + "# edited\n")
    assert evo("run", experiment, cwd=shared).code == 0
    found = query(shared, ATTEMPT, experiment)
    assert found == [(1, "ended", "killed", "aborted", 0), (2, "ended", "ok", "", 0)]
    assert [row["started_at"] for row in metrics(shared, experiment, 2)] == [0] * 10


def test_another_seed_waits_and_abort_or_discard_give_it_up(shared: Path) -> None:
    first, second = (plan(shared, *CURVE, die=3, pause=pause) for pause in (0.011, 0.012))
    for experiment in (first, second):
        assert evo("run", experiment, cwd=shared).code == 6
    other = evo("run", first, "--seed", "99", cwd=shared)
    assert other.code == 4
    assert "interrupted at step 2" in other.error["message"]
    stop = evo("stop", first, cwd=shared)
    assert stop.code == 4
    assert evo("abort", first, cwd=shared).code == 0
    assert query(shared, ATTEMPT, first) == [(1, "ended", "killed", "aborted", 0)]
    assert evo("discard", second, "--reason", "no longer wanted", cwd=shared).code == 0
    assert query(shared, ATTEMPT, second) == [(1, "ended", "killed", "aborted", 0)]
    assert evo("show", second, cwd=shared).data["state"] == "discarded"
    assert evo("fsck", cwd=shared).data["findings"] == []


def test_two_at_once_resume_it_once(shared: Path) -> None:
    """§12: two simultaneous runs of one node both starting."""
    experiment = plan(shared, *CURVE, die=3, pause=0.1)
    assert evo("run", experiment, cwd=shared).code == 6
    drivers = [started(shared, experiment) for _ in range(2)]
    assert sorted(driver.wait(60) for driver in drivers) in ([0, 9], [0, 0])
    assert [row["step"] for row in metrics(shared, experiment)] == list(range(1, 11))
    assert query(shared, ATTEMPT, experiment) == [(1, "ended", "ok", "", 1)]
