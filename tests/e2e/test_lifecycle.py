"""The life of an attempt, through the command line: detached, awaited, aborted, lost, taken up again, repeated."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from jobs import eventually
from proclist import processes_of
from workspaces import SCORE, evo, make_command_workspace, new, skilled

SLOW = """argv=sh -c 'echo x >> "{count}"; echo {skill} > $EVO_CHECKPOINT_DIR/skill.txt; sleep {seconds}'"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored baseline; its scorer waits while the file `wait` lies beside the workspace."""
    folder = tmp_path_factory.mktemp("life")
    waiting = f"import pathlib, time\nwhile pathlib.Path({str(folder / 'wait')!r}).exists():\n    time.sleep(0.02)\n"
    root = make_command_workspace(folder / "ws", "run.grace-s=0.2", "gate.mode=none", n=150, score=waiting + SCORE)
    assert evo("run", "exp_0000", cwd=root).code == 0
    return root


def slow(workspace: Path, words: str, *, seconds: float, skill: float = 0.5) -> str:
    """An experiment whose training counts its starts and takes so long."""
    count = workspace.parent / "shared" / f"starts {words}"
    return new(workspace, SLOW.format(count=count, skill=skill, seconds=seconds), words, "--parent", "exp_0000")


def starts(workspace: Path, words: str) -> int:
    path = workspace.parent / "shared" / f"starts {words}"
    return path.read_text().count("x") if path.exists() else 0


def supervisor(workspace: Path, experiment: str, n: int = 1) -> int:
    path = workspace / ".evo" / "attempts" / experiment / str(n) / "supervisor.json"
    return int(json.loads(path.read_text())["process"]["pid"])


def test_detached_busy_awaited_stored(workspace: Path) -> None:
    """§5: exit 9 while it runs and when `wait` expires; `wait` takes it in, once."""
    go = workspace.parent / "shared" / "go"
    line = f"""argv=sh -c 'while [ ! -e {go} ]; do sleep 0.02; done; echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt'"""
    experiment = new(workspace, line, "detached", "--parent", "exp_0000")
    away = evo("run", experiment, "--detach", cwd=workspace)
    assert (away.code, away.data["score"], away.data["running"]) == (0, None, True)
    assert [one["id"] for one in evo("status", cwd=workspace).data["running"]] == [experiment]
    assert evo("run", experiment, cwd=workspace).code == 9
    assert evo("discard", experiment, "--reason", "x", cwd=workspace).code == 9
    assert evo("wait", experiment, "--timeout", "100ms", cwd=workspace).code == 9
    go.touch()
    awaited = evo("wait", experiment, cwd=workspace)
    assert (awaited.code, awaited.data["stored"]) == (0, [experiment])
    assert evo("show", experiment, cwd=workspace).data["state"] == "open"
    again = evo("run", experiment, cwd=workspace)
    assert (again.code, len(again.data["attempts"])) == (0, 1)
    assert "nothing was started" in again.data["message"]


def test_sync_takes_in_what_has_finished(workspace: Path) -> None:
    """§3: detaching, a lost controller and recovery are one piece of code; a failure keeps its exit code in `wait`."""
    good = slow(workspace, "synced", seconds=0)
    bad = new(workspace, "argv=sh -c 'echo broken >&2; exit 3'", "broken", "--parent", "exp_0000")
    for experiment in (good, bad):
        assert evo("run", experiment, "--detach", cwd=workspace).code == 0
    assert eventually(lambda: not processes_of(workspace, good) + processes_of(workspace, bad))
    swept = evo("sync", cwd=workspace)
    assert swept.code == 0
    assert set(swept.data["stored"]) == {good, bad}
    assert "broken" in swept.data["failures"][bad]
    assert evo("wait", bad, cwd=workspace).code == 6
    assert evo("sync", cwd=workspace).data["stored"] == []


def test_abort_ends_it_and_keeps_nothing(workspace: Path) -> None:
    """An aborted attempt counts, has no score, and leaves no process; what is not running cannot be aborted."""
    experiment = slow(workspace, "aborted", seconds=60)
    assert evo("abort", experiment, cwd=workspace).code == 4
    assert evo("run", experiment, "--detach", cwd=workspace).code == 0
    assert evo("abort", experiment, cwd=workspace).code == 0
    assert processes_of(workspace, experiment) == []
    shown = evo("show", experiment, cwd=workspace).data
    assert (shown["state"], shown["score"], shown["attempts"][0]["outcome"]) == ("failed", None, "killed")


def test_the_loss_of_everything_costs_no_attempt(workspace: Path) -> None:
    """§5: `lost` is recorded and does not count: with a cap of one, it may still be run."""
    experiment = slow(workspace, "lost", seconds=30)
    assert evo("run", experiment, "--detach", cwd=workspace).code == 0
    assert eventually(lambda: starts(workspace, "lost"))
    attempt = workspace / ".evo" / "attempts" / experiment / "1"
    record = json.loads((attempt / "supervisor.json").read_text())
    record["process"]["boot_id"] = "an earlier boot"
    for pid in (supervisor(workspace, experiment), *processes_of(workspace, experiment)):
        _kill(pid)
    (attempt / "supervisor.json").write_text(json.dumps(record))
    _age(workspace, experiment)
    assert [one["id"] for one in evo("status", cwd=workspace).data["stale"]] == [experiment]
    assert evo("recover", cwd=workspace).data["lost"] == [experiment]
    attempts = evo("show", experiment, cwd=workspace).data["attempts"]
    assert [one["outcome"] for one in attempts] == ["lost"]
    again = evo("run", experiment, "--timeout", "100ms", cwd=workspace, EVO_MAX_ATTEMPTS="1")
    assert (again.code, len(again.document["data"]["attempts"])) == (7, 2)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _age(workspace: Path, experiment: str) -> None:
    """As if the machine had been started anew: the claim is of an earlier boot."""
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db", isolation_level=None)) as db:
        (text,) = db.execute("SELECT controller FROM attempt WHERE experiment = ?", (experiment,)).fetchone()
        earlier = json.dumps(json.loads(text) | {"boot_id": "an earlier boot"})
        db.execute("UPDATE attempt SET controller = ? WHERE experiment = ?", (earlier, experiment))


def test_an_evaluation_cut_off_with_its_supervisor_is_taken_up(workspace: Path) -> None:
    """§12: an evaluation that broke off costs no training. kill -9 of the supervisor while it evaluates."""
    experiment = slow(workspace, "cut off", seconds=0)
    wait = workspace.parent / "wait"
    wait.touch()
    assert evo("run", experiment, "--detach", cwd=workspace).code == 0
    assert eventually(lambda: (workspace / ".evo/attempts" / experiment / "1/trained.json").exists())
    assert eventually(lambda: _stage(workspace) == "evaluating")
    _kill(supervisor(workspace, experiment))
    assert evo("recover", cwd=workspace).data["owed"] == [experiment]
    assert processes_of(workspace, experiment) == []
    wait.unlink()
    (workspace / ".evo/worktrees" / experiment / "recipe/recipe.yaml").write_text("broken: [\n")  # not needed any more
    ran = evo("run", experiment, cwd=workspace)
    assert ran.code == 0, ran.out
    assert [one["outcome"] for one in ran.data["attempts"]] == ["ok"]
    assert starts(workspace, "cut off") == 1


def _stage(workspace: Path) -> str:
    running = evo("status", cwd=workspace).data["running"]
    return running[0]["stage"] if running else ""


def test_an_evaluation_has_its_own_time_limit(workspace: Path) -> None:
    """The training stands; the evaluation is owed."""
    experiment = slow(workspace, "endless", seconds=0)
    wait = workspace.parent / "wait"
    wait.touch()
    ran = evo("run", experiment, cwd=workspace, EVO_EVAL_TIMEOUT="300ms")
    wait.unlink()
    assert ran.code == 6
    assert "its limit" in ran.document["error"]["message"]
    assert evo("run", experiment, cwd=workspace).data["score"] is not None
    assert starts(workspace, "endless") == 1


def test_an_edit_is_a_further_attempt_until_the_node_is_frozen(workspace: Path) -> None:
    """§5: the latest content's results are the score, the earlier ones stay on record; children freeze a node."""
    made = evo("new", "--recipe", "command", "--set", "argv=sh train.sh", "-m", "edited", "--parent", "exp_0000",
               cwd=workspace).data  # fmt: skip
    page, node = Path(made["worktree"]) / "train.sh", made["id"]
    means = []
    for skill in (0.3, 0.5):
        page.write_text(f"echo {skill} > $EVO_CHECKPOINT_DIR/skill.txt\n")
        means.append(evo("run", node, cwd=workspace).data["score"]["mean"])
    shown = evo("show", node, cwd=workspace).data
    assert means[0] < means[1] == shown["score"]["mean"]
    assert [one["outcome"] for one in shown["attempts"]] == ["ok", "ok"]
    child = new(workspace, skilled(0.6), "freezes it", "--parent", node)
    page.write_text("echo 0.9 > $EVO_CHECKPOINT_DIR/skill.txt\n")
    for words in ((), ("--seed", "7"), ("--rerun",)):
        refused = evo("run", node, *words, cwd=workspace)
        assert (refused.code, "frozen" in refused.error["message"]) == (4, True), words
    assert evo("show", node, cwd=workspace).data["score"] == shown["score"]
    assert (
        evo("new", "--recipe", "command", "--set", "argv=true", "-m", "x", "--parent", child, cwd=workspace).code == 4
    )


def test_equal_content_is_refused_and_a_rerun_is_never_certified(workspace: Path) -> None:
    """§5: content and seed equal to a finished experiment's are exit 4, naming it, unless `--rerun`."""
    first = new(workspace, skilled(0.41), "the first", "--parent", "exp_0000")
    twin = new(workspace, skilled(0.41), "the same under another name", "--parent", "exp_0000")
    assert evo("run", first, cwd=workspace).code == 0
    refused = evo("run", twin, cwd=workspace)
    assert (refused.code, first in refused.error["message"]) == (4, True)
    assert evo("show", twin, cwd=workspace).data["attempts"] == []
    for node in (twin, first):
        assert evo("run", node, "--rerun", cwd=workspace).code == 0
        barred = evo("certify", node, cwd=workspace)
        assert (barred.code, "rerun" in barred.error["message"]) == (4, True)


def test_new_gives_the_same_node_for_the_same_words(workspace: Path) -> None:
    """§5: idempotent; `--key` is looked up first; a grid is one node a point."""
    words = ["new", "--recipe", "command", "--set", skilled(0.1), "-m", "once", "--parent", "exp_0000"]
    first, again = (evo(*words, cwd=workspace).data for _ in range(2))
    assert (first["created"], again["created"], again["id"]) == (True, False, first["id"])
    assert evo(*words, "--seed", "3", cwd=workspace).data["created"] is True
    keyed = evo(*words, "--key", "k", cwd=workspace).data
    assert (keyed["created"], keyed["id"]) == (False, first["id"])
    other = evo(*words, "--seed", "4", "--key", "k", cwd=workspace)
    assert (other.code, first["id"] in other.error["message"]) == (4, True)
    grid = ["new", "--recipe", "command", "--grid", "argv=false,true", "-m", "grid", "--parent", "exp_0000"]
    made, same = (evo(*grid, cwd=workspace).data["experiments"] for _ in range(2))
    assert [one["id"] for one in made] == [one["id"] for one in same]
    assert [one["created"] for one in made + same] == [True, True, False, False]
    picked = evo("new", "--recipe", "command", "--set", "argv=true", "-m", "wherever", cwd=workspace).data
    assert picked["picked_by"] == "tree-ucb"
