"""From a plan to an experiment, and from a worker's end to the end of a pick.

Invariant: making and ending are idempotent: after a kill the same pick gives the same experiment, by its key, and what
the store already knows of it is not changed.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from importlib import import_module
from typing import Any, Literal

from evo.beliefs import form_beliefs
from evo.domain.attempt import Attempt
from evo.domain.experiment import BARREN, ROOT, Experiment
from evo.domain.loop import Loop, Pick
from evo.errors import BudgetSpent, Busy, EvoError, KeyTaken, NotFound, Refused, StoreError, UsageError
from evo.ideas.insight import insight_of
from evo.ops.ideas.take import written
from evo.ops.lifecycle import discard
from evo.ops.loop.crew import Done
from evo.ops.loop.grounds import grounds
from evo.ops.loop.pick import expected_of_draws
from evo.ops.new import NewRequest, new
from evo.session import Session
from evo.store import attempts, datasets, experiments, gate_rows, loops
from evo.store import ideas as idea_store

Next = Literal["ended", "again", "spent", "held"]


def make(session: Session, loop: Loop, pick: Pick) -> Pick:
    """The pick with its experiment. A plan that is refused ends the pick without one.

    Any other error leaves it as it is, and what was begun for it: made again, it gives the same experiment.
    """
    if pick.experiment is not None:
        return pick
    plan = pick.plan
    if pick.kind == "seed":
        return loops.link(session.db, pick, plan.parent)
    settings = tuple(f"{name}={written(value)}" for name, value in plan.settings.items() if value is not None)
    request = NewRequest(
        plan.recipe,
        plan.hypothesis,
        plan.parent or None,
        settings,
        seed=plan.seed,
        key=f"loop:{loop.id}:{pick.k}",
        base_commit=loop.start_commit,
    )
    try:
        made = new(session, request).views[0]
    except EvoError as error:
        begun = experiments.with_key(session.db, str(request.key))
        is_edited = isinstance(error, (KeyTaken, UsageError, NotFound))  # its recipe, before it had a worktree
        if is_edited and begun is not None:
            discard(session, begun, reason=error.message[:200], class_="build")
        elif begun is not None or isinstance(error, (StoreError, Busy)):
            raise
        return loops.finish(session.db, pick, "refused", {"failure": "refused", "message": error.message[:500]})
    if plan.slices:
        reweigh = import_module("evo.ops.loop.data").reweigh  # brings a YAML library
        reweigh(session, experiments.get(session.db, made.id), plan.slices, plan.rows)
    if plan.idea is not None and idea_store.get(session.db, plan.idea).state == "open":
        idea_store.move(session.db, plan.idea, "taken", experiment=made.id)
    try:
        return loops.link(session.db, pick, made.id)
    except sqlite3.IntegrityError as error:  # what was planned is an experiment of this loop already
        why = f"{made.id} is this already: {error}"
        return loops.finish(session.db, pick, "refused", {"failure": "repeat", "message": why})


def arguments(pick: Pick) -> tuple[str, ...]:
    return ("--seed", str(pick.plan.seed)) if pick.kind == "seed" else ()


def settle(session: Session, loop: Loop, pick: Pick, done: Done) -> tuple[Pick, Next]:
    """What the store says after a worker has ended. `again`: nothing was decided and no attempt was spent. `held`: it
    was refused before it ran, by its values or by what somebody can mend."""
    known = experiments.get(session.db, done.experiment)
    last = last_run(session, pick, done.experiment)
    if known.state == "contaminated" or known.is_regressed:
        outcome = "contaminated" if known.state == "contaminated" else "regressed"
        return fail(session, pick, outcome, outcome, known.state_reason), "ended"
    if last is not None and last.outcome == "ok" and known.score_mean is not None:
        return end_scored(session, loop, pick, known, last), "ended"
    if done.code == BudgetSpent.exit_code:
        return pick, "spent"
    if last is None or last.outcome == "ok":  # nothing was started
        return pick, "again" if done.has_died else "held"
    if last.outcome is None or last.outcome == "lost":
        return pick, "again"
    return fail(session, pick, str(last.outcome), last.failure or str(last.outcome), last.message), "ended"


def last_run(session: Session, pick: Pick, experiment: str) -> Attempt | None:
    """The last attempt that the pick is about."""
    tries = attempts.of(session.db, experiment)
    return next((one for one in reversed(tries) if pick.kind != "seed" or one.seed == pick.plan.seed), None)


def has_score(session: Session, pick: Pick, experiment: str) -> bool:
    """Whether its run is over and well: what may be left is the gate."""
    last = last_run(session, pick, experiment)
    return last is not None and last.outcome == "ok" and experiments.get(session.db, experiment).score_mean is not None


def end_scored(session: Session, loop: Loop, pick: Pick, known: Experiment, last: Attempt) -> Pick:
    mind = form_beliefs(session)
    runs = attempts.scored(session.db, known.epoch or "")  # all that the gain is of, also those of other loops
    others = [one for one in experiments.all(session.db) if one.id != known.id and one.epoch == known.epoch]
    standing = (one for one in others if one.state not in BARREN and not one.is_regressed)
    best_before = max((one.gain for one in standing if one.gain is not None), default=0.0)
    certificate = gate_rows.certificate_of(session.db, known.id)
    told: dict[str, Any] = {
        "score": known.score_mean,
        "se": known.score_se,
        "gain": known.gain,
        "gain_se": None if known.gain_var is None else known.gain_var**0.5,
        "is_best": known.gain is not None and known.gain > best_before,
        "best": mind.best,
        "expected_of_draws": expected_of_draws(session, grounds(session, loop.options.recipes), runs),
        "runs": runs,
        "certified": None if certificate is None else certificate.passed,
        "insight": insight_of(import_module("evo.ops.ideas.facts").facts_of(session, parses=False), known.id),
        "weights": last.weights_hash,
    }
    return loops.finish(session.db, pick, "scored", told | made_of(session, known))


def made_of(session: Session, known: Experiment) -> dict[str, Any]:
    """What an iteration's line of the journal needs to be repeated: content by hash, every parameter, its data."""
    return {
        "commit": known.commit,
        "params": known.params,
        "seed": known.seed,
        "data": {one.path: one.sha256 for _, one in datasets.of(session.db, known.id)},
        "epoch": known.epoch,
    }


def fail(session: Session, pick: Pick, outcome: str, failure: str, message: str) -> Pick:
    """`message` may be the end of a log: it stays in the store, and the journal names where the logs lie."""
    told = {"failure": failure, "message": message[:500]}
    if pick.experiment is None:
        return loops.finish(session.db, pick, outcome, told)
    if tries := attempts.of(session.db, pick.experiment):
        folder = session.layout.attempt(pick.experiment, tries[-1].n).root
        told["logs"] = str(folder.relative_to(session.layout.root))
    made = made_of(session, experiments.get(session.db, pick.experiment))
    return loops.finish(session.db, pick, outcome, told | made)


def said(done: Done) -> tuple[str, str]:
    """Code and message of the error in a worker's envelope."""
    try:
        error = json.loads(done.said.read_text(encoding="utf-8").strip().splitlines()[-1])["error"]
        return str(error["code"]), str(error["message"])
    except (OSError, ValueError, LookupError, TypeError):
        if done.code < 0:
            return "killed", f"its process was ended by {signal.Signals(-done.code).name}"
        return f"exit {done.code}", tail(done)


def tail(done: Done) -> str:
    try:
        return done.said.with_suffix(".err").read_text(encoding="utf-8", errors="replace")[-500:].strip()
    except OSError:
        return ""


def refused_baseline(done: Done) -> EvoError:
    """What it was refused for stands in the hint: its words may be those of a log, and the message goes to git."""
    code, message = said(done)
    if done.code == BudgetSpent.exit_code:
        return BudgetSpent("the budget is spent, and the baseline has no score", hint=f"{message}; evo budget")
    return Refused(f"the baseline has no score ({code})", hint=f"{message}; evo run {ROOT}")
