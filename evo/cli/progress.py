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

from evo.ops.progress import OnTick, Tick

EVERY_S = 30.0
FIRST_S = 0.4
"""A run shorter than this shows nothing: drawing would cost more than it tells."""


@contextmanager
def progress(*, json_lines: bool = False) -> Iterator[OnTick]:
    """A callback that shows ticks for as long as the block lasts."""
    if json_lines:
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


def words(tick: Tick) -> str:
    """`exp_0003 training 1:05  step 40  loss 0.512  lr 0.0010`"""
    minutes, seconds = divmod(int(tick.seconds), 60)
    parts = [f"{tick.experiment} {tick.stage} {minutes}:{seconds:02d}"]
    for key in ("step", "loss", "reward", "learning_rate", "done", "total"):
        value = tick.metrics.get(key)
        if isinstance(value, (int, float)):
            parts.append(f"{key} {value:.4g}")
    return "  ".join(parts)


class _PlainLines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def tick(self, tick: Tick) -> None:
        if time.monotonic() - self._last >= EVERY_S:
            self._last = time.monotonic()
            sys.stderr.write(words(tick) + "\n")
            sys.stderr.flush()


class _MovingLine:
    """One rich status line; rich is imported when there is something to draw."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._status: object | None = None

    def tick(self, tick: Tick) -> None:
        if self._status is None and time.monotonic() - self._start < FIRST_S:
            return
        from rich.console import Console
        from rich.status import Status

        if not isinstance(self._status, Status):
            self._status = Status(words(tick), console=Console(stderr=True))
            self._status.start()
        self._status.update(words(tick))

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()  # type: ignore[attr-defined]
