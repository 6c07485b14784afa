"""One process at a time verifies an experiment or asks the gate about it.

Invariant: a turn is an flock, so it ends with its holder, however that dies, and no two looks at the same experiment
take each other's files or findings away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from evo.errors import Busy
from evo.ops.progress import OnTick, Tick
from evo.runner import leases
from evo.session import Session

_PAUSE_S = 0.05


@contextmanager
def turn(session: Session, experiment: str, *, on_tick: OnTick | None = None) -> Iterator[None]:
    """The experiment is this process's within the block. Where another is at it: waits and tells `on_tick`, or is Busy
    where there is nobody to tell."""
    begun = time.monotonic()
    while (held := leases.take(_folder(session), [experiment], count=1)) is None:
        if on_tick is None:
            raise Busy(f"another process is at {experiment}: it verifies it or asks the gate", hint="try again")
        on_tick(Tick(experiment, 0, "waiting", time.monotonic() - begun))
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        leases.give_back(held)


def is_taken(session: Session, experiment: str) -> bool:
    held = leases.take(_folder(session), [experiment], count=1)
    leases.give_back(held or ())
    return held is None


def _folder(session: Session) -> str:
    return str(session.layout.cache / "turns")
