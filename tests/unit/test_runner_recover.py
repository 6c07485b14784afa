"""What became of an attempt is told by records with its token and by living processes, by nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from jobs import TOKEN, eventually, make_job

from evo.domain.job import AttemptFolder, ProcessId, Result
from evo.runner import process, records, recover
from evo.runner.executors.local import LocalExecutor
from evo.runner.watch import wait
from evo.validation import plain


def claim(folder: Path, supervisor: ProcessId, *, token: str = TOKEN, age_s: float = 0.0) -> None:
    record = {"process": plain(supervisor), "stage": "training", "since": 0.0, "claim": records.claim_of(token)}
    AttemptFolder(folder).supervisor.write_text(json.dumps(record))
    AttemptFolder(folder).heartbeat.touch()
    os.utime(AttemptFolder(folder).heartbeat, (time.time() - age_s,) * 2)


def dead() -> ProcessId:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = process.identify(child.pid)
        assert found is not None
        child.communicate(b"\n")
    return found


def look(folder: Path, controller: ProcessId | None = None) -> tuple[str, str]:
    finding = recover.inspect(folder, token=TOKEN, controller=controller)
    return finding.kind, finding.why


def alive_elsewhere_in_the_house() -> ProcessId:
    """Another living process of this machine."""
    parent = process.identify(os.getppid())
    assert parent is not None
    return parent


def test_records_with_another_token_are_not_believed(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    for path in (folder.result, folder.trained):
        path.write_text(json.dumps({"token": "guess", "outcome": "ok", "stage": "evaluate", "train_seconds": 1.0}))
    assert look(tmp_path) == ("lost", "it was never started")
    folder.trained.write_text(json.dumps({"token": TOKEN, "train_seconds": 7.5}))
    finding = recover.inspect(tmp_path, token=TOKEN, controller=None)
    assert (finding.kind, finding.train_seconds) == ("trained", 7.5)
    folder.result.write_text(json.dumps(plain(Result(TOKEN, "ok", "evaluate"))))
    claim(tmp_path, process.current())
    finding = recover.inspect(tmp_path, token=TOKEN, controller=None)
    assert (finding.kind, finding.result) == ("finished", Result(TOKEN, "ok", "evaluate"))


def test_a_living_supervisor_is_running_and_a_dead_one_is_lost(tmp_path: Path) -> None:
    claim(tmp_path, process.current())
    assert look(tmp_path)[0] == "running"
    claim(tmp_path, process.current(), age_s=90)
    finding = recover.inspect(tmp_path, token=TOKEN, controller=None)
    assert (finding.kind, finding.is_stale) == ("running", True)
    claim(tmp_path, dead())
    assert look(tmp_path) == ("lost", "its supervisor is gone")


def test_a_reused_pid_and_an_earlier_boot_are_dead(tmp_path: Path) -> None:
    here = process.current()
    claim(tmp_path, replace(here, start=here.start - 1))
    assert look(tmp_path)[0] == "lost"
    claim(tmp_path, replace(here, boot_id="an-earlier-one"))
    assert look(tmp_path) == ("lost", "the machine was restarted")


def test_another_host_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    claim(tmp_path, ProcessId("elsewhere", "boot", 1, 1))
    assert look(tmp_path)[0] == "running"
    claim(tmp_path, ProcessId("elsewhere", "boot", 1, 1), age_s=90)
    assert look(tmp_path) == ("lost", "no heartbeat from elsewhere")


def test_a_claim_is_starting_while_another_living_controller_may_still_submit(tmp_path: Path) -> None:
    assert look(tmp_path, alive_elsewhere_in_the_house())[0] == "starting"
    assert look(tmp_path, dead()) == ("lost", "its controller is gone")
    assert look(tmp_path, process.current())[0] == "lost"


def test_a_claim_of_this_process_is_starting_while_one_of_its_threads_is_about_to(tmp_path: Path) -> None:
    """A server runs several at once: to its other threads such an attempt is no lost one."""
    with recover.starting(TOKEN):
        assert look(tmp_path, process.current())[0] == "starting"
        assert recover.inspect(tmp_path, token="tok-of-another", controller=process.current()).kind == "lost"
    assert look(tmp_path, process.current()) == ("lost", "it was never started")


def test_an_evaluation_just_taken_up_is_starting_not_owed_again(tmp_path: Path) -> None:
    """The folder still shows the supervisor of the earlier claim, and trained.json has the new token already."""
    claim(tmp_path, dead(), token="the earlier one")
    AttemptFolder(tmp_path).trained.write_text(json.dumps({"token": TOKEN, "train_seconds": 7.5}))
    assert look(tmp_path, alive_elsewhere_in_the_house())[0] == "starting"
    assert look(tmp_path, dead())[0] == "trained"


def test_damaged_and_hostile_records_are_no_records(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    folder.result.write_text('{"token": "' + TOKEN)
    os.mkfifo(folder.trained)
    folder.supervisor.mkdir()
    assert look(tmp_path)[0] == "lost"
    folder.result.unlink()
    folder.result.symlink_to("/dev/zero")
    assert look(tmp_path)[0] == "lost"
    assert look(tmp_path / "nowhere")[0] == "lost"


def test_a_supervisor_that_starts_after_the_sweep_stands_down(tmp_path: Path) -> None:
    """§12: two runs of one node. The fence is for this claim only: a later one in the same folder is free to work."""
    local = LocalExecutor()
    job = make_job(tmp_path, "touch trained-anyway", None)
    process.sweep(tmp_path, token=TOKEN)
    assert wait(local, [local.submit(job, token=TOKEN)], timeout_s=5)
    assert not (tmp_path / "trained-anyway").exists()
    handle = local.submit(make_job(tmp_path, "sleep 0.3; echo good > output/w"), token="tok-of-a-later-claim")
    assert eventually(lambda: local.poll([handle])[0].stage == "training")
    assert process.sweep(tmp_path, token=TOKEN) == set()
    assert wait(local, [handle], timeout_s=5)
    assert json.loads(AttemptFolder(tmp_path).result.read_text())["outcome"] == "ok"
