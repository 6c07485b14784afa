"""What became of an attempt, told by its folder and its token alone.

Invariant: only a record with the attempt's own token is believed; `lost` is said only when no supervisor works on the
folder and none can still be started by the controller that claimed it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from evo.domain.job import AttemptFolder, ProcessId, Result
from evo.lightdata import dataclass
from evo.runner import process, records
from evo.validation import restore

FindingKind = Literal["finished", "trained", "running", "starting", "lost"]
STALE_AFTER_S = 60.0
_starting: set[str] = set()


@contextmanager
def starting(token: str) -> Iterator[None]:
    """Within the block a thread of this process is about to start the attempt of that token, or waits for its end."""
    _starting.add(token)
    try:
        yield
    finally:
        _starting.discard(token)


@dataclass(frozen=True)
class Finding:
    """`result` when finished; `train_seconds` when training is over; `why` when lost or running elsewhere.

    `is_stale`: it runs by all that can be seen, but its heartbeat has stopped.
    """

    kind: FindingKind
    result: Result | None = None
    train_seconds: float | None = None
    heartbeat_age_s: float | None = None
    is_stale: bool = False
    why: str = ""


def inspect(folder: Path, *, token: str, controller: ProcessId | None, stale_after_s: float = STALE_AFTER_S) -> Finding:
    """Look, and change nothing. `controller`: the process that claimed the attempt, also of a detached one.

    A supervisor of an earlier claim (another token) is none, unless it still works in the folder.
    """
    paths = AttemptFolder(folder)
    age = process.heartbeat_age_s(folder)
    is_stale = age is None or age > stale_after_s
    supervisor = _supervisor(folder, token)
    is_running = supervisor is not None and _works(supervisor, folder, is_stale=is_stale)
    result = records.read_record(str(paths.result)) or {}  # after the look at the supervisor: it writes, then ends
    if result.get("token") == token:
        return Finding("finished", result=restore(Result, result), heartbeat_age_s=age)
    if is_running:
        return Finding("running", heartbeat_age_s=age, is_stale=is_stale)
    if supervisor is None and (token in _starting or _may_still_start(controller, folder, stale_after_s=stale_after_s)):
        return Finding("starting")
    trained = records.read_record(str(paths.trained)) or {}
    if trained.get("token") == token:
        return Finding("trained", train_seconds=trained.get("train_seconds"), heartbeat_age_s=age)
    return Finding("lost", heartbeat_age_s=age, why=_why(supervisor, controller))


def _supervisor(folder: Path, token: str) -> ProcessId | None:
    is_ours = process.supervisor_record(folder).get("claim") == records.claim_of(token)
    return process.supervisor_of(folder) if is_ours or process.has_supervisor(folder) else None


def _works(supervisor: ProcessId, folder: Path, *, is_stale: bool) -> bool:
    """A process of another machine counts as alive while the heartbeat is fresh."""
    return process.has_supervisor(folder) if process.is_here(supervisor) else not is_stale


def _may_still_start(controller: ProcessId | None, folder: Path, *, stale_after_s: float) -> bool:
    """Whether the controller lives and is on its way to a submission. This process itself says so by `starting`."""
    if controller is None or controller == process.current():
        return False
    if process.is_here(controller):
        return process.is_alive(controller)
    return folder.is_dir() and time.time() - folder.stat().st_mtime < stale_after_s


def _why(supervisor: ProcessId | None, controller: ProcessId | None) -> str:
    here = process.current()
    for claimed in (supervisor, controller):
        if claimed is not None and claimed.host == here.host and claimed.boot_id != here.boot_id:
            return "the machine was restarted"
        if claimed is not None and claimed.host != here.host:
            return f"no heartbeat from {claimed.host}"
    if controller is not None and not process.is_alive(controller):
        return "its controller is gone"
    return "its supervisor is gone" if supervisor is not None else "it was never started"
