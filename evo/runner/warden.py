"""The process between a keeper and its service: whatever dies first, nothing of the service is left.

The service starts processes of its own that outlive it. So it runs under a warden: a subreaper that ends every
descendant when the service ends, when it is told to, or when the keeper dies. Where the warden itself is killed, the
service's first process dies with it and the others become the keeper's children, which ends them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from evo.runner import proc

GRACE_S = 5.0
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NOT_STARTED = 127


class Started(NamedTuple):
    """What a warden is to run. `log` is appended to."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: str


def guard(order: Started) -> int:
    """Fork a warden in a session of its own; its pid. It exits as the service did (128 + n after signal n)."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            proc.die_with_parent(parent, signal.SIGTERM)
            _watch(order)
        finally:
            os._exit(_NOT_STARTED)
    return pid


def _watch(order: Started) -> NoReturn:
    proc.set_subreaper(True)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    service = _launch(order)
    code: int | None = None

    def reap() -> None:
        nonlocal code
        code = code if (ended := _reap(service)) is None else ended

    while code is None and signal.sigwaitinfo(_SIGNALS).si_signo == signal.SIGCHLD:
        reap()
    proc.end_all(_members, grace_s=GRACE_S, between=reap)
    os._exit(0 if code is None else code if code >= 0 else 128 - code)


def _launch(order: Started) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        proc.die_with_parent(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, file in enumerate((null, log, log)):
            os.dup2(file, target)
        os.closerange(3, 1 << 20)
        os.chdir(order.cwd)
        os.execvpe(order.argv[0], list(order.argv), dict(order.env))
    except (OSError, ValueError, IndexError) as error:
        os.write(2, f"evo: cannot start {list(order.argv)[:1]}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(_NOT_STARTED)


def _members() -> set[int]:
    return proc.descendants([os.getpid()], proc.everyone())


def _reap(service: int) -> int | None:
    """The exit code of `service` once it has ended (negative: a signal); every other orphan is reaped on the way."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == service:
            ended = os.waitstatus_to_exitcode(status)
