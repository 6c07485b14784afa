"""Drawing the screen while something else works: eight times a second, from a thread with a read-only session.

Invariant: the drawing thread only reads; when it cannot read for a moment (a lock, a database not there yet) the last
picture stays. The terminal is given back as it was, whatever ends the work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live

from evo.cli.live.reader import LiveReader
from evo.cli.live.screen import frame
from evo.cli.live.state import Work
from evo.errors import EvoError
from evo.ops.progress import Tick
from evo.session import open_session

FRAMES_PER_SECOND = 8
ASIDE = ("held-out", "vault", "re-scoring", "smoke")
"""Stages that the store knows nothing of: they are told by ticks."""
FORGET_AFTER_S = 2.0


def can_draw(stream: TextIO) -> bool:
    """True where a screen can be drawn: a terminal that moves its cursor, has colours and knows Unicode."""
    wants_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"
    is_unicode = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return stream.isatty() and not wants_plain and is_unicode


class Screen:
    """What the worker tells the drawing thread; every assignment is one object, so no lock is needed."""

    def __init__(self) -> None:
        self._tick: tuple[float, Tick] | None = None
        self._message = ""
        self.closing = threading.Event()

    def tick(self, tick: Tick) -> None:
        self._tick = (time.monotonic(), tick)

    def say(self, message: str) -> None:
        self._message = message

    @property
    def message(self) -> str:
        return self._message

    @property
    def aside(self) -> Work | None:
        """Work that only ticks know of, while they come."""
        if self._tick is None:
            return None
        at, tick = self._tick
        if tick.stage not in ASIDE or time.monotonic() - at > FORGET_AFTER_S:
            return None
        return Work(tick.experiment, tick.stage, tick.seconds)


@contextlib.contextmanager
def shown(root: Path, *, stream: TextIO | None = None) -> Iterator[Screen]:
    """The live screen of the workspace at `root`, on standard error, for as long as the block lasts."""
    console = Console(file=stream or sys.stderr, highlight=False)
    screen = Screen()
    with (
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
        ThreadPoolExecutor(1, thread_name_prefix="evo-live") as pool,
    ):
        drawing = pool.submit(draw, root, live, screen)
        try:
            yield screen
        finally:
            screen.closing.set()
            drawing.result()


def draw(root: Path, live: Live, screen: Screen) -> None:
    """Until the screen closes: read, draw, wait."""
    began = time.monotonic()
    with open_session(root, readonly=True) as session:
        reader = LiveReader(session)
        while not screen.closing.is_set():
            due = time.monotonic() + 1 / FRAMES_PER_SECOND
            with contextlib.suppress(EvoError, sqlite3.OperationalError):
                state = reader.read(elapsed_s=time.monotonic() - began, message=screen.message, aside=screen.aside)
                width, height = live.console.size
                live.update(Group(*frame(state, width, height)), refresh=True)
            screen.closing.wait(max(0.0, due - time.monotonic()))
