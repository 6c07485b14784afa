"""`evo wait --for ideas|gpu-idle`: until there is something to do it with.

Invariant: read-only; a wait that expires is Busy (exit 9), and says what it saw last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from evo.domain.views import Hint, MessageView, Reply
from evo.errors import Busy, Refused
from evo.runner import leases
from evo.session import Session
from evo.store import listings

PAUSE_S = 0.2
Seen = TypeVar("Seen")


def for_ideas(session: Session, seconds: float) -> Reply:
    """Until an idea waits to be taken."""
    count = _until(lambda: listings.open_ideas(session.db), seconds, "no idea waits")
    return Reply(MessageView(f"{count} ideas wait", {"ideas": count}), (Hint("evo brief", "lists them"),))


def for_gpu(session: Session, seconds: float) -> Reply:
    """Until no run of this user holds one of the GPUs that are visible. Refused where there is none."""
    del session
    visible = leases.visible_gpus(os.environ)
    if not visible:
        raise Refused("no GPU is visible here", hint="evo wait waits for experiments")
    free = _until(lambda: idle_gpus(visible), seconds, f"all of {len(visible)} GPUs are held by runs")
    return Reply(MessageView(f"idle: GPU {', '.join(free)}", {"gpus": free}), (Hint("evo run --next", "uses it"),))


def idle_gpus(visible: list[str]) -> list[str]:
    """Those whose lease nobody holds."""
    free = []
    for name in visible:
        held = leases.take(leases.gpu_folder(), [name], count=1)
        if held is not None:
            leases.give_back(held)
            free.append(name)
    return free


def _until(look: Callable[[], Seen], seconds: float, otherwise: str) -> Seen:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() >= deadline:
            raise Busy(f"{otherwise}, after {seconds:g} s", hint="evo wait again, or evo next")
        time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
    return seen


WAITS: dict[str, Callable[[Session, float], Reply]] = {"ideas": for_ideas, "gpu-idle": for_gpu}
