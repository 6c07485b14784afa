"""`evo loop`: plan, new, run, gate, learn, until a stop policy says so; a free worker takes the next pick at once.

Invariant: the loop keeps nothing in memory that is not in the store first, so after any kill it goes on where it
stopped: picks that were planned are made and run, none twice. It ends as completed only by its stop policy.
"""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from evo.domain.experiment import ROOT
from evo.domain.job import ProcessId
from evo.domain.loop import Loop, LoopOptions, LoopStatus, Pick
from evo.errors import BudgetSpent, Busy, EvoError, Refused
from evo.files import write_text
from evo.lightdata import dataclass, replace
from evo.ops.lifecycle import abort
from evo.ops.loop import pages, stop
from evo.ops.loop.crew import Crew
from evo.ops.loop.grounds import Ground, grounds
from evo.ops.loop.pick import IID, Proposal, plan_next
from evo.ops.loop.settle import arguments, fail, make, refused_baseline, said, settle
from evo.runner import process
from evo.session import Session
from evo.store import experiments, loops
from evo.validation import plain
from evo.workspace.repository import head

Tell = Callable[[str, Loop, str, Pick | None], None]
"""(event, loop, one sentence, the pick that it is about)."""
POLL_S = 0.03
MOST_AGAIN = 3
"""How often a run that was cut off is taken up again before it counts as failed."""


@dataclass(frozen=True)
class LoopRequest:
    options: LoopOptions
    said: frozenset[str] = frozenset()
    """Names of the options that were given: the others a loop that goes on keeps as it had them."""
    key: str | None = None
    leaves_running: bool = False
    """On SIGTERM and Ctrl-C runs go on by themselves instead of being ended."""
    is_fresh: bool = False
    """A new loop, whatever became of the last one."""


def loop(session: Session, request: LoopRequest, tell: Tell) -> Loop:
    """Begin a loop, or go on with the last one where its end is not reached; the loop as it ended.
    One that is at its end is returned, and nothing is started.

    Busy: another one is at work. BudgetSpent, Refused: it cannot go on; what it did is kept, and it can be resumed.
    """
    last = last_of(session, request)
    options = merged(session, request, last)
    if last is not None and last.status == "completed" and stop.is_over(session, options, picks_of(session, last)):
        tell("over", last, f"loop {last.id} was completed before: {last.reason}; nothing was started", None)
        return last
    begun = enter(session, request, options, last, tell)
    with terminable():
        try:
            reason = Driver(session, begun, request, tell).go()
        except KeyboardInterrupt:
            return leave(session, begun, "stopped", "stopped by its person", tell)
        except EvoError as error:
            leave(session, begun, "error", error.message, tell)
            raise
        except BaseException as error:
            write_text(pages.home(session) / "error.log", traceback.format_exc())
            leave(session, begun, "error", f"{type(error).__name__}: {error}", tell)
            raise
    return leave(session, begun, "completed", reason, tell)


def picks_of(session: Session, known: Loop) -> list[Pick]:
    return loops.picks(session.db, known.id)


def last_of(session: Session, request: LoopRequest) -> Loop | None:
    """The loop that the words mean: that of the key, else the last, unless it is completed and searched otherwise.

    Busy where it is at work.
    """
    if request.key is not None:
        last = loops.with_key(session.db, request.key)
    else:
        last = None if request.is_fresh else loops.last(session.db)
    if (running := loops.last(session.db)) is not None and running.status == "running" and is_alive(running):
        raise Busy(f"loop {running.id} is at work", hint="evo status; PLAN.md says what it does")
    if last is None or last.status != "completed" or request.key is not None:
        return last
    named = request.said & {"policy", "ideator", "recipes", "seed"}
    is_same = all(getattr(request.options, name) == getattr(last.options, name) for name in named)
    return last if is_same else None


def merged(session: Session, request: LoopRequest, last: Loop | None) -> LoopOptions:
    """What was said, over what the loop had before. UsageError where the stop policy is none."""
    if last is None:
        return stop.checked(session, request.options)
    return stop.checked(
        session, replace(last.options, **{name: getattr(request.options, name) for name in request.said})
    )


def enter(session: Session, request: LoopRequest, options: LoopOptions, last: Loop | None, tell: Tell) -> Loop:
    """The loop that goes on, or a new one."""
    me = json.dumps(plain(process.current()))
    if last is not None:
        taken = loops.take_over(session.db, last, options, controller=me)
        n = len(picks_of(session, taken))
        tell("resumed", taken, f"loop {taken.id} goes on after {n} picks", None)
        return taken
    gone = loops.last(session.db)
    if gone is not None and gone.status == "running":
        loops.end(session.db, gone.id, "stopped", "its process was gone")
    commit = head(session.layout.root)
    begun = loops.begin(session.db, options, key=request.key, controller=me, start_commit=commit)
    tell("began", begun, f"loop {begun.id} begins: until {begun.options.until}", None)
    return begun


def is_alive(known: Loop) -> bool:
    try:
        controller = ProcessId(**json.loads(known.controller))
    except (ValueError, TypeError):
        return False
    return process.is_here(controller) and process.is_alive(controller)


def leave(session: Session, begun: Loop, status: LoopStatus, reason: str, tell: Tell) -> Loop:
    """Pages first, the row last: a kill in between leaves a loop that is resumed and ends at once."""
    ended = replace(begun, status=status, reason=reason)
    iteration = len(stop.ended(loops.picks(session.db, begun.id)))
    pages.write_pages(session, ended)
    pages.commit_end(session, ended)
    is_done = status == "completed"
    pages.beat(session, "completed" if is_done else "error", iteration=iteration, error="" if is_done else reason)
    loops.end(session.db, begun.id, status, reason)
    tell("over", ended, f"loop {begun.id} {status}: {reason}", None)
    return ended


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM is as Ctrl-C is."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


class Driver:
    """One process at one loop."""

    def __init__(self, session: Session, begun: Loop, request: LoopRequest, tell: Tell) -> None:
        self.session, self.loop, self.request, self.tell = session, begun, request, tell
        folder, slots = pages.home(session) / "workers", session.config.run.slots
        self.crew = Crew(session.layout.root, folder, size=begun.options.workers, slots=slots)
        self.again: dict[int, int] = {}
        self.before = {pick.k for pick in picks_of(session, begun) if not pick.is_open}
        """Ended before this process: what they failed of may be mended."""
        self.spent = ""
        self.blocked = ""

    def go(self) -> str:
        """Why the loop is done. Refused, BudgetSpent: why it cannot go on."""
        try:
            self.baseline()
            stop.checked(self.session, self.loop.options)
            self.take_up()
            while not (self.crew.is_idle and self.has_ended()):
                for done in self.crew.reap():
                    self.end(self.pick(done.k), done)
                self.fill()
                time.sleep(POLL_S)
        except BaseException:
            self.drop_runs()
            raise
        return stop.is_over(self.session, self.loop.options, self.picks())

    def picks(self) -> list[Pick]:
        return loops.picks(self.session.db, self.loop.id)

    def pick(self, k: int) -> Pick:
        return loops.get(self.session.db, self.loop.id, k)

    def baseline(self) -> None:
        """Score exp_0000 first: every gain is counted from it."""
        if experiments.get(self.session.db, ROOT).score_mean is not None:
            return
        self.crew.start(0, ROOT)
        while not self.crew.is_idle:
            for done in self.crew.reap():
                if experiments.get(self.session.db, ROOT).score_mean is None:
                    raise refused_baseline(done)
            time.sleep(POLL_S)

    def take_up(self) -> None:
        """What an earlier process has begun: picks without an end are made and run, the others told."""
        for pick in self.picks():
            if pick.is_open:
                self.start(pick)
            elif pick.commit is None:
                self.publish(pick)

    def has_ended(self) -> bool:
        """Once nothing runs: True by the stop policy. Refused or BudgetSpent where it merely cannot go on."""
        if self.spent:
            raise BudgetSpent(self.spent, hint="evo budget; raise the cap, then evo loop goes on")
        if stop.is_over(self.session, self.loop.options, self.picks()):
            return True
        if self.blocked:
            raise Refused(f"blocked: {self.blocked}", hint="evo next")
        return False

    def fill(self) -> None:
        """Give every free worker a pick."""
        while self.crew.has_room and not self.spent and not self.blocked:
            picks = self.picks()
            if stop.is_over(self.session, self.loop.options, picks):
                return
            self.blocked = stop.stuck([pick for pick in picks if pick.k not in self.before])
            found = None if self.blocked else plan_one(self.session, self.loop, picks)
            if found is not None:
                self.start(loops.plan(self.session.db, self.loop.id, found.kind, found.plan))
            elif not self.blocked and self.crew.is_idle:
                self.blocked = "nothing is left to try: every recipe's values were tried, or none has ranges"
            else:
                return

    def start(self, pick: Pick) -> None:
        made = make(self.session, self.loop, pick)
        if made.is_open and made.experiment is not None:
            self.crew.start(made.k, made.experiment, *arguments(made))
            plan = made.plan
            why = "" if plan.why in plan.hypothesis else f" ({plan.why})"
            self.tell("picked", self.loop, f"{made.experiment} from {plan.parent}: {plan.hypothesis}{why}", made)
            pages.beat(self.session, "running", iteration=made.k)
        else:
            self.publish(made)

    def end(self, pick: Pick, done: Any) -> None:
        ended, then = settle(self.session, self.loop, pick, done)
        if then == "spent":
            self.spent = "the budget is spent"
        elif then == "again":
            self.again[pick.k] = self.again.get(pick.k, 0) + 1
            if self.again[pick.k] > MOST_AGAIN:  # a night of search does not hang on one run
                why = f"taken up again {MOST_AGAIN} times, and cut off or not evaluated each time: {said(done)[1]}"
                self.publish(fail(self.session, pick, "failed", "cut_off", why))
                return
            self.crew.start(pick.k, done.experiment, *arguments(pick))
        else:
            self.publish(ended)

    def publish(self, pick: Pick) -> None:
        """Pages, heartbeat and commit of an iteration that has ended."""
        pages.write_pages(self.session, self.loop)
        pages.beat(self.session, "running", iteration=pick.k)
        extra = [f"{import_module('evo.ops.loop.data').FOLDER}"] if pick.plan.slices else []
        loops.set_commit(self.session.db, pick, pages.commit(self.session, pick, extra))
        self.tell("ended", self.loop, pages.told_words(pick), pick)

    def drop_runs(self) -> None:
        """Of a loop that ends early: its runs are ended, and run again when it is resumed; or they go on alone."""
        if self.request.leaves_running:
            self.crew.leave()
            return
        for worker in self.crew.running:
            try:
                abort(self.session, worker.experiment, patience_s=20.0)
            except EvoError:  # it had not begun, or has just ended
                worker.process.terminate()
        self.crew.end()


def plan_one(session: Session, begun: Loop, picks: list[Pick]) -> Proposal | None:
    """An idea where one is called for, training data by slice on a miss, else the next move."""
    known = grounds(session, begun.options.recipes)
    move = plan_next(session, begun, picks, known)
    if begun.options.policy == IID:
        return move
    ask = import_module("evo.ops.loop.ask")  # the knowledge base and its sources
    found: Proposal | None = ask.asked_idea(session, begun, known, move)
    return found or by_slice(session, known, picks) or move


def by_slice(session: Session, known: list[Ground], picks: list[Pick]) -> Proposal | None:
    """After a miss, once for each best experiment: its recipe again, with the rows of its weak slices twice."""
    with_data = [ground for ground in known if ground.config.data.train]
    if not with_data or stop.rounds_without_gain(picks) < stop.MISS:
        return None
    found: Proposal | None = import_module("evo.ops.loop.data").proposal(session, with_data, picks)
    return found
