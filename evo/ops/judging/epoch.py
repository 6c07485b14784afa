"""Epochs: all results under one eval_hash, and the way from one to the next.

Invariant: when an ingredient of the evaluation changes, the root and the committed experiments are re-scored before
anything else may be compared; other experiments come over one by one, by `evo rescore`. Looks stay with the items.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import cast

from evo.clock import now
from evo.data import seal
from evo.domain.experiment import ROOT, Experiment
from evo.domain.item import ItemResult
from evo.domain.job import AttemptFolder
from evo.domain.score import mean_over_seeds, per_item
from evo.errors import Refused
from evo.evaluate.evalhash import differences
from evo.lightdata import replace
from evo.ops.judging.judge import Judge, eval_job, evaluate, pinned_items, present_judge
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.collect import gain_over, score_of, unit_of
from evo.ops.runs.launch import lineage_of, weights_folder
from evo.session import Session
from evo.store import attempts, events, experiments, meta, results
from evo.store.db import transaction

Graded = dict[int, list[ItemResult]]
"""Attempt -> its dev results."""


def enter(session: Session, on_tick: OnTick = silent) -> tuple[Judge, tuple[str, ...]]:
    """The judge of this moment, in its epoch. Warnings say what changed and what was re-scored."""
    judge = present_judge(session)
    warnings = (judge.engine.warning,) if judge.engine.warning else ()
    if session.epoch == judge.eval_hash:
        return judge, warnings
    with one_at_a_time(session):
        if session.epoch == judge.eval_hash:  # another process was first
            return judge, warnings
        if session.epoch is None:
            _open(session, judge, [])
            return judge, warnings
        return judge, (*warnings, *_change(session, judge, on_tick))


@contextmanager
def one_at_a_time(session: Session) -> Iterator[None]:
    """Keep other processes from re-scoring meanwhile; a killed holder lets go."""
    import filelock  # 40 ms, which a command in a known epoch does not pay

    with filelock.FileLock(session.layout.cache / "epoch.lock"):
        yield


def _change(session: Session, judge: Judge, on_tick: OnTick) -> tuple[str, ...]:
    old = cast(dict[str, object], meta.get(session.db, "epoch_spec", default={}))
    changes = differences(old, judge.spec)
    standing = [e for e in experiments.all(session.db) if e.state == "committed" and e.primary_attempt is not None]
    for experiment in standing:  # before the epoch begins, so that a kill in between leaves it to the next command
        store_epoch(session, judge, experiment, grade(session, judge, experiment, on_tick))
    _open(session, judge, changes)
    said = f"the evaluation changed ({'; '.join(changes)}): a new epoch"
    return (said + (f", {len(standing)} re-scored" if standing else ""),)


def _open(session: Session, judge: Judge, changes: list[str]) -> None:
    heldout = seal.read_manifest(session.layout.root).heldout_hash
    with transaction(session.db):
        before = meta.get(session.db, "epoch_opened") or {"number": 1 if changes else 0}
        opened = {"number": before["number"] + 1, "changes": changes, "at": now()}
        facts = {"heldout_hash": heldout, "epoch_spec": judge.spec, "epoch": judge.eval_hash, "epoch_opened": opened}
        for key, value in facts.items():
            meta.set(session.db, key, value)
        events.append(session.db, "epoch", data={"eval_hash": judge.eval_hash, **opened})


def runs_of(session: Session, experiment: Experiment) -> list[int]:
    """The attempts whose mean is the score: of each seed the last good one with the primary attempt's content."""
    tries = attempts.of(session.db, experiment.id)
    content = next(attempt.content_hash for attempt in tries if attempt.n == experiment.primary_attempt)
    last = {a.seed: a.n for a in tries if a.outcome == "ok" and a.content_hash == content}
    return sorted(last.values())


def grade(session: Session, judge: Judge, experiment: Experiment, on_tick: OnTick) -> Graded:
    """Dev results of an experiment's weights under `judge`, by attempt; without those that are stored already.

    They are there where the evaluation was changed and changed back.
    """
    missing = [
        n
        for n in runs_of(session, experiment)
        if not results.item_means(session.db, experiment.id, eval_hash=judge.eval_hash, n=n)
    ]
    return {n: _grade_run(session, judge, experiment, n, on_tick) for n in missing}


def _place(session: Session, judge: Judge, experiment: Experiment, n: int) -> AttemptFolder:
    """Where an attempt's weights are evaluated anew."""
    return AttemptFolder(session.layout.attempt(experiment.id, n).root / f"epoch-{judge.eval_hash}")


def _grade_run(session: Session, judge: Judge, experiment: Experiment, n: int, on_tick: OnTick) -> list[ItemResult]:
    folder, place = session.layout.attempt(experiment.id, n), _place(session, judge, experiment, n)
    model = weights_folder(session, experiment) if experiment.id == ROOT else folder.output
    items = pinned_items(session, "dev")
    job = eval_job(session, judge, split="dev", model=model, out_dir=place.eval_dir, items=items)
    job = replace(job, lineage=lineage_of(session, experiment))
    if judge.has_mid:
        job = import_module("evo.ops.runs.mid").with_mid(session, judge, job)
    beat = lambda seconds: on_tick(Tick(experiment.id, n, "re-scoring", seconds))  # noqa: E731
    if session.config.guards:
        job = import_module("evo.ops.checks.guards").with_suites(session, judge, job)
    summary, graded = evaluate(session, job, folder=place, beat=beat)
    if attempts.get(session.db, experiment.id, n).weights_hash not in (None, summary.weights_hash):
        raise Refused(f"the weights of {experiment.id} are not those that were scored", hint="evo fsck")
    if session.config.guards:
        import_module("evo.ops.checks.guards").take_in(session, experiment.id, n, place.eval_dir)
    return graded


def store_epoch(session: Session, judge: Judge, experiment: Experiment, graded: Graded) -> None:
    """Make `graded`, with what is stored of this epoch, the experiment's score: the mean over its seeds."""
    stored = results.seed_means(session.db, experiment.id, eval_hash=judge.eval_hash)
    runs = [*stored.values(), *map(per_item, graded.values())]
    means = mean_over_seeds(runs)
    values = list(means.values())
    gain = None
    if experiment.id == ROOT:
        meta.set(session.db, "metric_unit", unit_of(session.metric, values))
    else:
        base = results.item_means(session.db, ROOT, eval_hash=judge.eval_hash)
        gain = gain_over(session, experiment.id, means, base, seeds=len(runs))
    score = score_of(session, values)
    numbers = (gain.gain, gain.variance) if gain else (0.0, 0.0)
    if not graded:
        experiments.set_scores(session.db, [experiments.Rescored(experiment.id, score, judge.eval_hash, *numbers)])
    is_forbidden = any(result.is_forbidden for rows in graded.values() for result in rows)
    for n, rows in graded.items():
        scored = results.Epoch(experiment.id, n, judge.eval_hash, rows, score, *numbers, seeds=len(runs))
        if judge.has_mid:
            place = _place(session, judge, experiment, n)
            scored = replace(scored, mid=import_module("evo.ops.runs.mid").read_items(place.eval_mid))
        is_primary = n == experiment.primary_attempt
        results.add_epoch(session.db, replace(scored, has_forbidden=is_forbidden, is_primary=is_primary))


def rescore(session: Session, identifier: str, on_tick: OnTick = silent) -> str:
    """Bring one experiment into the present epoch. The sentence that says what happened."""
    judge, _ = enter(session, on_tick)
    experiment = experiments.get(session.db, identifier)
    if experiment.primary_attempt is None:
        raise Refused(f"{identifier} was never scored", hint=f"evo run {identifier}")
    if session.config.guards:
        import_module("evo.ops.checks.guards").measured(session, identifier, on_tick)
    if experiment.epoch == judge.eval_hash:
        return f"{identifier} is in the present epoch already"
    with one_at_a_time(session):
        store_epoch(session, judge, experiment, grade(session, judge, experiment, on_tick))
    beliefs = import_module("evo.beliefs")
    beliefs.remember_best(session, beliefs.form_beliefs(session))
    return f"{identifier} has a score in the present epoch"
