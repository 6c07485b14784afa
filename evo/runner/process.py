"""Processes, for whoever starts, awaits or cleans up after attempts: `proc` with the words of the domain.

Invariant: a process is trusted to be the same only while host, boot, pid and start time agree.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from evo.domain.job import AttemptFolder, ProcessId
from evo.runner import proc, records

GRACE_S = 2.0


def identify(pid: int | None = None) -> ProcessId | None:
    """This process, or the living one with that pid; None when there is none."""
    fields = proc.identity(os.getpid() if pid is None else pid)
    return None if fields is None else ProcessId(**fields)


def current() -> ProcessId:
    process = identify()
    assert process is not None, "a running process is alive"
    return process


def is_here(process: ProcessId) -> bool:
    """Whether this machine (and pid namespace) can tell if `process` lives."""
    return proc.is_here(vars(process))


def is_alive(process: ProcessId) -> bool:
    """False also for a process of another host: ask `is_here` first."""
    return proc.is_alive(vars(process))


def supervisor_of(folder: Path) -> ProcessId | None:
    """Who supervises, or supervised, the attempt in `folder`, by its own word."""
    record = supervisor_record(folder)
    try:
        return ProcessId(**record["process"])
    except (KeyError, TypeError):
        return None


def has_supervisor(folder: Path) -> bool:
    """Whether a living supervisor of this machine works on the attempt in `folder`."""
    supervisor = supervisor_of(folder)
    return supervisor is not None and is_alive(supervisor) and supervisor_record(folder).get("stage") != "ended"


def supervisor_record(folder: Path) -> dict[str, Any]:
    """supervisor.json (`process`, `stage`, `since` in seconds of the epoch, `claim`), empty where there is none."""
    return records.read_record(str(AttemptFolder(folder).supervisor)) or {}


def heartbeat_age_s(folder: Path) -> float | None:
    """Seconds since the supervisor last showed that it lives; None before the first time."""
    try:
        return max(0.0, time.time() - AttemptFolder(folder).heartbeat.lstat().st_mtime)
    except OSError:
        return None


def survivors(folder: Path) -> set[int]:
    """Living processes that were started as part of the attempt in `folder`, this one excepted."""
    return proc.marked(str(folder), proc.everyone())


def kill_tree(pid: int, *, grace_s: float = GRACE_S) -> set[int]:
    """End `pid`, its session and its descendants. Returns those that could not be ended."""
    followed: set[int] = set()

    def members() -> set[int]:
        """Also those that were seen once and have lost their parent since."""
        living = proc.everyone()
        followed.update(proc.tree_of(pid, living), proc.descendants(followed, living))
        return (followed & living.keys()) - {os.getpid()}

    return proc.end_all(members, grace_s=grace_s, between=lambda: None)


def sweep(folder: Path, *, token: str | None = None, grace_s: float = GRACE_S) -> set[int]:
    """Make sure that nothing of an attempt runs any more. Returns what could not be ended.

    With the attempt's token, a supervisor that starts late is fenced off too, and one that works in the folder under
    another token (the evaluation was taken up by somebody else) is left alone. Processes that left the session and
    wiped their environment can be found only by their supervisor, while it lives.
    """
    is_working = has_supervisor(folder)
    if token is not None:
        if is_working and supervisor_record(folder).get("claim") != records.claim_of(token):
            return set()
        if folder.is_dir():
            records.touch(str(folder / records.fence_of(token)))
    supervisor = supervisor_of(folder) if is_working else None

    def members() -> set[int]:
        living = proc.everyone()
        found = proc.marked(str(folder), living)
        if supervisor is not None and is_alive(supervisor):
            found.add(supervisor.pid)
        return (found | proc.descendants(found, living)) - {os.getpid()}

    return proc.end_all(members, grace_s=grace_s, between=lambda: None)
