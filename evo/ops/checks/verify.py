"""The verifier: does an experiment still stand by what is stored of it?

It measures again and recomputes, and believes no file or word of the run. It runs by itself before the held-out
question, so nothing commits that it would refuse, and no look is spent on it.
Invariant: of held-out nothing leaves but its part in one answer, ok or not ok. What it judges a certificate by are the
terms that were written down with it, so changing settings and asking again tells nothing.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from evo.data.reader import read_items
from evo.domain.finding import Finding, Severity
from evo.domain.gate_views import CheckedView, VerifyView
from evo.domain.item import Item
from evo.domain.job import AttemptFolder
from evo.domain.score import per_item
from evo.domain.views import FindingView
from evo.errors import EvoError, Refused
from evo.gate.tails import binomial_mid_tail
from evo.ops.checks import stored
from evo.ops.checks.stored import Seen, Subject
from evo.ops.judging import epoch
from evo.ops.judging.judge import Judge, eval_job, evaluate, pinned_items, write_items
from evo.ops.judging.turn import turn
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.launch import weights_folder
from evo.session import Session
from evo.store import attempts, events, experiments, findings

SOURCE = "verify"
ITEMS = 2
WIDE = 32
"""Items of the second look, where one of the first came out differently or the evaluation was strangely quick."""
SURE = 0.01
"""Stored results are called inflated where chance alone favours them so often; an engine's own noise favours none."""
SAME = 1e-6


class Again(NamedTuple):
    """Dev items evaluated anew: how many, and those whose stored result is better or worse than the new one."""

    items: list[str]
    better: list[str]
    worse: list[str]

    @property
    def differing(self) -> list[str]:
        return [*self.better, *self.worse]


def verify(
    session: Session, identifier: str, *, items: int = ITEMS, seed: int | None = None, on_tick: OnTick = silent
) -> VerifyView:
    """Look at everything and store what was found; waits while another process is at it. Refused where there is no
    score of the present epoch."""
    judge, _ = epoch.enter(session, on_tick)
    drawn = secrets.randbits(31) if seed is None else seed
    with turn(session, identifier, on_tick=on_tick):
        seen = examine(session, judge, identifier, items=items, seed=drawn, on_tick=on_tick)
        open_ones = [found for found in findings.of(session.db, identifier) if not found.settled]
    blocks = [found for found in open_ones if found.finding.severity == "block"]
    more = "" if not blocks or any(b.finding.source == SOURCE for b in blocks) else "what other checks found blocks it"
    return VerifyView(
        id=identifier,
        ok=not blocks,
        checks=[CheckedView(each.name, each.is_ok, each.said) for each in seen],
        findings=[view_of(found) for found in open_ones],
        seed=drawn,
        message=more,
    )


def before_question(session: Session, judge: Judge, identifier: str, on_tick: OnTick = silent) -> None:
    """Refused, with what was found, where the verifier does not stand by the candidate: then no look is spent."""
    examine(session, judge, identifier, items=ITEMS, seed=secrets.randbits(31), on_tick=on_tick)
    blocks = findings.blocks(session.db, identifier)
    if blocks:
        said = blocks[0].finding
        raise Refused(f"{identifier}: {said.source} found: {said.message}", hint=said.next or f"evo show {identifier}")


def examine(session: Session, judge: Judge, identifier: str, *, items: int, seed: int, on_tick: OnTick) -> list[Seen]:
    """Every check, in order; what they found replaces what was found before, and the draw is an event. Its caller has
    the turn."""
    subject = subject_of(session, judge, identifier)
    timed = stored.duration(subject)
    again, drawn = scored_again(subject, items=items, seed=seed, is_wide=not timed.is_quiet, on_tick=on_tick)
    seen = [
        stored.weights(subject),
        stored.declared(subject),
        stored.score(subject),
        again,
        timed,
        stored.gates(subject),
        stored.certificate(subject, on_tick),
        stored.hypothesis(subject),
    ]
    found = [finding for each in seen for finding in each.findings]
    findings.replace(session.db, SOURCE, found, experiment=identifier, attempt=subject.attempt.n)
    is_ok = all(each.is_ok for each in seen)
    told = {"seed": seed, "items": drawn, "ok": is_ok}
    events.append(session.db, "verified", experiment=identifier, attempt=subject.attempt.n, data=told)
    return seen


def subject_of(session: Session, judge: Judge, identifier: str) -> Subject:
    experiment = experiments.get(session.db, identifier)
    if experiment.primary_attempt is None or experiment.score_mean is None:
        raise Refused(f"{identifier} has no score: there is nothing to verify", hint=f"evo run {identifier}")
    if experiment.epoch != judge.eval_hash:
        raise Refused(f"{identifier} has its score in an older epoch", hint=f"evo rescore {identifier}")
    return Subject(session, judge, experiment, attempts.get(session.db, identifier, experiment.primary_attempt))


def scored_again(subject: Subject, *, items: int, seed: int, is_wide: bool, on_tick: OnTick) -> tuple[Seen, list[str]]:
    """Some dev items by the same weights and the same judge, set beside what is stored; and which ones."""
    name = "items again"
    if subject.session.config.eval.mode == "scalar":
        return Seen(name, "not for a benchmark that yields one number a call", []), []
    dev = read_items(pinned_items(subject.session, "dev"), needs_target=False)
    drawn = random.Random(seed).sample(dev, len(dev))
    known = per_item(subject.results)
    drawn = [item for item in drawn if item.id in known]
    try:
        first = again(subject, drawn[:items], known, on_tick)
        if (first.differing or is_wide) and len(drawn) > items:
            first = again(subject, drawn[: max(WIDE, items)], known, on_tick)
    except EvoError as error:
        said = f"the weights cannot be evaluated any more: {error.message}"
        return Seen(name, said, [finding("unscorable", "block", said, subject)]), []
    facts: dict[str, object] = {"seed": seed, "items": len(first.items), "differing": first.differing[:8]}
    said = f"{len(first.items) - len(first.differing)} of {len(first.items)} as stored (seed {seed})"
    return Seen(name, said, judged(subject, first, facts)), first.items


def judged(subject: Subject, seen: Again, facts: dict[str, object]) -> list[Finding]:
    """Noise of an engine turns results both ways; results that were made up are better than what comes out."""
    if not seen.differing:
        return []
    counts = f"{len(seen.differing)} of {len(seen.items)} dev items come out differently when they are evaluated again"
    if binomial_mid_tail(len(seen.better), len(seen.differing)) <= SURE:
        said = f"{counts}, {len(seen.better)} of them worse than stored: these weights do not give this score"
        return [finding("inflated", "block", said, subject, facts)]
    return [finding("unstable", "warn", f"{counts}: the evaluation is not repeatable", subject, facts)]


def again(subject: Subject, items: Sequence[Item], known: dict[str, float], on_tick: OnTick) -> Again:
    """Evaluate `items` with the experiment's weights, in a folder that goes when it is done."""
    session, experiment = subject.session, subject.experiment
    place = AttemptFolder(session.layout.cache / "verify" / f"{experiment.id}.{os.getpid()}")
    path = place.root.with_name(f"{place.root.name}.jsonl")
    write_items(path, list(items), mode=0o600)
    model = weights_folder(session, experiment)
    job = eval_job(session, subject.judge, split="dev", model=model, out_dir=place.eval_dir, items=path)

    def beat(seconds: float) -> None:
        on_tick(Tick(experiment.id, subject.attempt.n, "verifying", seconds))

    try:
        _, graded = evaluate(session, job, folder=place, beat=beat)
    finally:
        shutil.rmtree(place.root, ignore_errors=True)
        path.unlink(missing_ok=True)
    adjusted = session.metric.adjusted
    apart = {item: adjusted(known[item] - mean) for item, mean in per_item(graded).items()}
    better = [item for item, gain in apart.items() if gain > SAME]
    return Again(list(apart), better, [item for item, gain in apart.items() if gain < -SAME])


def finding(
    kind: str, severity: Severity, message: str, subject: Subject, evidence: dict[str, object] | None = None
) -> Finding:
    return Finding(SOURCE, kind, severity, message, evidence or {}, f"evo verify {subject.experiment.id}")


def view_of(found: findings.Recorded) -> FindingView:
    said = found.finding
    about = (said.source, said.kind, said.severity, said.message, said.evidence, said.next)
    return FindingView(found.id, found.experiment, *about)
