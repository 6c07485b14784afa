"""The default executor: one supervisor process per attempt on this machine.

The supervisor outlives this process (own session); whether the attempt does is for `job.controller` to say.
Its start is 20 ms of every run: -S and -I leave out site-packages, whose place it needs only to find evo.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evo.domain.job import AttemptFolder, Job
from evo.runner import proc, process, records
from evo.runner.executors import folders
from evo.runner.executors.base import Abilities, Handle, JobState

_ROOT = str(Path(__file__).resolve().parents[3])
_START = "import sys; sys.path.append(sys.argv[1]); from evo.runner.child import main; main(sys.argv[2])"
_PASSED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "CUDA_VISIBLE_DEVICES", "EVO_JOB")
"""A supervisor's own environment: no secrets, since a training process of the same user may try to read it."""


class LocalExecutor:
    abilities = Abilities(has_shared_filesystem=True, is_detachable=True, has_gpus=True)

    def submit(self, job: Job, *, token: str) -> Handle:
        folder = folders.lay_out(job)
        handle = Handle(folder.root, process.identify(_spawn(folder, token)))
        while job.controller is None and self.find(folder.root) is None and _reap(handle):
            time.sleep(0.002)
        return handle

    def poll(self, handles: Sequence[Handle]) -> list[JobState]:
        for handle in handles:
            _reap(handle)
        return [folders.state_of(handle) for handle in handles]

    def cancel(self, handle: Handle) -> None:
        folders.ask_to_end(handle)

    def find(self, folder: Path) -> Handle | None:
        return folders.find(folder)


def _spawn(folder: AttemptFolder, token: str) -> int:
    """The pid of a supervisor in its own session, with the token waiting in its standard input."""
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    argv = [sys.executable, "-I", "-S", "-c", _START, _ROOT, str(folder.root)]
    records.remove(str(folder.supervisor_log))
    reader, writer = os.pipe()
    try:
        os.write(writer, f"{token}\n".encode())
        os.close(writer)
        log = (str(folder.supervisor_log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        actions = [
            (os.POSIX_SPAWN_DUP2, reader, 0),
            (os.POSIX_SPAWN_OPEN, 1, *log),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        return os.posix_spawn(sys.executable, argv, env, file_actions=actions, setsid=True)
    finally:
        os.close(reader)


def _reap(handle: Handle) -> bool:
    """Whether the supervisor lives. A dead child of this process is collected, so that it does not stay a zombie."""
    if handle.process is None:
        return False
    seen = proc.glimpse(handle.process.pid)
    if seen is None or seen.start != handle.process.start:
        return False
    if seen.is_dead:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(handle.process.pid, os.WNOHANG)
    return not seen.is_dead
