"""The supervisor holds on to the whole tree: whatever ends, ends everything, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import GOOD, TOKEN, eventually, make_job, processes, unique_sleep

from evo.domain.job import AttemptFolder, Job, Result
from evo.runner import process, recover
from evo.runner.executors.base import Handle
from evo.runner.executors.local import LocalExecutor
from evo.runner.stage import Family
from evo.runner.watch import Progress, wait
from evo.validation import restore

LOCAL = LocalExecutor()


def submit(job: Job) -> Handle:
    return LOCAL.submit(job, token=TOKEN)


def ended(handle: Handle) -> Result:
    assert wait(LOCAL, [handle], timeout_s=20)
    return restore(Result, json.loads(AttemptFolder(handle.folder).result.read_text()))


def test_a_timeout_reaches_grandchildren_that_fled(tmp_path: Path) -> None:
    """§12: a timeout or kill that leaves the child training. They left the session, the group, and their variables."""
    sleep = unique_sleep()
    deaf = f"env -i setsid sh -c 'trap \"\" TERM; /bin/{sleep}; :'"
    flee = f"setsid sh -c '{sleep} & env -i /bin/{sleep}' & {deaf} & {sleep}"
    result = ended(submit(make_job(tmp_path, flee, timeout_s=0.3)))
    assert (result.outcome, result.failure) == ("timed_out", "timeout")
    assert not processes(sleep)


@pytest.mark.parametrize("trick", ["trap '' TERM INT HUP; while :; do sleep 0.1; done", "kill -STOP $$; sleep 60"])
def test_neither_a_deaf_nor_a_stopped_training_outlasts_its_limit(tmp_path: Path, trick: str) -> None:
    start = time.monotonic()
    assert ended(submit(make_job(tmp_path, trick, timeout_s=0.3, grace_s=0.3))).outcome == "timed_out"
    assert time.monotonic() - start < 20


def test_training_has_its_grace_to_end_by_itself(tmp_path: Path) -> None:
    polite = "trap 'sleep 0.2; echo saved > output/w; exit 0' TERM; touch ready; while :; do sleep 0.02; done"
    assert ended(submit(make_job(tmp_path, polite, timeout_s=0.5, grace_s=5))).outcome == "timed_out"
    assert (tmp_path / "output" / "w").read_text() == "saved\n"


@pytest.mark.parametrize("stage", ["train", "evaluate"])
@pytest.mark.parametrize("way", ["cancel file", "signal"])
def test_an_abort_ends_the_tree_and_says_so(tmp_path: Path, stage: str, way: str) -> None:
    sleep = unique_sleep()
    stages = (f"setsid {sleep} & {sleep}", "true") if stage == "train" else (GOOD, f"setsid {sleep} & {sleep}")
    handle = submit(make_job(tmp_path, *stages))
    assert handle.process is not None
    assert eventually(lambda: len(processes(sleep)) >= 2)
    if way == "signal":
        os.kill(handle.process.pid, signal.SIGTERM)
    else:
        LOCAL.cancel(handle)
    result = ended(handle)
    assert (result.outcome, result.failure, result.stage) == ("killed", "aborted", stage)
    assert not processes(sleep)


def test_a_killed_supervisor_takes_training_along_and_a_sweep_takes_the_rest(tmp_path: Path) -> None:
    """PDEATHSIG ends the child at once; what the child had started is found by its mark."""
    child, grandchild = unique_sleep(), unique_sleep()
    handle = submit(make_job(tmp_path, f"setsid {grandchild} & exec {child}"))
    assert handle.process is not None
    assert eventually(lambda: processes(child) and processes(grandchild))
    os.kill(handle.process.pid, signal.SIGKILL)
    assert wait(LOCAL, [handle], timeout_s=5)
    assert eventually(lambda: not processes(child))
    assert processes(grandchild)
    assert recover.inspect(tmp_path, token=TOKEN, controller=process.current()).kind == "lost"
    assert process.survivors(tmp_path) == set(processes(grandchild))
    assert process.sweep(tmp_path, token=TOKEN) == set()
    assert not processes(grandchild)


CONTROLLER = """
import sys, time
from pathlib import Path
from jobs import GOOD, TOKEN, make_job
from evo.runner.executors.local import LocalExecutor
root, train, evaluate, is_detached = sys.argv[1:]
job = make_job(Path(root), train or GOOD, evaluate, is_detached=bool(is_detached))
LocalExecutor().submit(job, token=TOKEN)
print("submitted", flush=True)
time.sleep(60)
"""


def killed_controller(root: Path, train: str, evaluate: str, *, until: str, is_detached: bool = False) -> None:
    """Submit from a process of its own, and kill that when a process with `until` runs."""
    argv = [sys.executable, "-c", CONTROLLER, str(root), train, evaluate, "yes" if is_detached else ""]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"submitted\n"
        found = eventually(lambda: set(processes(until)) - {controller.pid})
        controller.kill()
    assert found


def test_the_loss_of_the_controller_ends_the_tree_without_a_result(tmp_path: Path) -> None:
    sleep = unique_sleep()
    killed_controller(tmp_path, f"setsid {sleep} & {sleep}", "true", until=sleep)
    assert eventually(lambda: not processes(sleep))
    handle = LOCAL.find(tmp_path)
    assert handle is not None
    assert wait(LOCAL, [handle], timeout_s=5)
    finding = recover.inspect(tmp_path, token=TOKEN, controller=None)
    assert (finding.kind, AttemptFolder(tmp_path).result.exists()) == ("lost", False)


def test_an_evaluation_cut_off_with_its_controller_is_owed_and_taken_up(tmp_path: Path) -> None:
    """§5: between training and evaluation an attempt is `trained`, and no further attempt is spent."""
    sleep = unique_sleep()
    killed_controller(tmp_path, "", sleep, until=sleep)
    assert eventually(lambda: not processes(sleep))
    assert eventually(lambda: recover.inspect(tmp_path, token=TOKEN, controller=None).kind == "trained")
    resumed = ended(submit(make_job(tmp_path, None, "test -s output/w")))
    assert resumed.outcome == "ok"
    assert resumed.train_seconds is not None


def test_a_detached_run_outlives_its_controller(tmp_path: Path) -> None:
    go = tmp_path / "go"
    sleep = unique_sleep()
    train = f"{sleep} & while ! test -e {go}; do sleep 0.02; done; {GOOD}"
    killed_controller(tmp_path, train, "true", until=sleep, is_detached=True)
    time.sleep(0.8)
    assert recover.inspect(tmp_path, token=TOKEN, controller=None).kind == "running"
    go.touch()
    assert eventually(lambda: recover.inspect(tmp_path, token=TOKEN, controller=None).kind == "finished")
    assert not processes(sleep)


def test_a_detached_submission_has_shown_itself_when_it_returns(tmp_path: Path) -> None:
    """Else whoever looks before its supervisor is up would take it for lost, and run the node a second time."""
    for name in "abc":
        handle = submit(make_job(tmp_path / name, is_detached=True))
        assert LOCAL.find(handle.folder) == handle
        ended(handle)


def test_a_caller_that_ignores_its_children_does_not_blind_the_supervisor(tmp_path: Path) -> None:
    """An ignored SIGCHLD is inherited, and the kernel then throws exit codes away."""
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        handle = submit(make_job(tmp_path, "exit 4"))
        assert ended(handle).exit_code == 4
    finally:
        signal.signal(signal.SIGCHLD, usual)


def test_the_token_is_nowhere_that_training_can_read(tmp_path: Path) -> None:
    """§10: the fencing token. Looked for in files, environments and command lines, as the user who trains."""
    look = (
        "import os, glob, sys\n"
        f"token = {TOKEN[:4]!r}.encode() + {TOKEN[4:]!r}.encode()\n"
        "places = glob.glob('**', recursive=True) + glob.glob('/proc/%d/*' % os.getppid())\n"
        "places += ['/proc/self/environ', '/proc/%d/fd/0' % os.getppid()]\n"
        "names = ('environ', 'cmdline', '0', 'comm', 'status', 'stat')\n"
        "places = [p for p in places if os.path.isfile(p) and (p[0] != '/' or os.path.basename(p) in names)]\n"
        "assert 'job.json' in places and 'supervisor.json' in places and any('cmdline' in p for p in places), places\n"
        "found = [p for p in places if token in open(p, 'rb').read()]\n"
        "sys.exit(1 if found else 0)\n"
    )
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "look.py").write_text(look)
    assert ended(submit(make_job(tmp_path, "$PYTHON output/look.py"))).outcome == "ok"
    assert TOKEN in AttemptFolder(tmp_path).trained.read_text()


def test_heartbeats_stages_and_metrics_are_seen_while_it_runs(tmp_path: Path) -> None:
    lines = "echo '{\"step\": 1}' > metrics.jsonl; sleep 1.3; echo '{\"step\": 2}' >> metrics.jsonl"
    handle = submit(make_job(tmp_path, f"{lines}; {GOOD}", "sleep 0.3"))
    seen: list[Progress] = []
    beats = set()

    def on_tick(progress: object) -> None:
        seen.extend(progress)  # type: ignore[arg-type]
        if AttemptFolder(tmp_path).heartbeat.exists():
            beats.add(AttemptFolder(tmp_path).heartbeat.stat().st_mtime_ns)

    assert wait(LOCAL, [handle], timeout_s=10, on_tick=on_tick)
    stages = list(dict.fromkeys(each.state.stage for each in seen))
    assert [name for name in stages if name not in ("starting", "queued")] == ["training", "evaluating", "ended"]
    assert [row["step"] for each in seen for row in each.rows] == [1, 2]
    assert seen[-1].latest == {"step": 2}
    assert len(beats) >= 2
    assert max(each.state.heartbeat_age_s or 0.0 for each in seen) < 15.0


def test_waiting_gives_up_in_time_and_leaves_the_run_alone(tmp_path: Path) -> None:
    handle = submit(make_job(tmp_path, f"sleep 0.6; {GOOD}"))
    start = time.monotonic()
    assert not wait(LOCAL, [handle], timeout_s=0.2)
    assert time.monotonic() - start < 3
    assert ended(handle).outcome == "ok"


def test_two_hundred_megabytes_of_log_cost_no_memory(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from jobs import TOKEN, make_job\n"
        "from evo.runner.executors.local import LocalExecutor; from evo.runner.watch import wait\n"
        "line = \"head -c 200000000 /dev/zero | tr '\\\\0' x; echo; echo the end; exit 1\"\n"
        "handle = LocalExecutor().submit(make_job(Path(sys.argv[1]), line), token=TOKEN)\n"
        "assert wait(LocalExecutor(), [handle], timeout_s=30)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"  # its own is inherited from this process
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    argv = [sys.executable, "-c", script, str(tmp_path)]
    kilobytes = int(subprocess.run(argv, env=env, capture_output=True, check=True, text=True).stdout)
    result = json.loads(AttemptFolder(tmp_path).result.read_text())
    assert AttemptFolder(tmp_path).train_log.stat().st_size > 200_000_000
    assert result["message"].endswith("x\nthe end")
    assert len(result["message"]) < 2100
    assert kilobytes < 100_000


def test_a_family_that_was_never_started_has_no_members_and_the_kernels_are_nobodys(tmp_path: Path) -> None:
    """A job aborted before its first stage: session 0 holds the kernel's threads, and a container's shell."""
    assert Family(str(tmp_path), is_exclusive=False).members() == set()
    for pid in (0, 1):
        with pytest.raises(ValueError, match="not evo's to end"):
            process.kill_tree(pid)


def test_kill_tree_reaches_session_and_descendants() -> None:
    sleep = unique_sleep()
    line = f"setsid sh -c '{sleep}; :' & {sleep} & {sleep}; :"
    with subprocess.Popen(["sh", "-c", line], start_new_session=True) as shell:
        assert eventually(lambda: len(processes(sleep)) == 5)
        assert process.kill_tree(shell.pid, grace_s=0.2) == set()
    assert not processes(sleep)
