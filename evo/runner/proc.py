"""Processes as /proc shows them: who they are, whose children, and how a whole tree of them ends.

Invariant: a process is named by (host, boot id, pid, start time), never by its pid alone; a zombie is dead.
Linux only. Only light modules are imported: this file is on the way of every supervisor's start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, NamedTuple

_PDEATHSIG, _DUMPABLE, _SUBREAPER = 1, 4, 36
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"
_DEAD = (b"Z", b"X", b"x")
_PATIENCE_S = 5.0
"""How long a killed process may take to vanish: after it, only the kernel or another user holds it."""
MARK = "EVO_JOB"
"""Every process of an attempt carries this variable with the attempt's folder, from its start."""
EVALUATION_MARK = "EVO_EVALUATION"
"""The same for the command of an evaluation, which is no run and sees no EVO_JOB."""

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Glimpse(NamedTuple):
    """One line of /proc/PID/stat. `start`: clock ticks after boot (field 22)."""

    state: bytes
    parent: int
    session: int
    start: int

    @property
    def is_dead(self) -> bool:
        return self.state in _DEAD


def glimpse(pid: int) -> Glimpse | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Glimpse(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def everyone() -> dict[int, Glimpse]:
    """All living processes of this pid namespace."""
    found = {int(name): glimpse(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: seen for pid, seen in found.items() if seen is not None and not seen.is_dead}


def host() -> str:
    """The name of this machine; inside a container's pid namespace, with that namespace's number."""
    namespace = os.readlink("/proc/self/ns/pid")
    return os.uname().nodename + ("" if namespace == _INITIAL_PID_NAMESPACE else f"/{namespace}")


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identity(pid: int) -> dict[str, Any] | None:
    """The fields of `evo.domain.job.ProcessId`; None when there is no such process."""
    seen = glimpse(pid)
    if seen is None or seen.is_dead:
        return None
    return {"host": host(), "boot_id": boot_id(), "pid": pid, "start": seen.start}


def is_here(process: Mapping[str, Any]) -> bool:
    """Whether this machine can tell if `process` lives."""
    return bool(process.get("host") == host())


def is_alive(process: Mapping[str, Any]) -> bool:
    """False also for a process of another host: ask `is_here` first."""
    if not is_here(process) or process.get("boot_id") != boot_id() or not isinstance(process.get("pid"), int):
        return False
    seen = glimpse(process["pid"])
    return seen is not None and not seen.is_dead and seen.start == process.get("start")


def set_subreaper(is_on: bool) -> None:
    """Orphans among the descendants become children of this process instead of leaving for init."""
    _prctl(_SUBREAPER, int(is_on), 0, 0, 0)


def hide_memory(is_hidden: bool = True) -> None:
    """Keep memory and environment of this process from other processes of the same user (not from root).

    Such a process cannot look into its own /proc/self/fd either.
    """
    _prctl(_DUMPABLE, int(not is_hidden), 0, 0, 0)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """After a fork, in the child: signal `number` when `parent` dies; the end, at once, if it died before this call."""
    _prctl(_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def descendants(roots: Iterable[int], living: Mapping[int, Glimpse]) -> set[int]:
    """Children, grandchildren and so on of `roots`, without `roots`."""
    children: dict[int, list[int]] = {}
    for pid, seen in living.items():
        children.setdefault(seen.parent, []).append(pid)
    found: set[int] = set()
    open_ = list(roots)
    while open_:
        fresh = [pid for pid in children.get(open_.pop(), ()) if pid not in found]
        found.update(fresh)
        open_.extend(fresh)
    return found


def tree_of(root: int, living: Mapping[int, Glimpse]) -> set[int]:
    """`root`, its session and its descendants. Never a session of the kernel's, nor init's (ValueError)."""
    if root <= 1:
        raise ValueError(f"process {root} is not evo's to end")
    session = {pid for pid, seen in living.items() if root in (pid, seen.session)}
    return session | descendants([root, *session], living)


def marked(folder: str, living: Iterable[int]) -> set[int]:
    """Those of `living` that were started as part of the attempt in `folder`; never this process itself."""
    names = (folder, os.path.realpath(folder))
    marks = {f"{mark}={name}".encode() for mark in (MARK, EVALUATION_MARK) for name in names}
    return {pid for pid in living if pid != os.getpid() and not marks.isdisjoint(_environ(pid))}


def _environ(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def end_all(
    members: Callable[[], set[int]], *, grace_s: float, between: Callable[[], None], spared: Set[int] = frozenset()
) -> set[int]:
    """SIGTERM, `grace_s` seconds, then SIGKILL, until `members()` is empty. Returns those that could not be ended.

    `between` is called while waiting: it reaps, and keeps a heartbeat going. `spared` get no SIGTERM.
    """
    found = members()
    _send(found - spared, signal.SIGTERM, signal.SIGCONT)
    found = _wait_gone(members, grace_s, between) if found else found
    deadline = time.monotonic() + _PATIENCE_S
    while found and time.monotonic() < deadline:
        _send(found, signal.SIGSTOP)
        _send(members(), signal.SIGKILL)
        found = _wait_gone(members, 0.05, between)
    return found


def _wait_gone(members: Callable[[], set[int]], limit_s: float, between: Callable[[], None]) -> set[int]:
    deadline, pause = time.monotonic() + limit_s, 0.001
    while True:
        between()
        found = members()
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _send(pids: Iterable[int], *signals: int) -> None:
    for pid in pids:
        for number in signals:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
