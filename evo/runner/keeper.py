"""The keeper of a warm service: `python -m evo.runner.keeper FOLDER` (see `evo.domain.service` for the folder).

It runs the service while somebody uses it and `idle_s` longer, starts a crashed or hung one again once, says that it
is down after that, and ends when nobody wants it any more or its folder is gone. The caller's process returns as soon
as a keeper stands, this one or another. Invariant: there is one keeper for a folder, and when it has ended, no process
of the service is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from evo.domain.service import LEASE_S, Service, ServiceFolder, ServiceState
from evo.files import write_json
from evo.lightdata import replace
from evo.runner import proc, records, warden

TICK_S = 0.2
RESTARTS = 1
STEADY_S = 600.0
"""A service that has run this long has made up for its crashes."""
HEALTH_EVERY_S = 5.0
HEALTH_LIMIT_S = 5.0
HUNG_AFTER_S = 60.0
_LOG_TAIL = 65536


class Keeper:
    """One service, from the first use to the last. Built by the holder of keeper.lock."""

    def __init__(self, folder: ServiceFolder, service: Service, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._service = service
        self._clock = clock
        self._inode = os.stat(folder.root).st_ino
        self._use = os.open(folder.use_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._warden = 0
        self._last_use = self._last_seen = self._began = clock()
        self._next_look = 0.0
        self._crashes = 0
        self._is_told_to_end = False
        self._state = ServiceState("asleep", keeper=os.getpid(), boot_id=proc.boot_id())

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_end)
        end_remains(self._folder)
        self._say("asleep")
        while not self._is_told_to_end and self._is_here() and self._step():
            time.sleep(TICK_S)
        self._end_service()
        if self._is_here() and self._state.state != "down":
            self._say("asleep")

    def _step(self) -> bool:
        """One look at users and service. False: this keeper's work is done."""
        is_used = self._is_used()
        if is_used:
            self._last_use = self._clock()
        if not self._warden:
            if is_used:
                self._start()
            return is_used or self._has_lease()
        code = self._ended()
        if code is not None:
            return self._crashed(f"it ended with exit code {code}")
        if self._state.state == "starting":
            return self._await_ready()
        if self._is_hung():
            return self._crashed(f"it has not answered for {HUNG_AFTER_S:.0f} s")
        if not is_used and self._clock() - self._last_use > self._service.idle_s:
            self._put_to_sleep()
        return True

    def _start(self) -> None:
        run = f"{int(time.time())}-{os.urandom(3).hex()}"
        for name in self._folder.root.glob("*.sock"):
            name.unlink(missing_ok=True)
        if self._folder.log.exists():
            os.replace(self._folder.log, self._folder.log.with_suffix(".old.log"))
        state = replace(self._state, run=run)
        argv = [part.replace("{socket}", state.socket) for part in self._service.argv]
        order = warden.Started(argv, self._service.env, str(self._folder.root), str(self._folder.log))
        self._warden = warden.guard(order)
        self._began = self._last_seen = self._clock()
        seen = proc.glimpse(self._warden)
        start = 0 if seen is None else seen.start
        self._state = replace(state, session=self._warden, session_start=start)
        self._say("starting")

    def _await_ready(self) -> bool:
        if self._answers():
            self._began = self._last_seen = self._clock()
            self._say("ready")
        elif self._clock() - self._began > self._service.start_s:
            return self._crashed(f"it was not ready within {self._service.start_s:.0f} s")
        return True

    def _is_hung(self) -> bool:
        if self._clock() < self._next_look:
            return False
        if self._answers():
            self._last_seen = self._clock()
        self._next_look = self._clock() + HEALTH_EVERY_S
        return self._clock() - self._last_seen > HUNG_AFTER_S

    def _answers(self) -> bool:
        return is_healthy(self._folder.root, self._state.socket, self._service.health)

    def _crashed(self, how: str) -> bool:
        """Start it again if somebody is waiting, unless that has been done before. False when it is given up."""
        if self._state.state == "ready" and self._clock() - self._began > STEADY_S:
            self._crashes = 0
        self._crashes += 1
        self._end_service()
        if not self._is_here():
            return False
        if self._crashes > RESTARTS:
            why = f"{how}{last_error(self._folder.log)}"
            record = {"why": why, "at": time.time(), "boot_id": proc.boot_id(), "log": str(self._folder.log)}
            write_json(self._folder.down, record)
            self._say("down")
            return False
        self._say("asleep")
        return True

    def _put_to_sleep(self) -> None:
        """End the service while no user can come in."""
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            self._end_service()
            self._say("asleep")
        finally:
            fcntl.flock(self._use, fcntl.LOCK_UN)

    def _end_service(self) -> None:
        if self._warden:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._warden, signal.SIGTERM)
            deadline = self._clock() + 2 * warden.GRACE_S
            while self._ended() is None and self._clock() < deadline:
                time.sleep(0.02)
        proc.end_all(_descendants, grace_s=0.0, between=self._reap)

    def _reap(self) -> None:
        self._ended()

    def _ended(self) -> int | None:
        """Exit code of the warden, once, when it has ended; orphans that came to this process are reaped on the way."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if pid == self._warden:
                self._warden, code = 0, os.waitstatus_to_exitcode(status)

    def _is_used(self) -> bool:
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._use, fcntl.LOCK_UN)
        return False

    def _has_lease(self) -> bool:
        """Whether an attempt that may want the service lives. Leases that have run out go."""
        alive = False
        for lease in self._folder.leases.glob("*.json"):
            record = records.read_record(str(lease)) or {}
            if _age_s(lease) < LEASE_S or _age_s(Path(str(record.get("heartbeat", "")))) < LEASE_S:
                alive = True
            else:
                lease.unlink(missing_ok=True)
        return alive

    def _is_here(self) -> bool:
        try:
            return os.stat(self._folder.root).st_ino == self._inode
        except OSError:
            return False

    def _say(self, state: str) -> None:
        self._state = replace(self._state, state=state)
        write_json(self._folder.state, dict(vars(self._state)))

    def _told_to_end(self, *_: object) -> None:
        self._is_told_to_end = True


def is_healthy(folder: Path, name: str, path: str) -> bool:
    """Whether the service that listens on the socket `name` in `folder` answers 200 to a GET of `path`."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(HEALTH_LIMIT_S)
            link.connect(f"/proc/self/fd/{place}/{name}")  # a socket's path may have 107 bytes only
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: evo\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in link.recv(64)
    except OSError:
        return False
    finally:
        os.close(place)


def withdraw(folder: ServiceFolder) -> None:
    """What a keeper that was killed has said stands no more, but for the session that it may have left."""
    record = records.read_record(str(folder.state))
    if record is not None:
        write_json(folder.state, record | {"state": "asleep"})


def end_remains(folder: ServiceFolder) -> None:
    """End what a keeper and a warden that were killed together have left: the session of the last start."""
    record = records.read_record(str(folder.state)) or {}
    session, start = record.get("session"), record.get("session_start")
    if not isinstance(session, int) or session <= 1 or record.get("boot_id") != proc.boot_id():
        return
    leader = proc.glimpse(session)
    if leader is not None and leader.start != start:
        return  # the number belongs to another process now, so nothing of that session lives
    proc.end_all(lambda: _session(session), grace_s=1.0, between=lambda: None)


def last_error(log: Path) -> str:
    """What a log says of its end, for a message: its last line that names an error."""
    lines = records.tail_lines(str(log), lines=200, limit=_LOG_TAIL)
    named = [line for line in lines if "Error" in line or line.startswith("evo: ")]
    return f": {' '.join(named[-1].split())[-300:]}" if named else ""


def _session(session: int) -> set[int]:
    return {pid for pid, seen in proc.everyone().items() if session in (pid, seen.session)} - {os.getpid()}


def _descendants() -> set[int]:
    return proc.descendants([os.getpid()], proc.everyone())


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def main(argv: list[str]) -> int:
    """Become the keeper of the folder, unless it has one; the caller's process ends when one stands."""
    folder = ServiceFolder(Path(argv[0]).absolute())
    lock = os.open(folder.keeper_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        record = json.loads(folder.service.read_text(encoding="utf-8"))
        withdraw(folder)
        if os.fork() == 0:
            _stay(folder, Service(**record))
    return 0


def _stay(folder: ServiceFolder, service: Service) -> NoReturn:
    os.setsid()
    os.chdir("/")
    log = os.open(folder.keeper_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, file in enumerate((null, log, log)):
        os.dup2(file, target)
    proc.set_subreaper(True)
    Keeper(folder, service).run()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
