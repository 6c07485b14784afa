"""The default executor: one supervisor process per attempt on this machine.

The supervisor outlives this process (own session); whether the attempt does is for `job.controller` to say.
Its start is 20 ms of every run: -S and -I leave out site-packages, whose place it needs only to find evo, and
`warm_up` lets it start beside what the caller still has to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from evo.domain.job import AttemptFolder, Job, ProcessId
from evo.runner import proc, process, records
from evo.runner.executors import folders
from evo.runner.executors.base import Abilities, Handle, JobState

_ROOT = str(Path(__file__).resolve().parents[3])
_START = "import sys; sys.path.append(sys.argv[1]); from evo.runner.child import main; main()"
_PASSED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "CUDA_VISIBLE_DEVICES", "EVO_JOB")
"""A supervisor's own environment: no secrets, since a training process of the same user may try to read it."""


class LocalExecutor:
    abilities = Abilities(has_shared_filesystem=True, is_detachable=True, has_gpus=True)

    def __init__(self) -> None:
        self._ready: _Ready | None = None

    def warm_up(self, module: str = "") -> None:
        if self._ready is None:
            self._ready = _take(module) or _spawn(module)

    def submit(self, job: Job, *, token: str) -> Handle:
        self.warm_up()
        folder = folders.lay_out(job)
        ready, self._ready = self._ready, None
        assert ready is not None
        ready.hand_over(folder, token)
        handle = Handle(folder.root, ready.process)
        while job.controller is None and self.find(folder.root) is None and _reap(handle):
            time.sleep(0.002)
        return handle

    def close(self) -> None:
        if self._ready is not None:
            self._ready.give_back()
            self._ready = None

    def poll(self, handles: Sequence[Handle]) -> list[JobState]:
        for handle in handles:
            _reap(handle)
        return [folders.state_of(handle) for handle in handles]

    def cancel(self, handle: Handle) -> None:
        folders.ask_to_end(handle)

    def find(self, folder: Path) -> Handle | None:
        return folders.find(folder)


class _Ready(NamedTuple):
    """A supervisor that waits on its standard input for a folder and the token; it ends where nothing comes."""

    pid: int
    writer: int
    process: ProcessId | None

    def hand_over(self, folder: AttemptFolder, token: str) -> None:
        records.remove(str(folder.supervisor_log))
        with contextlib.suppress(BrokenPipeError):  # it has died: the attempt is seen to be lost
            os.write(self.writer, f"{folder.root}\n{token}\n".encode())
        os.close(self.writer)

    def give_back(self) -> None:
        """End it, unused."""
        os.close(self.writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


_ahead: list[tuple[str, _Ready]] = []


@contextlib.contextmanager
def ahead(module: str) -> Iterator[None]:
    """A supervisor starts now, for the first executor in this process that wants one with that module."""
    started = (module, _spawn(module))
    _ahead.append(started)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # it was taken
            _ahead.remove(started)
            started[1].give_back()


def _take(module: str) -> _Ready | None:
    for started in tuple(_ahead):
        if started[0] == module:
            with contextlib.suppress(ValueError):  # another thread was first
                _ahead.remove(started)
                return started[1]
    return None


def _spawn(module: str) -> _Ready:
    """A supervisor in its own session; it opens its log when it learns its folder. It imports `module` before that."""
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    argv = [sys.executable, "-I", "-S", "-c", _START, _ROOT, *filter(None, [module])]
    reader, writer = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        pid = os.posix_spawn(sys.executable, argv, env, file_actions=actions, setsid=True)
    finally:
        os.close(reader)
    return _Ready(pid, writer, process.identify(pid))


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
