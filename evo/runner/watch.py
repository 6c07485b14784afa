"""How a controller waits for attempts: at once when one ends, and cheaply in between.

Invariant: waiting changes nothing and prints nothing; `on_tick` sees what there is to show.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Sequence

from evo.domain.job import AttemptFolder
from evo.lightdata import dataclass
from evo.runner import process
from evo.runner.executors.base import Executor, Handle, JobState
from evo.runner.metrics import MetricsTail, Row

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.003, 0.2


@dataclass(frozen=True)
class Progress:
    """One attempt at one moment. `rows`: metrics that came since the last tick; `latest`: the last one so far."""

    handle: Handle
    state: JobState
    rows: tuple[Row, ...] = ()
    latest: Row | None = None


OnTick = Callable[[Sequence[Progress]], None]


def wait(
    executor: Executor,
    handles: Sequence[Handle],
    *,
    timeout_s: float | None = None,
    on_tick: OnTick | None = None,
) -> bool:
    """True when every attempt has ended, False when `timeout_s` is over before. Ticks come at least 5 times a second.

    On a return of True the last tick has shown every attempt as `ended`, with all its metrics.
    """
    watched = [_Watched(handle) for handle in handles]
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pause = _FIRST_PAUSE_S
    with _Alarm(handles) as alarm:
        while True:
            progress = [each.look(state) for each, state in zip(watched, executor.poll(handles), strict=True)]
            if on_tick is not None:
                on_tick(progress)
            if all(each.state.stage == "ended" for each in progress):
                return True
            left = _LONGEST_PAUSE_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            alarm.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_PAUSE_S)


class _Watched:
    """One attempt with the place up to which its metrics were read."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._tail = MetricsTail(AttemptFolder(handle.folder).metrics)
        self._latest: Row | None = None

    def look(self, state: JobState) -> Progress:
        """The state was taken before the metrics are read: an ended attempt shows all of them."""
        rows = self._tail.read()
        while state.stage == "ended" and (more := self._tail.read()):
            rows += more
        self._latest = rows[-1] if rows else self._latest
        return Progress(self._handle, state, tuple(rows), self._latest)


class _Alarm:
    """A sleep that the end of any supervisor cuts short, where the kernel has pidfd (Linux 5.3)."""

    def __init__(self, handles: Sequence[Handle]) -> None:
        self._poll = select.poll()
        self._files: list[int] = []
        for handle in handles:
            if handle.process is not None and process.is_alive(handle.process):
                with contextlib.suppress(OSError):
                    self._files.append(os.pidfd_open(handle.process.pid))
        for file in self._files:
            self._poll.register(file, select.POLLIN)

    def __enter__(self) -> _Alarm:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            os.close(file)

    def sleep(self, limit_s: float) -> None:
        for file, _ in self._poll.poll(1000 * limit_s):
            self._poll.unregister(file)  # each end wakes once
