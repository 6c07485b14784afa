"""evo watch."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from evo.cli.live.show import can_draw, shown
from evo.cli.options import leaf
from evo.cli.output import say, warn
from evo.cli.render.runs import ended_line, watched_line
from evo.domain.run_views import EndedView, WatchedView
from evo.domain.views import Reply, as_data
from evo.report.watch import ended_view, watch_reply, watch_view
from evo.session import open_session

app = leaf()

LOOK_EVERY_S = 1.0
SAY_EVERY_S = 30.0
Event = WatchedView | EndedView


@app.command()
def watch(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="What runs at this moment, and end.")] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Each change as one JSON line.")] = False,
) -> Reply | None:
    """evo watch

    Follow every running experiment, whoever started it: the live screen on a terminal, until Ctrl-C, which leaves the
    runs alone. In a pipe a line for each run every 30 seconds, until none is left. --json shows this moment.
    """
    if once or (context.obj and not json_lines):
        return watch_reply()
    with contextlib.suppress(KeyboardInterrupt):
        if json_lines:
            follow(lambda event: say(json.dumps(as_data(event), allow_nan=False)), every_s=0.0)
        elif sys.stdout.isatty() and can_draw(sys.stderr):
            draw()
        else:
            follow(lambda event: say(line_of(event)), every_s=SAY_EVERY_S)
    return None


def draw() -> None:
    """Until somebody interrupts."""
    with open_session(readonly=True) as session:
        root = session.layout.root
    with shown(root) as screen:
        screen.say("Ctrl-C ends this view and leaves the runs alone")
        threading.Event().wait()


def line_of(event: Event) -> str:
    return watched_line(event) if isinstance(event, WatchedView) else ended_line(event)


def follow(tell: Callable[[Event], None], *, every_s: float) -> None:
    """Tell of each run when it begins, when its stage or step has changed and `every_s` are over, and when it ends.

    Ends when nothing runs, and says on standard error that nothing did where that is so from the start.
    """
    told: dict[str, tuple[float, tuple[object, ...]]] = {}
    with open_session(readonly=True) as session:
        if not watch_view(session).running:
            warn("nothing is running")
        while True:
            now = {view.id: view for view in watch_view(session).running}
            for name in [name for name in told if name not in now]:
                del told[name]
                tell(ended_view(session, name))
            for view in news(now, told, every_s=every_s):
                tell(view)
            sys.stdout.flush()
            if not now:
                return
            time.sleep(LOOK_EVERY_S)


def news(
    now: dict[str, WatchedView], told: dict[str, tuple[float, tuple[object, ...]]], *, every_s: float
) -> Iterator[WatchedView]:
    for name, view in now.items():
        facts = (view.attempt, view.stage, view.vitals.step, len(view.vitals.mids))
        at, known = told.get(name, (0.0, ()))
        is_new_stage = known[:2] != facts[:2]
        if is_new_stage or (known != facts and time.monotonic() - at >= every_s):
            told[name] = (time.monotonic(), facts)
            yield view
