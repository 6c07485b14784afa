"""Turns: slots bind, and come back however their holder ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from jobs import GOOD, TOKEN, eventually, make_job, processes, unique_sleep

from evo.runner import leases, process
from evo.runner.executors.inline import InlineExecutor
from evo.runner.executors.local import LocalExecutor
from evo.runner.watch import wait

LOCAL = LocalExecutor()


def test_two_jobs_for_one_slot_run_one_after_the_other(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    line = f"echo in >> {diary}; sleep 0.2; {GOOD}"
    jobs = [
        make_job(tmp_path / name, line, f"echo out >> {diary}", slots=1, slots_dir=str(tmp_path / "slots"))
        for name in ("a", "b", "c")
    ]
    handles = [LOCAL.submit(job, token=TOKEN) for job in jobs]
    assert eventually(lambda: [state.stage for state in LOCAL.poll(handles)].count("queued") == 2)
    assert wait(LOCAL, handles, timeout_s=10)
    assert diary.read_text().split() == ["in", "out"] * 3


def test_a_turn_ends_with_its_attempt_where_the_process_lives_on(tmp_path: Path) -> None:
    """inline: the second attempt of one process (the baseline was the first) must not wait for the first one's slot."""
    inline = InlineExecutor()
    for name in ("a", "b"):
        inline.submit(make_job(tmp_path / name, slots=1, slots_dir=str(tmp_path / "slots")), token=TOKEN)
        assert '"outcome": "ok"' in (tmp_path / name / "result.json").read_text()


def test_a_killed_holder_gives_its_slot_back_and_a_queued_job_can_be_aborted(tmp_path: Path) -> None:
    options = {"slots": 1, "slots_dir": str(tmp_path / "slots")}
    sleep = unique_sleep()
    first = LOCAL.submit(make_job(tmp_path / "a", sleep, **options), token=TOKEN)
    assert eventually(lambda: processes(sleep))
    second, third = (LOCAL.submit(make_job(tmp_path / name, **options), token=TOKEN) for name in "bc")
    LOCAL.cancel(second)
    assert wait(LOCAL, [second], timeout_s=5)
    assert '"failure": "aborted"' in (tmp_path / "b" / "result.json").read_text()
    assert not (tmp_path / "b" / "train.log").exists()
    assert eventually(lambda: LOCAL.poll([third])[0].stage == "queued")
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGKILL)
    assert wait(LOCAL, [first, third], timeout_s=5)
    process.sweep(tmp_path / "a", token=TOKEN)
    assert '"outcome": "ok"' in (tmp_path / "c" / "result.json").read_text()


def test_a_lease_is_whole_or_nothing(tmp_path: Path) -> None:
    """Two runs that each want two of three GPUs never sit on one and wait for the other."""
    first = leases.take(str(tmp_path), ["0", "1", "2"], count=2)
    assert first is not None
    assert [name for name, _ in first] == ["0", "1"]
    assert leases.take(str(tmp_path), ["0", "1", "2"], count=2) is None
    rest = leases.take(str(tmp_path), ["0", "1", "2"], count=1)
    assert rest is not None
    assert [name for name, _ in rest] == ["2"]
    leases.give_back([*first, *rest])
    again = leases.take(str(tmp_path), ["0", "1", "2"], count=3)
    assert again is not None
    leases.give_back(again)


@pytest.mark.parametrize(
    ("allowed", "visible"),
    [("2,5", ["2", "5"]), (" 1 , GPU-8e2a ", ["1", "GPU-8e2a"]), ("", []), ("-1", []), ("0,-1,3", ["0"])],
)
def test_an_allow_list_of_gpus_is_respected(allowed: str, visible: list[str]) -> None:
    """As CUDA reads it: entries behind an invalid one do not count."""
    assert leases.visible_gpus({"CUDA_VISIBLE_DEVICES": allowed}) == visible


def test_a_run_sees_the_gpus_it_leased_and_one_that_can_never_have_them_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"GPU-{os.getpid()}a,GPU-{os.getpid()}b")
    good = make_job(tmp_path / "a", "echo $CUDA_VISIBLE_DEVICES > output/w", gpus=1)
    greedy = make_job(tmp_path / "b", gpus=3)
    handles = [LOCAL.submit(job, token=TOKEN) for job in (good, greedy)]
    assert wait(LOCAL, handles, timeout_s=5)
    assert (tmp_path / "a" / "output" / "w").read_text() == f"GPU-{os.getpid()}a\n"
    result = (tmp_path / "b" / "result.json").read_text()
    for lock in Path(leases.gpu_folder()).glob(f"GPU-{os.getpid()}?.lock"):
        lock.unlink()
    assert '"failure": "no_gpu"' in result
    assert "the run wants 3 GPUs and 2 are visible" in result
