"""Small moves of one experiment: discard, restore, abort, and what a crash has left.

Invariant: each is one legal move of the table in `domain.experiment`, recorded with its reason.
"""

from __future__ import annotations

import time
from pathlib import Path

from evo.beliefs import form_beliefs, remember_best
from evo.clock import seconds_since
from evo.domain.attempt import Attempt
from evo.domain.experiment import DISCARD_CLASSES, ROOT
from evo.errors import Busy, Denied, EvoError, Refused, UsageError, nearest
from evo.lightdata import dataclass, field, replace
from evo.ops.budget import charge_orphans
from evo.ops.checks.leaks import leaks_of
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs import resume
from evo.ops.runs.collect import Collected, collect, controller_of
from evo.ops.runs.run import RunOutcome, RunRequest, conclude, failure_of, run
from evo.runner import process, records, recover
from evo.session import Session
from evo.store import attempts, experiments
from evo.workspace.repository import ensure_worktree


@dataclass(frozen=True)
class Swept:
    """What `sync` and `recover` found."""

    stored: list[str]
    trained: list[str]
    lost: list[str]
    running: list[str]
    interrupted: list[str]
    outcomes: list[RunOutcome]
    charged: list[str] = field(default_factory=list)
    """What was reserved by processes that are gone, and what it came to."""


def discard(
    session: Session, identifier: str, *, reason: str, class_: str = "hypothesis", key: str | None = None
) -> str:
    """Give an experiment up, under a key once. A committed one is refused by the table of moves: branch past it."""
    if class_ not in DISCARD_CLASSES:
        raise UsageError(f"no class {class_!r}", hint=nearest(class_, DISCARD_CLASSES))
    if not reason.strip():
        raise UsageError("a reason is needed", hint='--reason "what did not work"')
    if identifier == ROOT:
        raise Refused(f"{ROOT} is the baseline and is never discarded")
    experiment = experiments.get(session.db, identifier)
    live = attempts.live_of(session.db, identifier)
    if live is not None and live.state != "trained" and not live.is_interrupted:
        raise Busy(f"{identifier} is running", hint=f"evo abort {identifier}")
    if experiment.state == "committed":
        raise Refused(
            f"{identifier} is committed and is never discarded", hint=f"branch past it: evo new --parent {identifier}"
        )
    experiments.move(session.db, identifier, "discarded", reason=reason, class_=class_, key=key)
    if live is not None and live.is_interrupted:
        resume.give_up(session, live, why="then discarded")
    remember_best(session, form_beliefs(session))
    return f"{identifier} is discarded ({class_}: {reason}); its diff and results stay"


def restore(session: Session, identifier: str, *, data_to: Path | None = None) -> str:
    """Take a discard back: the former standing, never more. From contaminated only where the data is clean now; its
    data is resolved in the cache, or in the folder `data_to`."""
    experiment = experiments.get(session.db, identifier)
    if experiment.state == "contaminated":
        found = leaks_of(session, experiment, data_to=data_to)
        if found:
            raise Denied(f"{identifier} is still contaminated: {found}", hint="take those lines out of the data")
    restored = experiments.restore(session.db, identifier, reason="restored")
    remember_best(session, form_beliefs(session))
    return f"{identifier} is {restored.state} again"


def abort(session: Session, identifier: str, *, patience_s: float = 60.0) -> str:
    """End the running attempt and its whole process tree; nothing of it is kept as a score."""
    experiment = experiments.get(session.db, identifier)
    live = _live(session, experiment.id)
    if live is None:
        raise Refused(f"{identifier} is not running", hint="evo status")
    folder = session.layout.attempt(identifier, live.n)
    records.touch(str(folder.cancel))
    deadline = time.monotonic() + session.config.run.grace_s + patience_s
    while time.monotonic() < deadline:
        ending = collect(session, live).ending
        if ending == "interrupted":
            resume.give_up(session, attempts.get(session.db, identifier, live.n), why="then aborted")
        if ending != "running":
            return f"{identifier} attempt {live.n} is ended"
        if attempts.get(session.db, identifier, live.n).outcome is not None:
            return f"{identifier} attempt {live.n} is ended"
        time.sleep(0.05)
    raise Busy(f"{identifier} attempt {live.n} has not ended yet", hint=f"evo abort {identifier}")


def _live(session: Session, identifier: str) -> Attempt | None:
    for attempt in attempts.of(session.db, identifier):
        if attempt.outcome is None and attempt.state != "trained":
            return attempt
    return None


def sync(session: Session, on_tick: OnTick = silent, *, go_on: bool = True) -> Swept:
    """Take in whatever has finished and name what is lost; where `go_on`, make good the evaluations that are owed.

    No training is started. What is still owed afterwards has failed again, and says why.
    """
    swept = Swept([], [], [], [], [], [], charge_orphans(session))
    for attempt in attempts.live(session.db):
        if attempt.state == "trained":
            swept.trained.append(attempt.experiment)
            continue
        _sort(swept, collect(session, attempt))
    for identifier in swept.stored:
        attempt = attempts.of(session.db, identifier)[-1]
        swept.outcomes.append(conclude(session, Collected(identifier, attempt.n, "stored"), (), on_tick))
    for identifier in list(swept.trained) if go_on else ():
        _make_good(session, swept, identifier, on_tick)
    return swept


def _make_good(session: Session, swept: Swept, identifier: str, on_tick: OnTick) -> None:
    try:
        outcome = run(session, RunRequest(identifier), on_tick)
    except Busy:
        return  # another process is at it
    swept.outcomes.append(outcome)
    if outcome.failure is None:
        swept.trained.remove(identifier)
        swept.stored.append(identifier)


def first_failure(session: Session, identifiers: list[str]) -> EvoError | None:
    """The failure of the first experiment whose last attempt brought no score."""
    for identifier in identifiers:
        tries = attempts.of(session.db, identifier)
        if tries and (failure := failure_of(session, tries[-1])) is not None:
            return failure
    return None


def _sort(swept: Swept, collected: Collected) -> None:
    getattr(swept, collected.ending).append(collected.experiment)


def wait(session: Session, identifiers: list[str], *, timeout_s: float, on_tick: OnTick = silent) -> Swept:
    """Wait until none of the experiments (default: none at all) is running. Busy when the time is up."""
    for identifier in identifiers:
        experiments.get(session.db, identifier)
    deadline = time.monotonic() + timeout_s
    total = Swept([], [], [], [], [], [])
    pause = 0.02
    while True:
        swept = sync(session, on_tick, go_on=False)
        for name in ("stored", "lost", "outcomes", "charged"):
            getattr(total, name).extend(getattr(swept, name))
        running = [name for name in swept.running if not identifiers or name in identifiers]
        if not running:
            return replace(swept, stored=total.stored, lost=total.lost, outcomes=total.outcomes, charged=total.charged)
        if time.monotonic() >= deadline:
            raise Busy(
                f"still running after {timeout_s:g} s: {', '.join(running)}", hint="evo wait again, or evo abort"
            )
        _show_first(session, running, on_tick)
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(0.5, pause * 1.5)


def _show_first(session: Session, running: list[str], on_tick: OnTick) -> None:
    """One line is watched: that of the first that runs."""
    live = attempts.live_of(session.db, running[0])
    if live is not None:
        folder = session.layout.attempt(live.experiment, live.n)
        stage = str((records.read_record(str(folder.supervisor)) or {}).get("stage", live.state))
        on_tick(Tick(live.experiment, live.n, stage, seconds_since(live.created_at), folder=str(folder.root)))


def mend(session: Session) -> None:
    """Finish half-made worktrees and end whatever processes dead attempts have left."""
    for experiment in experiments.all(session.db):
        if experiment.parent is not None and experiment.state not in ("discarded", "contaminated"):
            ensure_worktree(session.layout, experiment)
    for attempt in attempts.live(session.db):
        folder = session.layout.attempt(attempt.experiment, attempt.n).root
        finding = recover.inspect(folder, token=attempt.token, controller=controller_of(attempt))
        if finding.kind in ("lost", "trained"):
            process.sweep(folder, token=attempt.token)
