"""A line about how far an evaluation is, every half minute, for a log that nobody may be watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

Thing = TypeVar("Thing")
EVERY_S = 30.0


def with_progress(
    things: Iterable[Thing],
    total: int,
    *,
    out: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Thing]:
    """`things` as they come; beside them lines such as `evaluated 120/300, 4.1/s`."""
    began = last = clock()
    for done, thing in enumerate(things, start=1):
        yield thing
        now = clock()
        if now - last >= EVERY_S:
            last = now
            (out or sys.stderr).write(f"evaluated {done}/{total}, {done / (now - began):.1f}/s\n")
