"""Partial runs: children are trained for a share of their steps, and the most promising of a round is finished.

    recipe.yaml   fidelity: 0.25

A partial run is an attempt that pauses at a checkpoint: its dev results are a reading, which ranks it within its round
of η children (`evo.search.fidelity`) and is no score. The promoted one goes on in the same attempt; the others stay
paused, and `evo run EXP` finishes one all the same.
Invariant: a reading is taken once for an experiment and decided once; nothing of it reaches the score or the posterior.
"""

from __future__ import annotations

import math

from evo.beliefs import form_beliefs
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT, Experiment
from evo.domain.job import AttemptFolder
from evo.domain.score import per_item
from evo.files import read_json
from evo.ops.judging.judge import read_results
from evo.ops.runs.collect import Collected
from evo.ops.runs.launch import Content
from evo.ops.runs.resume import last_step
from evo.runner.recover import Finding
from evo.search.fidelity import ETA, Pair, Partial, correlation, is_worth_it, promoted
from evo.session import Session
from evo.store import attempts, experiments, meta, partials, record, results
from evo.store.partials import PartialRun

PAUSED = "paused after a partial run"


def share_of(session: Session, experiment: Experiment, content: Content) -> float | None:
    """The share of its steps that a fresh attempt is to train first; None for all of them.

    All: the recipe has no `fidelity`, the experiment has its reading, the parent has no results to compare with, or
    early readings have told too little so far.
    """
    share = content.recipe.fidelity
    if share is None or share >= 1 or experiment.score_mean is not None:
        return None
    if partials.of(session.db, experiment.id) is not None or not is_on(session):
        return None
    return share if parent_results(session, experiment) else None


def is_on(session: Session) -> bool:
    """False once promoted runs have shown that early readings say little about full ones."""
    return is_worth_it(pairs(session))


def why_off(session: Session) -> tuple[str, ...]:
    """A warning for whoever expects a partial run; none where they are on."""
    seen = pairs(session)
    if is_worth_it(seen):
        return ()
    found = correlation(seen)
    how = "not at all" if found is None else f"by {found:.2f}"
    return (f"partial runs are off: over {len(seen)} promoted runs early and full gains correlate {how}",)


def pairs(session: Session) -> list[Pair]:
    epoch = meta.get(session.db, "epoch")
    return [Pair(early, late) for early, late in partials.finished(session.db, epoch=epoch)]


def parent_results(session: Session, experiment: Experiment) -> dict[str, float]:
    """Per-item dev results of the parent in the present epoch."""
    epoch = meta.get(session.db, "epoch")
    return dict(results.item_means(session.db, experiment.parent or ROOT, eval_hash=epoch)) if epoch else {}


def set_aside(session: Session, attempt: Attempt, folder: AttemptFolder, finding: Finding) -> bool:
    """Take a finished partial run as a reading and leave its attempt paused. False where it is none or cannot go on."""
    result = finding.result
    if result is None or result.outcome != "ok" or last_step(folder) is None:
        return False
    share = read_json(folder.job)["run"].get("fidelity")
    if share is None:
        return False
    experiment = experiments.get(session.db, attempt.experiment)
    parent = parent_results(session, experiment)
    graded = per_item(read_results(folder.eval_dir)[1])
    if not parent or set(parent) != set(graded):
        return False
    gain = math.fsum(session.metric.adjusted(graded[item] - parent[item]) for item in parent) / len(parent)
    parent_mean, _ = form_beliefs(session).estimate(experiment.parent or ROOT)
    seconds = (result.train_seconds or 0.0) + (result.eval_seconds or 0.0)
    if not record.interrupt(
        session.db,
        attempt,
        message=f"{PAUSED} of {share:g} of its steps, at step {last_step(folder)}",
        train_seconds=result.train_seconds or 0.0,
        gpu_seconds=read_json(folder.job).get("gpus", 0) * seconds,
    ):
        return False
    partials.add(session.db, PartialRun(experiment.id, attempt.n, share, parent_mean, gain))
    decide(session)
    return True


def is_paused(attempt: Attempt) -> bool:
    """True where the attempt waits for its round, or was not chosen; not where a kill has cut off its full run."""
    return attempt.is_interrupted and attempt.message.startswith(PAUSED)


def decide(session: Session) -> None:
    """Close the round when it is full: the best 1/η go on."""
    waiting = partials.undecided(session.db)
    if len(waiting) < ETA:
        return
    chosen = {one.id for one in promoted([Partial(run.experiment, run.parent_mean, run.gain) for run in waiting])}
    partials.decide(session.db, promoted=chosen, others={run.experiment for run in waiting} - chosen)


def is_due(session: Session, collected: Collected) -> bool:
    """True where the run that has just paused was promoted."""
    found = partials.of(session.db, collected.experiment)
    paused = is_paused(attempts.get(session.db, collected.experiment, collected.n))
    return paused and found is not None and found.is_promoted is True


def told(session: Session, collected: Collected) -> str:
    """What a reading means to its owner; empty where the attempt is not paused."""
    experiment = collected.experiment
    run = partials.of(session.db, experiment)
    if run is None or not is_paused(attempts.get(session.db, experiment, collected.n)):
        return ""
    reading = f"partial run at {run.fidelity:g} of the steps: {run.gain:+.3f} against its parent so far"
    if run.is_promoted is None:
        left = ETA - len(partials.undecided(session.db))
        return f"{reading}; its round waits for {left} more"
    if run.is_promoted:
        return f"{reading}; promoted: evo run {experiment} goes on to the full run"
    return f"{reading}; not promoted: evo run {experiment} finishes it all the same"
