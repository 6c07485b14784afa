"""One stage of an attempt: a process started in its own session, watched, and ended with everything it left behind.

Invariant: when `run_stage` returns, no process of the stage is left (or `survivors` names it), and limits were kept
by the monotonic clock, whatever the stage did with signals, sessions or stops.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, NoReturn

from evo.runner import proc, records

TICK_S = 0.1
_CONTROLLER_EVERY_S = 0.5
_HEARTBEAT_EVERY_S = 1.0
_UNKNOWN = 255 << 8
"""Wait status of a process that another part of the program has reaped."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Order(NamedTuple):
    """The fields of `evo.domain.job.Stage`, read without dataclasses (start-up time)."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    log: str
    timeout_s: float | None = None


class Ending(NamedTuple):
    """`cause`: exited, timed_out, aborted (on demand) or orphaned (the controller is gone)."""

    cause: str
    exit_code: int | None
    signal: int | None
    seconds: float
    survivors: int = 0


class Pulse:
    """Shows the world that the supervisor lives, and notices when the world wants it to end.

    `token` as in `records.fence_of`. `takes_signals` is False inside another program, whose signals are its own.
    """

    def __init__(
        self, folder: str, token: str, *, controller: Mapping[str, object] | None, takes_signals: bool
    ) -> None:
        self._heartbeat = f"{folder}/{records.HEARTBEAT}"
        self._cancels = [f"{folder}/{name}" for name in (records.CANCEL, records.fence_of(token))]
        self._controller = controller
        self._signals = (signal.SIGCHLD, *_STOP_SIGNALS) if takes_signals else (signal.SIGCHLD,)
        self._next_beat = self._next_look = 0.0
        self._verdict = ""
        self.usual_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def stop(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.usual_mask)

    def beat(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _HEARTBEAT_EVERY_S
            records.touch(self._heartbeat)

    def wait(self, limit_s: float = 0.0) -> str:
        """Sleep until a child ends, a signal comes or `limit_s` is over. The cause to end now, or an empty text."""
        self.beat()
        caught = signal.sigtimedwait(self._signals, max(0.0, min(limit_s, TICK_S)))
        if self._verdict:
            return self._verdict
        if (caught is not None and caught.si_signo in _STOP_SIGNALS) or any(map(os.path.lexists, self._cancels)):
            self._verdict = "aborted"
        elif self._controller is not None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _CONTROLLER_EVERY_S
            if proc.is_here(self._controller) and not proc.is_alive(self._controller):
                self._verdict = "orphaned"
        return self._verdict


class Family:
    """The processes of one attempt.

    `is_exclusive`: this process is a subreaper without other children, so its descendants are exactly the attempt.
    Else (inside another program) they are what descends from the stage, shares its session, or carries its mark.
    """

    def __init__(self, folder: str, *, is_exclusive: bool) -> None:
        self._folder = folder
        self._is_exclusive = is_exclusive
        self._root = 0
        self._status: int | None = None
        self._is_childless = False

    def adopt(self, root: int) -> None:
        self._root, self._status, self._is_childless = root, None, False

    def status(self) -> int | None:
        """Wait status of the adopted process once it has ended. Orphans are reaped on the way."""
        while self._is_exclusive or self._status is None:
            try:
                pid, status = os.waitpid(-1 if self._is_exclusive else self._root, os.WNOHANG)
            except ChildProcessError:
                self._is_childless = True
                if self._status is None and self._root:
                    self._status = _UNKNOWN
                break
            if pid == 0:
                break
            if pid == self._root:
                self._status = status
        return self._status

    def members(self) -> set[int]:
        if self._is_exclusive:
            return set() if self._is_childless else proc.descendants([os.getpid()], proc.everyone())
        if not self._root:
            return set()
        living = proc.everyone()
        found = proc.tree_of(self._root, living) | proc.marked(self._folder, living)
        return (found | proc.descendants(found, living)) - {os.getpid()}


def run_stage(order: Order, family: Family, *, pulse: Pulse, grace_s: float) -> Ending:
    """Run it to its end, to its limit, or until the pulse says stop; then end every process that it left."""
    started = time.monotonic()
    deadline = started + order.timeout_s if order.timeout_s else float("inf")
    family.adopt(_launch(order, pulse.usual_mask))
    cause = ""
    while not cause and family.status() is None:
        left = deadline - time.monotonic()
        cause = "timed_out" if left <= 0 else pulse.wait(left)
    seconds = time.monotonic() - started

    def between() -> None:
        pulse.beat()
        family.status()

    left_over = proc.end_all(family.members, grace_s=grace_s, between=between)
    code = os.waitstatus_to_exitcode(status) if (status := family.status()) is not None else None
    died_of = -code if code is not None and code < 0 else None
    return Ending(cause or "exited", None if died_of else code, died_of, seconds, len(left_over))


def _launch(order: Order, usual_mask: Iterable[int]) -> int:
    """Fork and exec, by hand: subprocess costs more to import than everything else here, and cannot do PDEATHSIG."""
    records.remove(order.log)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, parent, usual_mask, files=(null, log, log))
    os.close(log)
    os.close(null)
    return pid


def _become(order: Order, parent: int, usual_mask: Iterable[int], *, files: Iterable[int]) -> NoReturn:
    try:
        os.setsid()
        proc.die_with_parent(parent)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, usual_mask)
        for target, file in enumerate(files):
            os.dup2(file, target)
        os.closerange(3, 1 << 20)
        os.chdir(order.cwd)
        os.execvpe(order.argv[0], order.argv, order.env)
    except (OSError, ValueError, IndexError) as error:
        os.write(2, f"evo: cannot start {order.argv} in {order.cwd}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)
