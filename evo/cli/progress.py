"""Live progress on standard error: one line that moves on a terminal, a plain line every 30 s elsewhere.

Invariant: standard output is never touched, except under `--json-lines`, where each moment is one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path

from evo.domain.job import AttemptFolder
from evo.ops.progress import OnTick, Tick

EVERY_S = 30.0
FIRST_S = 0.4
"""A run shorter than this shows nothing: drawing would cost more than it tells."""
LOOK_EVERY_S = 1.0
LISTENER: ContextVar[OnTick | None] = ContextVar("listener", default=None)
"""Who is told instead of standard error, where a server answers."""


@contextmanager
def progress(*, json_lines: bool = False) -> Iterator[OnTick]:
    """A callback that shows ticks for as long as the block lasts."""
    listener = LISTENER.get()
    if listener is not None:
        yield listener
    elif json_lines:
        yield _json_line
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        line = _MovingLine()
        try:
            yield line.tick
        finally:
            line.close()
    else:
        yield _PlainLines().tick


def _json_line(tick: Tick) -> None:
    sys.stdout.write(json.dumps(vars(tick), allow_nan=False, default=str) + "\n")
    sys.stdout.flush()


class Words:
    """`exp_0003 training 1:05  step 40/200  mid ▁▃▆ 0.620  loss 0.512  lr 1e-3`; the folder is read once a second."""

    def __init__(self) -> None:
        self._read_at = 0.0
        self._folder = ""
        self._said: list[str] = []

    def of(self, tick: Tick) -> str:
        minutes, seconds = divmod(int(tick.seconds), 60)
        parts = [f"{tick.experiment} {tick.stage} {minutes}:{seconds:02d}"]
        parts += [f"{key} {value}" for key in ("done", "total") if isinstance(value := tick.metrics.get(key), int)]
        return "  ".join([*parts, *self._vitals(tick)])

    def _vitals(self, tick: Tick) -> list[str]:
        if not tick.folder:
            return []
        if tick.folder != self._folder or time.monotonic() - self._read_at >= LOOK_EVERY_S:
            self._folder, self._read_at = tick.folder, time.monotonic()
            found = import_module("evo.runner.vitals").read_vitals(AttemptFolder(Path(tick.folder)))
            self._said = import_module("evo.cli.live.vitals").vital_words(found)
        return self._said


class _PlainLines:
    def __init__(self) -> None:
        self._last = time.monotonic()
        self._words = Words()

    def tick(self, tick: Tick) -> None:
        if time.monotonic() - self._last >= EVERY_S:
            self._last = time.monotonic()
            sys.stderr.write(self._words.of(tick) + "\n")
            sys.stderr.flush()


class _MovingLine:
    """One rich status line; rich is imported when there is something to draw."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._status: object | None = None
        self._words = Words()

    def tick(self, tick: Tick) -> None:
        if self._status is None and time.monotonic() - self._start < FIRST_S:
            return
        from rich.console import Console
        from rich.status import Status
        from rich.text import Text

        console = Console(stderr=True)
        line = Text(self._words.of(tick), no_wrap=True, overflow="ellipsis")
        line.truncate(max(8, console.width - 3), overflow="ellipsis")
        if not isinstance(self._status, Status):
            self._status = Status(line, console=console)
            self._status.start()
        self._status.update(line)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()  # type: ignore[attr-defined]
