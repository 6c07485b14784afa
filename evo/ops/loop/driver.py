"""One process at one loop: plan, new, run, gate, learn, and a free worker takes the next pick at once.

Invariant: the loop keeps nothing in memory that is not in the store first, so after any kill it goes on where it
stopped: picks that were planned are made and run, none twice. The heartbeat beats, and runs that end are taken in,
while anything is awaited: a run, a model, a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from evo.clock import seconds_since
from evo.domain.experiment import ROOT
from evo.domain.loop import Loop, Pick
from evo.errors import BudgetSpent, Busy, EvoError, Refused
from evo.lightdata import dataclass, field, replace
from evo.ops.lifecycle import discard
from evo.ops.loop import commits, journal, lasting, pages, snapshot, stop
from evo.ops.loop.ask import Advice
from evo.ops.loop.crew import Crew, Done
from evo.ops.loop.gate import Gate
from evo.ops.loop.grounds import FOLDER, Ground, grounds, reasons
from evo.ops.loop.pick import IID, Proposal, plan_next
from evo.ops.loop.ready import sweep
from evo.ops.loop.settle import arguments, fail, has_score, make, refused_baseline, said, settle
from evo.ops.progress import Tick
from evo.ops.runs.collect import collect
from evo.runner import records
from evo.session import Session
from evo.store import attempts, experiments, gate_rows, loops
from evo.workspace.heartbeat import BEAT_S

Tell = Callable[[str, Loop, str, Pick | None], None]
"""(event, loop, one sentence, the pick that it is about)."""
POLL_S = 0.03
WATCH_S = 1.0
PATIENCE_S = 20.0
"""Beside the grace that a training has, before its end is not waited for any more."""
MOST_AGAIN = 3
"""How often a run that was cut off is taken up again before it counts as failed."""


@dataclass(frozen=True)
class Moment:
    """What a loop is at: `made` experiments of `wanted` (None: no such end), and what runs now."""

    made: int
    wanted: int | None
    best: str
    score: float | None
    running: list[Tick] = field(default_factory=list)


class Held(NamedTuple):
    code: str
    message: str


Watch = Callable[[Moment], None]


class Driver:
    """`watch` is told once a second what runs. `leaves_running`: when it ends early, runs go on by themselves."""

    def __init__(
        self, session: Session, begun: Loop, tell: Tell, *, watch: Watch | None = None, leaves_running: bool = False
    ) -> None:
        self.session, self.loop, self.tell, self.watch = session, begun, tell, watch
        self.leaves_running = leaves_running
        folder, slots = session.layout.loop / "workers", session.config.run.slots
        self.crew = Crew(session.layout.root, folder, size=begun.options.workers, slots=slots)
        self.again: dict[int, int] = {}
        self.before = {pick.k for pick in self.picks()}
        """Planned before this process: what they failed of may be mended."""
        self.waiting: list[Pick] = []
        """Begun by an earlier process."""
        self.held: dict[int, Held] = {}
        """Refused before they ran. Once another one has a score it was their values, and they have ended. Where nothing
        runs they stay open, and are tried once more when the loop goes on: their machine may be mended by then."""
        self.owed: list[tuple[Pick, list[str]]] = []
        """Ended and not committed, with files beside the pages."""
        self.told: set[str] = set()
        """Warnings, each of which is said once."""
        self.advice = Advice(session, begun)
        self.gate = Gate(session)
        self.longest_s = 0.0
        """Of the runs of this process."""
        self.halted: EvoError | None = None
        """Nothing more is started: the budget is spent, or nothing can be made. Its picks stay open."""
        self.blocked: Refused | None = None
        self.beaten = self.watched = float("-inf")

    def go(self) -> str:
        """Why the loop is done. Refused, BudgetSpent: why it cannot go on."""
        try:
            self.beat()
            self.baseline()
            stop.checked(self.session, self.loop.options)
            self.take_up()
            while not (self.crew.is_idle and (self.halted or not self.waiting) and self.has_ended()):
                for done in self.crew.reap():
                    self.longest_s = max(self.longest_s, done.seconds)
                    if done.k:
                        self.end(self.pick(done.k), done)
                    else:
                        self.answered(done)
                self.fill()
                self.wait()
        except BaseException:
            self.drop_runs()
            raise
        self.commit_owed(is_patient=True)
        return stop.is_over(self.session, self.loop.options, self.picks())

    def wait(self) -> None:
        """A moment, with a heartbeat and a look at what runs where one is due."""
        now = time.monotonic()
        if now - self.beaten >= BEAT_S:
            self.commit_owed()
            self.beat()
        if self.watch is not None and now - self.watched >= WATCH_S:
            self.watched = now
            self.watch(self.moment())
        time.sleep(POLL_S)

    def beat(self) -> None:
        self.beaten = time.monotonic()
        pages.beat(self.session, self.loop, "running")

    def moment(self) -> Moment:
        best = pages.best_of(self.session)
        ended = [pick for pick in self.picks() if not pick.is_open]
        running = [self.tick(worker.experiment) for worker in self.crew.running]
        score = None if best is None else best.score_mean
        return Moment(
            stop.made_by(ended), self.loop.options.experiments, ROOT if best is None else best.id, score, running
        )

    def tick(self, experiment: str) -> Tick:
        """How far a worker is, by what its run has left so far."""
        live = attempts.live_of(self.session.db, experiment)
        if live is None:
            stage = "at the gate" if attempts.of(self.session.db, experiment) else "starting"
            return Tick(experiment, 0, stage, 0.0)
        folder = self.session.layout.attempt(experiment, live.n)
        stage = (records.read_record(str(folder.supervisor)) or {}).get("stage", "queued")
        return Tick(experiment, live.n, str(stage), seconds_since(live.created_at), folder=str(folder.root))

    def picks(self) -> list[Pick]:
        return loops.picks(self.session.db, self.loop.id)

    def pick(self, k: int) -> Pick:
        return loops.get(self.session.db, self.loop.id, k)

    def baseline(self) -> None:
        """Score exp_0000 first: every gain is counted from it. A worker that was killed is started again."""
        if experiments.get(self.session.db, ROOT).score_mean is not None:
            return
        deaths = 0
        self.crew.start(0, ROOT)
        while not self.crew.is_idle:
            for done in self.crew.reap():
                self.longest_s = max(self.longest_s, done.seconds)
                if experiments.get(self.session.db, ROOT).score_mean is not None:
                    continue
                deaths += 1
                if not done.has_died or deaths > MOST_AGAIN:
                    raise refused_baseline(done)
                self.crew.start(0, ROOT)
            self.wait()

    def take_up(self) -> None:
        """What an earlier process has begun: picks without an end wait for a worker, the others are told."""
        sweep(self.session)
        for pick in self.picks():
            if pick.is_open:
                self.waiting.append(pick)
            elif pick.commit is None:
                self.publish(pick)

    def has_ended(self) -> bool:
        """Once nothing runs: True by the stop policy. Refused or BudgetSpent where it merely cannot go on. What
        was asked for is paid for, and its answer is awaited first."""
        if self.advice.is_under_way:
            return False
        if self.halted is not None:
            raise self.halted
        picks = self.picks()
        if stop.is_over(self.session, self.loop.options, picks):
            as_if = self.with_held(picks)
            if why := stop.barren(as_if):
                raise stop.blocked(why, as_if, hint="mend it; evo loop goes on")
            is_over = not self.held
            self.release()
            if is_over and (about := self.gate.due()):
                self.crew.ask(0, about, about=about)
                return False
            return is_over
        if self.blocked is not None:
            raise self.blocked
        return False

    def fill(self) -> None:
        """Give every free worker a pick."""
        while self.waiting and self.crew.room and not self.halted:
            self.start(self.waiting.pop(0))
        while self.crew.room > self.kept() and not self.halted and not self.blocked:
            picks = self.picks()
            if stop.is_over(self.session, self.loop.options, picks):
                return
            ours = [pick for pick in self.with_held(picks) if pick.k not in self.before]
            if why := stop.stuck(ours):
                self.blocked = stop.blocked(why, ours, hint="mend it; evo loop goes on")
                return
            if self.advice.ask():
                continue
            found = self.plan_one(picks)
            if found is not None:
                self.start(loops.plan(self.session.db, self.loop.id, found.kind, found.plan))
            elif self.crew.is_idle and not self.advice.is_under_way:
                why = reasons(self.session, self.loop.options.recipes)
                self.blocked = Refused(f"blocked: nothing is left to try: {why}", hint="evo next")
            else:
                return

    def kept(self) -> int:
        """Workers that wait for ideas."""
        return self.advice.kept(self.crew.size, longest_s=self.longest_s)

    def start(self, pick: Pick) -> None:
        try:
            made = make(self.session, self.loop, pick)
        except EvoError as error:  # what it was refused for may quote a log or a path, and the message goes to git
            hint = "; ".join(word for word in (error.message, error.hint, "evo loop goes on") if word)
            self.halted = Refused(f"blocked: the experiment of pick {pick.k} could not be made", hint=hint)
            return
        if made.is_open and made.experiment is not None:
            self.crew.start(made.k, made.experiment, *arguments(made))
            words = pages.reasoned(made.plan)
            self.tell("picked", self.loop, f"{made.experiment} from {made.plan.parent}: {words}", made)
            pages.write_plan(self.session, self.loop)
            self.beat()
        else:
            self.publish(made)

    def end(self, pick: Pick, done: Done) -> None:
        if has_score(self.session, pick, done.experiment) and (about := self.gate.due(done.experiment)):
            self.crew.ask(pick.k, done.experiment, about=about)  # whoever ran it was cut off before the gate
            return
        ended, then = settle(self.session, self.loop, pick, done)
        if then == "spent":
            hint = "evo budget; raise the cap, then evo loop goes on"
            self.halted = BudgetSpent("the budget is spent", hint=hint)
        elif then == "again":
            self.again[pick.k] = self.again.get(pick.k, 0) + 1
            if self.again[pick.k] > MOST_AGAIN:  # a night of search does not hang on one run
                why = f"taken up again {MOST_AGAIN} times, and cut off or not evaluated each time"
                why = ": ".join(filter(None, [why, said(done)[1]]))
                self.give_up(pick, "failed", Held("cut_off", why))
                return
            self.crew.start(pick.k, done.experiment, *arguments(pick))
        elif then == "held":
            self.held[pick.k] = Held(*said(done))
            self.tell("warning", self.loop, f"{done.experiment} was not run: {self.held[pick.k].message}", pick)
            if pick.k in self.before:
                self.release()
        else:
            self.publish(ended)
            if ended.outcome == "scored":
                self.release()

    def answered(self, done: Done) -> None:
        """The gate was asked once more before the loop ends."""
        known = gate_rows.certificate_of(self.session.db, done.experiment)
        verdict = "certified" if known is not None and known.passed else "not certified"
        words = f"{verdict} against {known.against}" if known is not None else f"{verdict}: {said(done)[1]}"
        certain = lasting.keep(self.session, journal.all_ended(self.session), memory=self.session.layout.loop)
        commits.commit_answer(self.session, f"{done.experiment} {verdict}", certain)
        self.tell("answered", self.loop, f"{done.experiment} is {words}", None)

    def with_held(self, picks: list[Pick]) -> list[Pick]:
        """The picks as if those that are held had ended."""
        return [
            replace(pick, outcome="refused", told=self.held[pick.k]._asdict() | {"failure": self.held[pick.k].code})
            if pick.k in self.held
            else pick
            for pick in picks
        ]

    def release(self) -> None:
        """What is held has ended: for its values, or by the recipe that it has. What never ran is discarded; one that a
        further seed was refused of stays as it is."""
        for k, held in list(self.held.items()):
            self.give_up(self.pick(k), "refused", held)
            del self.held[k]

    def give_up(self, pick: Pick, outcome: str, why: Held) -> None:
        """End the pick, and what has no run: it would wait for good."""
        self.publish(fail(self.session, pick, outcome, why.code, why.message))
        if pick.experiment is not None and experiments.get(self.session.db, pick.experiment).state == "pending":
            discard(self.session, pick.experiment, reason=why.message[:200], class_="build")

    def publish(self, pick: Pick) -> None:
        """Pages, heartbeat and commit of an iteration that has ended."""
        if why := pages.write_pages(self.session, self.loop):
            self.warn_once(why)
        self.beat()
        extra = [FOLDER] if pick.plan.slices else []
        extra += snapshot.keep(self.session, pick)
        extra += lasting.keep(self.session, journal.all_ended(self.session), memory=self.session.layout.loop)
        self.owed.append((pick, extra))
        self.commit_owed()
        self.tell("ended", self.loop, pages.told_words(pick), pick)

    def commit_owed(self, *, is_patient: bool = False) -> None:
        """Commit what iterations have left, in order, while nobody is at the repository. What is owed at the end has no
        commit in the store, and gets it when the loop goes on."""
        while self.owed:
            pick, extra = self.owed[0]
            try:
                before = commits.found(self.session, self.loop, pick) if pick.k in self.before else ""
                commit = before or commits.commit(self.session, pick, extra, is_patient=is_patient)
            except Busy as error:
                self.warn_once(f"iterations are not committed yet: {error.message}")
                return
            del self.owed[0]
            loops.set_commit(self.session.db, pick, commit)
            if commit.startswith("none: "):
                self.warn_once(f"iterations are not committed: {commit.removeprefix('none: ')}")

    def warn_once(self, why: str) -> None:
        if why not in self.told:
            self.told.add(why)
            self.tell("warning", self.loop, f"warning: {why}", None)

    def drop_runs(self) -> None:
        """Of a loop that ends early: its runs are ended as if their machine had gone, which spends no attempt, and are
        taken up when it is resumed, at their last checkpoint where there is one; or they go on alone now."""
        if self.leaves_running:
            self.crew.leave()
            return
        names = [worker.experiment for worker in self.crew.running]
        self.crew.end()
        deadline = time.monotonic() + self.session.config.run.grace_s + PATIENCE_S
        for name in names:
            while time.monotonic() < deadline and self.is_running(name):
                time.sleep(POLL_S)

    def is_running(self, experiment: str) -> bool:
        live = attempts.live_of(self.session.db, experiment)
        return live is not None and live.state != "trained" and collect(self.session, live).ending == "running"

    def plan_one(self, picks: list[Pick]) -> Proposal | None:
        """An idea where one is called for, the best again on a miss, else the next move."""
        known = grounds(self.session, self.loop.options.recipes)
        move = plan_next(self.session, self.loop, picks, known)
        if self.loop.options.policy == IID:
            return move
        found = self.advice.found(known, move)
        for why in found.problems:
            self.warn_once(why)
        return found.idea or on_a_miss(self.session, known, picks) or move


def on_a_miss(session: Session, known: list[Ground], picks: list[Pick]) -> Proposal | None:
    """After rounds without gain, once for each best experiment: it again, with other data or a lower rate."""
    if stop.rounds_without_gain(picks) < stop.MISS:
        return None
    found: Proposal | None = import_module("evo.ops.loop.data").proposal(session, known, picks)
    return found
