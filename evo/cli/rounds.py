"""A loop on a terminal: its events as lines, and below them one line that moves with what runs now.

Invariant: standard output is touched under `--json-lines` alone. Where standard error is no terminal, what runs is a
plain line every ten minutes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from evo.cli.blocks import printable_lines
from evo.cli.output import json_text, say, warn
from evo.cli.progress import Words
from evo.domain.loop import Loop, Pick
from evo.domain.views import as_data
from evo.ops.loop.driver import Moment
from evo.report.loop import event_view

EVERY_S = 600.0
_VITALS = 3
"""Words of each run, beside its name, stage and time: several stand on one line."""


class Rounds(Protocol):
    def tell(self, event: str, loop: Loop, message: str, pick: Pick | None) -> None: ...

    def watch(self, moment: Moment) -> None: ...


@contextmanager
def rounds(*, json_lines: bool) -> Iterator[Rounds]:
    if json_lines:
        yield _JsonLines()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        screen = _Screen()
        try:
            yield screen
        finally:
            screen.close()
    else:
        yield _Plain()


class MomentWords:
    """`3/12  best exp_0002 0.580  exp_0005 training 1:05  step 40/200  exp_0006 evaluating 0:02`"""

    def __init__(self) -> None:
        self._of: dict[str, Words] = {}

    def of(self, moment: Moment) -> str:
        number = f"{moment.made}" if moment.wanted is None else f"{moment.made}/{moment.wanted}"
        best = "" if moment.score is None else f"best {moment.best} {moment.score:.3f}"
        self._of = {tick.experiment: self._of.get(tick.experiment, Words()) for tick in moment.running}
        running = ["  ".join(self._of[tick.experiment].of(tick).split("  ")[: _VITALS + 1]) for tick in moment.running]
        return "  ".join(word for word in (number, best, *(running or ["thinks"])) if word)


class _JsonLines:
    def tell(self, event: str, loop: Loop, message: str, pick: Pick | None) -> None:
        say(json_text(as_data(event_view(event, loop, message, pick))))
        sys.stdout.flush()

    def watch(self, moment: Moment) -> None:
        """Scripts read the heartbeat."""


class _Plain:
    def __init__(self) -> None:
        self._last = time.monotonic()
        self._words = MomentWords()

    def tell(self, event: str, loop: Loop, message: str, pick: Pick | None) -> None:
        del event, loop, pick
        warn(message)
        sys.stderr.flush()

    def watch(self, moment: Moment) -> None:
        if time.monotonic() - self._last >= EVERY_S:
            self._last = time.monotonic()
            warn(self._words.of(moment))


class _Screen:
    """One rich status line; rich is imported when there is something to draw."""

    def __init__(self) -> None:
        self._status: Any = None
        self._words = MomentWords()

    def tell(self, event: str, loop: Loop, message: str, pick: Pick | None) -> None:
        del event, loop
        if self._status is None:
            warn(message)
            return
        style = "bold" if pick is not None and pick.told.get("is_best") else None
        line = printable_lines(message)
        self._status.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def watch(self, moment: Moment) -> None:
        from rich.console import Console
        from rich.status import Status
        from rich.text import Text

        console = Console(stderr=True) if self._status is None else self._status.console
        line = Text(self._words.of(moment), no_wrap=True, overflow="ellipsis")
        line.truncate(max(8, console.width - 3), overflow="ellipsis")
        if self._status is None:
            self._status = Status(line, console=console)
            self._status.start()
        self._status.update(line)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
