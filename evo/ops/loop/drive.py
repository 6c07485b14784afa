"""`evo loop`: which loop is meant, who may be at it, and how it is left.

Invariant: nothing is begun or taken up before its words are found good; however it is left, pages, heartbeat and row
say so, and it ends as completed only by its stop policy.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from evo.domain.job import ProcessId
from evo.domain.loop import Loop, LoopOptions, LoopStatus, Pick
from evo.errors import Busy, EvoError, Refused
from evo.files import write_text
from evo.lightdata import dataclass, replace
from evo.ops.loop import commits, pages, stop
from evo.ops.loop.ask import refuse_without_means
from evo.ops.loop.driver import Driver, Tell, Watch
from evo.ops.loop.grounds import RANGES, grounds, reasons
from evo.ops.loop.ready import in_words, refuse_unready
from evo.runner import process
from evo.session import Session
from evo.store import loops
from evo.validation import plain
from evo.workspace.heartbeat import is_beating
from evo.workspace.repository import head

WHY_STOPPED: dict[int, str] = {signal.SIGTERM: "stopped by its person", signal.SIGHUP: "its terminal was closed"}


@dataclass(frozen=True)
class LoopRequest:
    options: LoopOptions
    said: frozenset[str] = frozenset()
    """Names of the options that were given: the others a loop that goes on keeps as it had them."""
    key: str | None = None
    leaves_running: bool = False
    """When it is stopped runs go on by themselves instead of being ended."""
    is_fresh: bool = False
    """A new loop, whatever became of the last one."""


def loop(session: Session, request: LoopRequest, tell: Tell, watch: Watch | None = None) -> Loop:
    """Begin a loop, or go on with the last one where its end is not reached; the loop as it ended.
    One that is at its end is returned, and nothing is started. `watch` is told once a second what runs.

    Busy: another one is at work. BudgetSpent, Refused: it cannot go on; what it did is kept, and it can be resumed.
    """
    last = last_of(session, request)
    options = merged(session, request, last)
    if last is not None and last.status == "completed" and stop.is_over(session, options, picks_of(session, last)):
        tell("over", last, f"loop {last.id} was completed before: {last.reason}; nothing was started", None)
        return last
    if "ideator" in request.said and options.ideator not in ("kb", "none"):
        refuse_without_means(session, options.ideator)
    if not grounds(session, options.recipes):
        raise Refused(f"nothing to try: {reasons(session, options.recipes)}", hint=RANGES.format("NAME"))
    refuse_unready(session)
    begun = enter(session, request, options, last, tell)
    status: LoopStatus = "completed"
    with terminable():
        try:
            with in_words(session):
                reason = Driver(session, begun, tell, watch=watch, leaves_running=request.leaves_running).go()
        except KeyboardInterrupt as stop_word:
            status, reason = "stopped", str(stop_word) or "stopped by its person"
        except BaseException as error:
            give_up(session, begun, error, tell)
            raise
        with in_words(session):
            return leave(session, begun, status, reason, tell)


def picks_of(session: Session, known: Loop) -> list[Pick]:
    return loops.picks(session.db, known.id)


def last_of(session: Session, request: LoopRequest) -> Loop | None:
    """The loop that the words mean: that of the key, else the last, unless it searched otherwise: a control that goes
    on with moves is none.

    Busy where it is at work. Refused where the key belongs to another search.
    """
    if request.key is not None:
        last = loops.with_key(session.db, request.key)
        if last is not None and (other := otherwise(request, last)):
            raise Refused(
                f"the key {request.key} belongs to loop {last.id}, which has another {other}",
                hint="another key, or leave the option out",
            )
    else:
        last = None if request.is_fresh else loops.last(session.db)
    if (running := loops.last(session.db)) is not None and running.status == "running":
        refuse_while_at_work(session, running)
    is_other = last is not None and request.key is None and otherwise(request, last)
    return None if is_other else last


def otherwise(request: LoopRequest, last: Loop) -> str:
    """What makes the words those of another search; empty where they are those of this one, to another end."""
    named = sorted(request.said & {"policy", "ideator", "recipes", "seed"})
    return next((name for name in named if getattr(request.options, name) != getattr(last.options, name)), "")


def merged(session: Session, request: LoopRequest, last: Loop | None) -> LoopOptions:
    """What was said, over what the loop had before; an end that was said takes the place of the other kind of end.
    UsageError where the stop policy is none."""
    if last is None:
        return stop.checked(session, request.options)
    said = set(request.said)
    if "until" in said:
        said.add("experiments")
    elif "experiments" in said and last.options.until == "never":
        said.add("until")
    return stop.checked(session, replace(last.options, **{name: getattr(request.options, name) for name in said}))


def enter(session: Session, request: LoopRequest, options: LoopOptions, last: Loop | None, tell: Tell) -> Loop:
    """The loop that goes on, or a new one."""
    me = json.dumps(plain(process.current()))
    gone = loops.last(session.db)
    if gone is not None and gone.status == "running" and (last is None or gone.id != last.id):
        refuse_while_at_work(session, gone)  # one may have begun since the words were read
        loops.end(session.db, gone, "stopped", "its process was gone")
    if last is not None:
        taken = loops.take_over(session.db, last, options, controller=me)
        n = len(picks_of(session, taken))
        tell("resumed", taken, f"loop {taken.id} goes on after {n} picks", None)
        return taken
    commit = head(session.layout.root)
    begun = loops.begin(session.db, options, key=request.key, controller=me, start_commit=commit)
    left = "" if gone is None or gone.status == "completed" else f"; {left_words(session, request, gone)}"
    tell("began", begun, f"loop {begun.id} begins: until {begun.options.until}{left}", None)
    return begun


def left_words(session: Session, request: LoopRequest, gone: Loop) -> str:
    """What becomes of a loop that did not reach its end: `loop 1, with another policy, is left: evo run exp_0003`"""
    why = f", with another {other}," if (other := otherwise(request, gone)) else ""
    planned = [pick.experiment for pick in picks_of(session, gone) if pick.is_open and pick.experiment is not None]
    return f"loop {gone.id}{why} is left as it is" + (f": {', '.join(planned)} did not run" if planned else "")


def refuse_while_at_work(session: Session, running: Loop) -> None:
    if not is_alive(session, running):
        return
    pid = json.loads(running.controller)["pid"]
    if is_beating(session.layout):
        hint = "evo status; PLAN.md says what it does"
    else:
        hint = f"it has said nothing for a minute: kill -CONT {pid} if it was stopped, kill {pid} to go on without it"
    raise Busy(f"loop {running.id} is at work (process {pid})", hint=hint)


def is_alive(session: Session, known: Loop) -> bool:
    """By its process; where that is another machine's, by its heartbeat."""
    try:
        controller = ProcessId(**json.loads(known.controller))
    except (ValueError, TypeError):
        return False
    return process.is_alive(controller) if process.is_here(controller) else is_beating(session.layout)


def give_up(session: Session, begun: Loop, error: BaseException, tell: Tell) -> None:
    """Leave it as an error. What cannot be written now, on a full disk, hides no error: a loop whose row says that it
    runs, and whose process is gone, goes on all the same."""
    why = error.message if isinstance(error, EvoError) else f"{type(error).__name__}: {error}"
    if error.__cause__ is not None or not isinstance(error, EvoError):
        with suppress(OSError):
            write_text(session.layout.loop / "error.log", traceback.format_exc())
    with suppress(OSError):
        pages.beat(session, begun, "error", error=why)
    try:
        leave(session, begun, "error", why, tell)
    except (EvoError, OSError, sqlite3.Error):
        with suppress(sqlite3.Error, EvoError):
            loops.end(session.db, begun, "error", why)


def leave(session: Session, begun: Loop, status: LoopStatus, reason: str, tell: Tell) -> Loop:
    """Pages first, the row last: a kill in between leaves a loop that is resumed and ends at once."""
    ended = replace(begun, status=status, reason=reason)
    pages.write_pages(session, ended)
    commits.commit_end(session, ended)
    is_done = status == "completed"
    pages.beat(session, begun, "completed" if is_done else "error", error="" if is_done else reason)
    loops.end(session.db, begun, status, reason)
    tell("over", ended, f"loop {begun.id} {status}: {reason}", None)
    return ended


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP (its terminal is gone) are as Ctrl-C is; under nohup the loop goes on."""

    def interrupt(number: int, _: Any) -> None:
        raise KeyboardInterrupt(WHY_STOPPED.get(number, ""))

    ours = [number for number in WHY_STOPPED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
