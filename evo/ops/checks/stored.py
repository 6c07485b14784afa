"""What is stored of an experiment, checked against itself: weights, artifacts, results, time, certificate, words.

Invariant: nothing is evaluated here, and nothing is written.
"""

from __future__ import annotations

import math
import statistics
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from evo.data.reader import read_items
from evo.diagnose.hypothesis import predicted_gain
from evo.domain.attempt import Attempt
from evo.domain.certificate import Terms
from evo.domain.experiment import ROOT, Experiment
from evo.domain.finding import Finding, Severity
from evo.domain.item import ItemResult
from evo.errors import EvoError
from evo.evaluate.identity import UNCHANGED
from evo.evaluate.weights import read_header
from evo.evidence import dev_difference
from evo.gate.decision import GateRules
from evo.lightdata import replace
from evo.ops.checks import identity
from evo.ops.judging import heldout
from evo.ops.judging.judge import Judge, pinned_items
from evo.ops.progress import OnTick
from evo.ops.runs.collect import gain_over
from evo.session import Session
from evo.store import artifacts, attempts, experiments, gate_rows, guards, results

QUICK = 0.2
"""Of the cohort's median: an evaluation below it may have answered from a cache, or not at all."""
LEAST_COHORT = 3
LEAST_SECONDS = 1.0
"""Medians below this are the time of starting a process, which says nothing."""
SAME = 1e-9


class Subject(NamedTuple):
    """An experiment with its primary attempt, scored in the epoch of `judge`."""

    session: Session
    judge: Judge
    experiment: Experiment
    attempt: Attempt

    @property
    def results(self) -> list[ItemResult]:
        return results.items(self.session.db, self.experiment.id, n=self.attempt.n, eval_hash=self.judge.eval_hash)


class Seen(NamedTuple):
    """One check: its name, what it saw, in words, and what it found amiss."""

    name: str
    said: str
    findings: list[Finding]

    @property
    def is_ok(self) -> bool:
        return not any(found.severity == "block" for found in self.findings)

    @property
    def is_quiet(self) -> bool:
        return not self.findings


def _finding(subject: Subject, kind: str, severity: Severity, message: str, **evidence: object) -> Finding:
    return Finding("verify", kind, severity, message, evidence, f"evo verify {subject.experiment.id}")


def weights(subject: Subject) -> Seen:
    """They are the ones that were scored, and they are this run's own."""
    session, experiment = subject.session, subject.experiment
    try:
        if experiment.id == ROOT:
            identity.pinned_base(session)
            return Seen("weights", "the base model is the pinned one", [])
        found = identity.check(session, experiment.id).findings
    except (EvoError, OSError) as error:
        said = error.message if isinstance(error, EvoError) else str(error)
        return Seen("weights", said, [_finding(subject, "unreadable", "block", said)])
    amiss = [replace(each, source="verify") for each in found if each.kind != UNCHANGED]
    grave = [each for each in amiss if each.severity == "block"]
    return Seen("weights", grave[0].message if grave else "those that were scored", amiss)


def declared(subject: Subject) -> Seen:
    """Every artifact that the attempt declared exists, is what it was, and can be read."""
    known = [one for one in artifacts.of(subject.session.db, subject.experiment.id) if one.attempt == subject.attempt.n]
    amiss = [
        _finding(subject, "artifact", "block", f"artifact {one.label!r} {fault}", path=one.uri)
        for one in known
        if (fault := _fault(subject, one))
    ]
    return Seen("artifacts", amiss[0].message if amiss else f"{len(known)} declared", amiss)


def _fault(subject: Subject, one: artifacts.Artifact) -> str:
    place = Path(one.uri)
    if not place.exists():
        return "is gone"
    try:
        identity.declared_artifact(subject.session, one.experiment, one.label)
        for path in [place] if place.suffix == ".safetensors" else sorted(place.glob("**/*.safetensors")):
            read_header(path)
    except (EvoError, OSError) as error:
        return f"does not load: {error.message if isinstance(error, EvoError) else error}"
    return ""


def score(subject: Subject) -> Seen:
    """The results are of all dev items, and the recorded score and gain follow from them."""
    session, experiment, epoch = subject.session, subject.experiment, subject.judge.eval_hash
    wanted = {item.id for item in read_items(pinned_items(session, "dev"), needs_target=False)}
    have = {result.item for result in subject.results}
    if have != wanted:
        said = f"results on {len(have & wanted)} of {len(wanted)} dev items: a part of them is no score"
        return Seen("score", said, [_finding(subject, "subset", "block", said)])
    means = results.pooled_means(session.db, experiment.id, eval_hash=epoch)
    mean = math.fsum(means.values()) / len(means)
    told: list[Finding] = []
    if not math.isclose(mean, experiment.score_mean or 0.0, abs_tol=SAME):
        said = f"the recorded score is {experiment.score_mean:.6g}, and its stored results give {mean:.6g}"
        told.append(_finding(subject, "score", "block", said))
    base = results.item_means(session.db, ROOT, eval_hash=epoch)
    gain = None if experiment.id == ROOT else gain_over(session, experiment.id, means, base, seeds=experiment.seeds)
    if gain is not None and not math.isclose(gain.gain, experiment.gain or 0.0, abs_tol=SAME):
        said = f"the recorded gain over exp_0000 is {experiment.gain:.6g}, and its stored results give {gain.gain:.6g}"
        told.append(_finding(subject, "gain", "block", said))
    return Seen("score", told[0].message if told else f"follows from results on {len(means)} dev items", told)


def duration(subject: Subject) -> Seen:
    """An evaluation that took under a fifth of what others take is suspect (A35)."""
    own = subject.attempt.eval_seconds
    others = attempts.eval_seconds(subject.session.db, epoch=subject.judge.eval_hash, but=subject.experiment.id)
    if own is None or len(others) < LEAST_COHORT:
        return Seen("time", f"{len(others)} other evaluations: too few to compare with", [])
    median = statistics.median(others)
    said = f"{own:.1f} s, others take {median:.1f} s"
    if median < LEAST_SECONDS or own >= QUICK * median:
        return Seen("time", said, [])
    alarm = f"its evaluation took {own:.2f} s where {len(others)} others took {median:.1f} s: answered from a cache?"
    return Seen("time", said, [_finding(subject, "quick", "warn", alarm, seconds=own, median=median)])


def gates(subject: Subject) -> Seen:
    """Every question has its answer, and every guard its result."""
    session, experiment = subject.session, subject.experiment
    asked = [look for look in gate_rows.asks(session.db, session.heldout_hash) if look.experiment == experiment.id]
    waiting = [look for look in asked if look.passed is None]
    amiss = [
        _finding(subject, "unanswered", "warn", f"look {look.k} has no answer: evo certify {experiment.id} asks on")
        for look in waiting
    ]
    names = []
    if session.config.guards:
        present = import_module("evo.ops.checks.suites").present(session, subject.judge)
        names = [guard.name for guard in present]
        for guard in present:
            if not guards.means(session.db, experiment.id, subject.attempt.n, guard_hash=guard.guard_hash):
                amiss.append(_finding(subject, "guard", "warn", f"guard {guard.name} has no result on dev"))
    said = f"{len(asked) - len(waiting)} of {len(asked)} looks answered, {len(names)} guards"
    return Seen("gates", amiss[0].message if amiss else said, amiss)


def certificate(subject: Subject, on_tick: OnTick) -> Seen:
    """The stored answer follows from the stored results, by the terms on which it was asked."""
    session, name = subject.session, "certificate"
    found = gate_rows.certificate_of(session.db, subject.experiment.id)
    if found is None:
        return Seen(name, "none", [])
    if found.epoch != subject.judge.eval_hash:
        return Seen(name, "of an earlier evaluation, which is not at hand", [])
    if found.terms is None:
        return Seen(name, "asked before terms were kept: it cannot be recomputed", [])
    said = _recomputed(subject, found.against, found.terms, passed=found.passed, on_tick=on_tick)
    amiss = [_finding(subject, "certificate", "block", said)] if said else []
    return Seen(name, said or f"follows from what is stored (look {found.look})", amiss)


def _recomputed(subject: Subject, against: str, terms: Terms, *, passed: bool, on_tick: OnTick) -> str:
    """Why the certificate does not follow; empty where it does. This is all that is told of held-out."""
    session = as_it_was(subject.session, terms)
    try:
        sides = _sides(session, subject, against, terms)
        if sides is None:
            return ""  # a guard of then is no longer the same: what is left would be another question
        if not heldout.is_answered(session, subject.judge, sides):
            return "the held-out results that the certificate rests on are gone"
        gate = session.config.gate
        rules = GateRules(gate.mode, gate.alpha, gate.min_gain, gate.looks)
        alpha = terms.alpha
        decision = heldout.decide_on(session, subject.judge, sides, rules=rules, alpha=alpha, on_tick=on_tick)
    except (EvoError, OSError, KeyError, TypeError, ValueError):
        return "the certificate cannot be recomputed: what it rests on is damaged"
    return "" if decision.passed == passed else "the certificate does not follow from the results that are stored"


def as_it_was(session: Session, terms: Terms) -> Session:
    """The session with the gate's settings of the moment when the question was asked."""
    gate = replace(
        session.config.gate,
        min_gain=terms.min_gain,
        claim=terms.claim,
        sigma_run=terms.sigma_run,
    )
    return replace(session, config=replace(session.config, gate=gate))


def _sides(session: Session, subject: Subject, against: str, terms: Terms) -> heldout.Sides | None:
    """Both sides with the attempts and guards of then; None where a guard is no longer what it was."""
    both = [
        heldout.Side(experiments.get(session.db, who), [attempts.get(session.db, who, n) for n in numbers])
        for who, numbers in ((subject.experiment.id, terms.runs), (against, terms.against_runs))
    ]
    wanted = terms.guards
    present = import_module("evo.ops.checks.suites").present(session, subject.judge) if wanted else []
    found = [
        replace(guard, config=replace(guard.config, margin=wanted[guard.name][1]))
        for guard in present
        if guard.name in wanted and guard.guard_hash == wanted[guard.name][0]
    ]
    return heldout.Sides(both[0], both[1], found) if len(found) == len(wanted) else None


def hypothesis(subject: Subject) -> Seen:
    """What was predicted beside what dev shows: facts, never a reason to refuse."""
    experiment, name = subject.experiment, "hypothesis"
    parent, epoch = experiment.parent, subject.judge.eval_hash
    seen = None if parent is None else dev_difference(subject.session, experiment, parent, epoch=epoch)
    if seen is None:
        return Seen(name, "nothing to compare with", [])
    unit = subject.session.metric.unit
    shown = f"{seen.mean * unit:+.3f} [{seen.low * unit:+.3f}, {seen.high * unit:+.3f}] against {experiment.parent}"
    wanted = predicted_gain(experiment.hypothesis, settings=experiment.params)
    if wanted is not None:
        fits = seen.low <= wanted / unit <= seen.high
        said = f"predicted {wanted:+.3f}, dev shows {shown}"
        amiss = [] if fits else [_finding(subject, "prediction", "note", said)]
        return Seen(name, said, amiss)
    if seen.high < 0:
        return Seen(name, shown, [_finding(subject, "refuted", "note", f"it is worse than its parent: {shown}")])
    return Seen(name, f"no number was predicted; dev shows {shown}", [])
