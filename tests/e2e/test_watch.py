"""A run seen while it runs: `evo watch`, `evo show`, the moving line; and how it trained, once it is over."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspaces import SCORE, clean_environment, evo, new

TRAIN = """\
import json, os, pathlib, time
job, out = (pathlib.Path(os.environ[name]) for name in ("EVO_JOB", "EVO_CHECKPOINT_DIR"))
(job / "mid").mkdir(exist_ok=True)
with open(job / "metrics.jsonl", "a") as file:
    for step in range(1, 5):
        at = f"2026-01-01T00:00:{step:02d}.000Z"
        row = {"at": at, "step": step, "loss": 2 / step, "reward": 0.25, "reward_std": 0.1, "kl": 0.01}
        file.write(json.dumps({**row, "tokens_per_second": 850.0, "learning_rate": 1e-4}) + chr(10))
for step in (2, 4):
    mid = {"step": step, "mean": step / 10, "se": 0.05, "n": 32, "seconds": 1, "delta": 0.1, "delta_se": 0.04}
    (job / "mid" / f"{step:06d}.json").write_text(json.dumps(mid))
while not pathlib.Path(os.environ["EVO_JOB"], "go").exists():
    time.sleep(0.02)
(out / "skill.txt").write_text("0.9")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("watch")
    rows = [{"id": f"q{i}", "prompt": f"what is {i}", "target": str(i), "slice": "ab"[i % 2]} for i in range(120)]
    (home / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "score.py").write_text(SCORE)
    words = ["--eval-command", "python score.py", "--eval-files", home / "score.py", "--set", "gate.mode=none"]
    words += ["--set", f"isolation.read={home / 'train.py'}"]
    (home / "train.py").write_text(TRAIN)
    answer = evo("init", home / "ws", "--template", "command", "--gold", home / "gold.jsonl", *words, cwd=home)
    assert answer.code == 0, answer.out
    assert evo("run", "exp_0000", cwd=home / "ws").code == 0
    return home / "ws"


class Running:
    """A run that waits to be let go, started by another process."""

    def __init__(self, workspace: Path, hypothesis: str) -> None:
        self.workspace = workspace
        argv = f"argv={sys.executable} {workspace.parent / 'train.py'}"
        self.id = new(workspace, argv, hypothesis, "--parent", "exp_0000")
        self.process = started(workspace, "run", self.id, "--rerun", "--json", stdout=subprocess.PIPE)
        self.folder = workspace / ".evo" / "attempts" / self.id / "1"
        deadline = time.monotonic() + 20
        while not (self.folder / "mid" / "000004.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def let_go(self) -> dict[str, object]:
        (self.folder / "go").touch()
        out, _ = self.process.communicate(timeout=60)
        found: dict[str, object] = json.loads(out)["data"]
        return found


def started(workspace: Path, *words: str, **streams: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "evo", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(argv, cwd=workspace, env=clean_environment(), text=True, **{**quiet, **streams})


@pytest.fixture
def running(workspace: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    run = Running(workspace, request.node.name)
    yield run
    if run.process.poll() is None:
        run.let_go()


def test_this_moment_holds_what_each_run_says_of_itself(running: Running) -> None:
    """A24, A10: metrics and mid-evaluations of a run of another process, in `watch` and in `show`."""
    found = evo("watch", cwd=running.workspace).data
    (seen,) = found["running"]
    assert (seen["id"], seen["attempt"], seen["stage"]) == (running.id, 1, "training")
    vitals = seen["vitals"]
    assert (vitals["step"], vitals["loss"], vitals["reward"], vitals["reward_std"]) == (4, 0.5, 0.25, 0.1)
    assert [(mid["step"], mid["mean"]) for mid in vitals["mids"]] == [(2, 0.2), (4, 0.4)]
    assert 0 <= vitals["heartbeat_age_s"] < 20
    shown = evo("show", running.id, cwd=running.workspace).data
    assert shown["running"]
    assert shown["vitals"]["step"] == 4
    lines = evo("show", running.id, cwd=running.workspace, json_=False).out
    assert "reward 0.250 ±0.100  loss 0.500  lr 1e-4  kl 0.010  850 tok/s" in lines
    assert "▁█ 0.400 (+0.100 ±0.078)" in lines
    once = evo("watch", "--once", cwd=running.workspace, json_=False).out
    assert f"{running.id} training" in once
    running.let_go()
    assert evo("watch", cwd=running.workspace).data["running"] == []
    assert evo("show", running.id, cwd=running.workspace).data["vitals"] is None


def test_in_a_pipe_it_says_a_line_for_each_run_and_ends_with_the_last(running: Running) -> None:
    watching = started(running.workspace, "watch", stdout=subprocess.PIPE)
    lines = started(running.workspace, "watch", "--json-lines", stdout=subprocess.PIPE)
    assert watching.stdout is not None
    assert lines.stdout is not None
    assert watching.stdout.readline().startswith(f"{running.id} training")
    assert json.loads(lines.stdout.readline())["stage"] == "training"
    running.let_go()
    rest, _ = watching.communicate(timeout=30)
    assert f"{running.id} ended: open  0." in rest
    assert watching.returncode == 0
    out, _ = lines.communicate(timeout=30)
    events = [json.loads(line) for line in out.splitlines()]
    assert (events[-1]["id"], events[-1]["stage"], events[-1]["state"]) == (running.id, "ended", "open")
    idle = evo("watch", cwd=running.workspace, json_=False)
    assert (idle.code, idle.out, idle.err) == (0, "", "nothing is running\n")


def drained(terminal: int, *, until: str) -> str:
    """What is drawn there until it holds these words, or its other end is closed, or 20 s are over."""
    seen, deadline = b"", time.monotonic() + 20
    while until.encode() not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
    return seen.decode("utf-8", "replace")


def test_ctrl_c_ends_the_watching_and_leaves_the_run_alone(running: Running) -> None:
    master, slave = pty.openpty()
    env = clean_environment(TERM="xterm-256color", COLUMNS="120", LINES="30")
    argv = [sys.executable, "-m", "evo", "watch"]
    # a shell's background job ignores the signal, and hands that down
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    watching = subprocess.Popen(argv, cwd=running.workspace, env=env, stdout=slave, stderr=slave, stdin=slave, **heeds)
    os.close(slave)
    seen = drained(master, until="mid ▁█ 0.400")
    assert f"{running.id} training" in seen
    assert "mid ▁█ 0.400" in seen
    watching.send_signal(signal.SIGINT)
    seen += drained(master, until="nothing: to the end")
    os.close(master)
    assert watching.wait(20) == 0
    assert seen.rindex("\x1b[?1049l") > seen.rindex("best on dev"), "the terminal is given back"
    assert running.process.poll() is None
    assert running.let_go()["state"] == "open"


def test_without_a_workspace_it_says_so(tmp_path: Path) -> None:
    assert evo("watch", cwd=tmp_path).code == 3


def test_the_end_of_its_metrics_is_kept_and_slices_stand_against_the_parent(running: Running) -> None:
    """A28: recorded and shown: delta, per-slice deltas with intervals, what training ended with."""
    ran = running.let_go()
    kept = ran["readings"]
    assert kept["end_of_training"] == {
        "steps": 4.0, "loss": pytest.approx(2 / 4 * (1 + 4 / 3 + 2 + 4) / 4), "reward": 0.25, "reward_std": 0.1,
        "kl": 0.01, "tokens_per_second": 850.0,
    }  # fmt: skip
    assert [part["slice"] for part in kept["per_slice_delta"]] == ["a", "b"]
    delta = ran["delta"]["mean"]
    parts = kept["per_slice_delta"]
    mean = sum(part["n"] * part["delta"]["mean"] for part in parts) / sum(part["n"] for part in parts)
    assert mean == pytest.approx(delta)
    assert all(part["delta"]["low"] < part["delta"]["mean"] < part["delta"]["high"] for part in parts)
    assert kept["train_score"] is None
    compared = evo("compare", "exp_0000", running.id, cwd=running.workspace).data
    assert compared["readings"][running.id]["per_slice_delta"] == parts
    (running.folder / "metrics.jsonl").unlink()
    assert evo("show", running.id, cwd=running.workspace).data["readings"]["end_of_training"] == kept["end_of_training"]


def test_a_reward_by_the_workspace_s_own_measure_stands_beside_the_score(workspace: Path) -> None:
    """A28: reward saturation, generalisation gap, and what each calls for; recorded with the attempt."""
    recipe = workspace / "recipes" / "rewarded"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(
        "name: rewarded\ntechnique: grpo\nrewards: [{name: short, max_length: 20}, {name: right, scorer: workspace}]\n"
    )
    (recipe / "train.py").write_text(
        "from evo import recipe\n"
        "run = recipe.current()\n"
        "run.log(step=1, reward=1.5, reward_std=0.1, **{'rewards/right': 0.99, 'rewards/short': 0.6})\n"
        "(run.output_dir / 'skill.txt').write_text('0.6')\n"
        "run.finish(run.output_dir)\n"
    )
    node = evo("new", "--recipe", "rewarded", "-m", "x", "--parent", "exp_0000", cwd=workspace).data["id"]
    ran = evo("run", node, cwd=workspace, EVO_RUN_SMOKE="never").data
    found = ran["readings"]
    assert (found["train_score"], found["reward_saturation"]) == (0.99, 0.99)
    assert found["generalization_gap"] == pytest.approx(0.99 - ran["score"]["mean"])
    told = [each["reading"] for each in found["advice"]]
    assert "saturated" in told[0]
    assert "does not generalise" in told[1]
    lines = evo("show", node, cwd=workspace, json_=False).out
    assert "0.990 at the end of training, +0." in lines
    assert "harder prompts" in lines
    (workspace / ".evo" / "attempts" / node / "1" / "metrics.jsonl").unlink()
    assert evo("show", node, cwd=workspace).data["readings"] == found
