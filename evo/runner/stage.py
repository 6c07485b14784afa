"""One stage of an attempt: a process started in its own session, watched, and ended with everything it left behind.

Beside training, the mid-evaluator: started when the first question lies in `mid/`, once more when it dies, and ended
with training. Invariant: when `run_stage` returns, no process of the stage is left (or `survivors` names it), and
limits were kept by the monotonic clock, whatever the stage did with signals, sessions or stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import NamedTuple, NoReturn

from evo.runner import proc, records
from evo.runner.sandbox import landlock

TICK_S = 0.1
_CONTROLLER_EVERY_S = 0.5
_HEARTBEAT_EVERY_S = 1.0
_UNKNOWN = 255 << 8
"""Wait status of a process that another part of the program has reaped."""
_MID_STARTS = 2
_LET_GO_S = 0.002
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Order(NamedTuple):
    """The fields of `evo.domain.job.Stage`, read without dataclasses (start-up time)."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    log: str
    timeout_s: float | None = None
    rules: Mapping[str, list[str]] | None = None
    is_wrapped: bool = False
    module: str = ""


class Ending(NamedTuple):
    """`cause`: exited, timed_out, stopped or aborted (on demand) or orphaned (the controller is gone)."""

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
        self._is_wrapper = False
        self._status: int | None = None
        self._is_childless = False
        self._companions: set[int] = set()
        """Those beside the adopted process that have not ended."""

    def adopt(self, root: int, *, is_wrapper: bool = False) -> None:
        """`is_wrapper`: bubblewrap, whose end is the end of all that it holds, at once."""
        self._root, self._status, self._is_childless = root, None, False
        self._is_wrapper = is_wrapper

    def spared(self) -> set[int]:
        """Who is not asked to end, since the others would have no time to."""
        return {self._root} if self._is_wrapper else set()

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
            self._companions.discard(pid)
        if not self._is_exclusive:
            self._companions = {pid for pid in self._companions if not _is_reaped(pid)}
        return self._status

    def accompany(self, pid: int) -> None:
        """A child of this process that lives beside the adopted one, and ends with it."""
        self._companions.add(pid)
        self._is_childless = False

    def has_companion(self, pid: int) -> bool:
        """Whether it lived at the last look at `status`."""
        return pid in self._companions

    def members(self) -> set[int]:
        if self._is_exclusive:
            return set() if self._is_childless else proc.descendants([os.getpid()], proc.everyone())
        if not self._root:
            return set()
        living = proc.everyone()
        found = proc.tree_of(self._root, living) | proc.marked(self._folder, living)
        return (found | proc.descendants(found, living)) - {os.getpid()}


class MidService:
    """The mid-evaluator of one run; `order.timeout_s` is the limit of one answer."""

    def __init__(self, folder: str, order: Order, family: Family, *, usual_mask: Iterable[int]) -> None:
        self._folder = f"{folder}/{records.MID}"
        self._order = order
        self._family = family
        self._mask = usual_mask
        self._pid = self._starts = 0
        self._question, self._since = "", 0.0
        self._is_down = False

    @property
    def is_asked(self) -> bool:
        """A question waits for its answer: training cannot go on before it."""
        return bool(self._question) and not self._is_down

    def tick(self) -> None:
        """Called a few times a second while training runs, after a look at the family's status."""
        if self._is_down:
            return
        question, now = self._open_question(), time.monotonic()
        if question != self._question:
            self._question, self._since = question, now
        if not question:
            return
        if self._family.has_companion(self._pid):
            if self._order.timeout_s and now - self._since > self._order.timeout_s:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._pid, signal.SIGKILL)
            return
        if self._starts == _MID_STARTS:
            self._give_up()
            return
        self._starts, self._since = self._starts + 1, now
        self._pid = launch(self._order, self._mask)
        self._family.accompany(self._pid)

    def _open_question(self) -> str:
        """The first of the questions that have no answer; empty where there is none."""
        try:
            names = set(os.listdir(self._folder))
        except OSError:
            return ""
        ends = records.QUESTION
        return min((n for n in names if n.endswith(ends) and n.removesuffix(ends) + ".json" not in names), default="")

    def _give_up(self) -> None:
        self._is_down = True
        lines = records.tail_lines(self._order.log, lines=1, limit=2000)
        why = lines[0].removeprefix("evo: ") if lines else "it ended without a word"
        content = json.dumps({"why": f"the mid-evaluator ended {_MID_STARTS} times, at last with: {why}"}).encode()
        records.write_bytes(f"{self._folder}/{records.DOWN}", content, is_durable=False, mode=0o644)


def run_stage(
    order: Order,
    family: Family,
    *,
    pulse: Pulse,
    grace_s: float,
    look: Callable[[], str] = str,
    meanwhile: Callable[[], object] = str,
) -> Ending:
    """Run it to its end, to its limit, or until pulse or `look` gives a cause; then end every process that it left.

    `meanwhile` is called once, when the stage has had the time to let go of what it inherited.
    """
    started = time.monotonic()
    deadline = started + order.timeout_s if order.timeout_s else float("inf")
    family.adopt(launch(order, pulse.usual_mask), is_wrapper=order.is_wrapped)
    cause = pulse.wait(min(_LET_GO_S, order.timeout_s or _LET_GO_S))
    meanwhile()
    while not cause and family.status() is None:
        left = deadline - time.monotonic()
        cause = "timed_out" if left <= 0 else pulse.wait(left) or look()
    seconds = time.monotonic() - started

    def between() -> None:
        pulse.beat()
        family.status()

    left_over = proc.end_all(family.members, grace_s=grace_s, between=between, spared=family.spared())
    code = os.waitstatus_to_exitcode(status) if (status := family.status()) is not None else None
    if code == 1 and order.is_wrapped and _found_no_program(order.log):
        code = 127
    died_of = -code if code is not None and code < 0 else None
    return Ending(cause or "exited", None if died_of else code, died_of, seconds, len(left_over))


def _found_no_program(log: str) -> bool:
    """What the shell and `launch` say by exit code 127, bubblewrap says in words."""
    said = records.tail_lines(log, lines=1, limit=2000)
    return bool(said) and said[0].startswith("bwrap: execvp ")


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def launch(order: Order, usual_mask: Iterable[int]) -> int:
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
        if order.rules is not None:
            landlock.enter(order.rules)
        if order.module:
            _call(order)
        os.execvpe(order.argv[0], order.argv, order.env)
    except (OSError, ValueError, IndexError) as error:
        os.write(2, f"evo: cannot start {order.argv} in {order.cwd}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _call(order: Order) -> NoReturn:
    """Be the stage without another program: what a page of Python's would be told and shown, and its end."""
    proc.hide_memory(False)  # as after an exec: what the supervisor hides is over, or on disk, by the evaluation
    os.environ.clear()
    os.environ.update(order.env)
    code = 1
    try:
        code = import_module(order.module).main(order.argv[-1:])
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
