"""The held-out question: when it is asked, asking it, and the certificate that may come of it.

Invariant: what leaves this module is one bit and the number of looks. Held-out results lie under `.evo/sealed`, their
outputs hashed; a question is written down before it is evaluated, so a crash neither loses nor doubles a look.
"""

from __future__ import annotations

from importlib import import_module

from evo.beliefs import form_beliefs, remember_best
from evo.data import seal
from evo.domain.certificate import Look, Terms
from evo.domain.experiment import Experiment
from evo.domain.views import CertifyView, LooksView
from evo.errors import BudgetSpent, Busy, Denied, Refused
from evo.evidence import history_of, rules_of, standpoint, strength, unfit, why_gate_is_off
from evo.gate import asking
from evo.gate.decision import Decision
from evo.lightdata import replace
from evo.ops.judging import epoch
from evo.ops.judging.heldout import Side, decide_on, side, sides_of, terms_of
from evo.ops.judging.judge import Judge
from evo.ops.judging.turn import turn
from evo.ops.progress import OnTick, silent
from evo.session import Session
from evo.store import attempts, experiments, findings, gate_rows, lineage


def question(candidate: Side, reference: Side, zeta: float) -> asking.Question:
    return asking.Question(
        candidate.experiment.id, reference.experiment.id, candidate.weights_hash, reference.weights_hash, zeta
    )


def after_score(session: Session, identifier: str, on_tick: OnTick = silent) -> str:
    """Ask the gate if the rule of this workspace says so. The kind sentence about what it means."""
    if experiments.get(session.db, identifier).epoch != session.epoch:
        return f"kept; its score is of an older epoch: evo rescore {identifier}"
    mind = form_beliefs(session)
    remember_best(session, mind)
    if off := why_gate_is_off(session):
        return f"kept: open, a legal parent; {off}"
    now = standpoint(session, mind, about=identifier)
    target = experiments.get(session.db, now.target)
    if target.state != "open":
        return f"kept: open, a legal parent; {target.id} ({target.state}) is still the best by what dev shows"
    if now.obstacle or not now.verdict.ask:
        about = "" if target.id == identifier else f" ({target.id} is the best node)"
        return f"kept: open, a legal parent; {now.obstacle or now.verdict.reason}{about}"
    sides = side(session, now.target), side(session, now.reference)
    try:
        return ask(session, *sides, zeta=now.verdict.evidence, on_tick=on_tick).message
    except Busy as busy:
        return f"kept: open, a legal parent; {busy.message}"


def certify(session: Session, identifier: str, on_tick: OnTick = silent) -> CertifyView:
    """Ask now. Refused for budget, contamination, a no-op or a repeat; thin dev evidence is no obstacle."""
    experiment = experiments.get(session.db, identifier)
    refuse_scalar(session, "certified")
    if not session.is_rehearsal:
        epoch.enter(session, on_tick)
    _refuse_standing(experiment)
    if findings.blocks(session.db, identifier):  # seldom; a check that failed is tried again when it is asked for
        import_module("evo.ops.checks.commands").forget(session, identifier)
    if reason := unfit(session, experiment):
        raise Refused(f"{identifier}: {reason}", hint=f"evo show {identifier}")
    if experiment.epoch != session.epoch:
        raise Refused(f"{identifier} has its score in an older epoch", hint=f"evo rescore {identifier}")
    mind = form_beliefs(session)
    committed = gate_rows.last_committed(session.db)
    candidate, reference = side(session, identifier), side(session, committed)
    asked = question(candidate, reference, strength(session, identifier, committed, mind))
    rules, history = rules_of(session), history_of(session)
    if rules.mode != "every-run" and history.looks >= rules.looks:
        raise BudgetSpent(
            f"all {rules.looks} looks at this held-out set are spent", hint="only new held-out items renew them"
        )
    if obstacle := asking.refusal(asked, history, rules):
        raise Refused(f"{identifier}: {obstacle}")
    if session.is_rehearsal:
        would = f"would ask, at the price of look {history.looks + 1} of {rules.looks}; the answer is not foretold"
        return CertifyView(identifier, committed, False, LooksView(history.looks, rules.looks), would)
    return ask(session, candidate, reference, zeta=asked.zeta, on_tick=on_tick)


def _refuse_standing(experiment: Experiment) -> None:
    if experiment.state == "committed":
        raise Refused(f"{experiment.id} is committed already", hint=f"evo show {experiment.id}")
    if experiment.state == "contaminated":
        raise Denied(f"{experiment.id} is contaminated: {experiment.state_reason}", hint=f"evo show {experiment.id}")
    if experiment.state != "open":
        raise Refused(f"{experiment.id} is {experiment.state}; only an open experiment can be certified")


def refuse_scalar(session: Session, what: str) -> None:
    if session.config.eval.mode == "scalar":
        raise Refused(
            f"nothing is {what} by a benchmark that yields one number a call (eval.mode: scalar):"
            " a paired test needs a result for each held-out item",
            hint="evo show says what its repeats gave; a benchmark with a log of samples can be read by eval.read",
        )


def ask(session: Session, candidate: Side, reference: Side, *, zeta: float, on_tick: OnTick = silent) -> CertifyView:
    """Write the look down, evaluate both sides on held-out, decide, record. Busy where another process is at it."""
    judge, _ = epoch.enter(session, on_tick)
    with turn(session, candidate.experiment.id):
        return _ask(session, judge, candidate, reference, zeta=zeta, on_tick=on_tick)


def _ask(
    session: Session, judge: Judge, candidate: Side, reference: Side, *, zeta: float, on_tick: OnTick
) -> CertifyView:
    rules = rules_of(session)
    seal.load_split(session.layout.root, "heldout")  # a broken seal costs no look
    sides = sides_of(session, judge, candidate, reference, on_tick)  # nor does a guard that could never hold
    import_module("evo.ops.checks.commands").before_question(session, candidate.experiment.id, on_tick)
    import_module("evo.ops.checks.verify").before_question(session, judge, candidate.experiment.id, on_tick)
    ours, theirs = candidate.experiment.id, reference.experiment.id
    limit = rules.looks if rules.mode != "every-run" else 10**9
    look = gate_rows.reserve_look(
        session.db,
        heldout_hash=session.heldout_hash,
        experiment=ours,
        against=theirs,
        weights_hash=candidate.weights_hash,
        against_weights_hash=reference.weights_hash,
        limit=limit,
        evidence=zeta,
    )
    history = replace(history_of(session), looks=look.k - 1)  # this look's own place: reserved ones before it count
    alpha = asking.alpha_of(history, rules)
    decision = decide_on(session, judge, sides, rules=rules, alpha=alpha, on_tick=on_tick)
    record_answer(session, look, candidate, decision, terms=terms_of(session, sides, alpha=alpha))
    used = gate_rows.looks_used(session.db, session.heldout_hash)
    said = (
        f"committed: certified against {theirs}"
        if decision.passed
        else f"kept: open, a legal parent; not certified against {theirs}"
    )
    declared = lineage.declared(session.db, ours)
    said += f" (look {used} of {rules.looks}{f'; lineage {declared}' if declared else ''})"
    return CertifyView(ours, theirs, decision.passed, LooksView(used, rules.looks), said)


def record_answer(session: Session, look: Look, candidate: Side, decision: Decision, *, terms: Terms) -> None:
    attempt = attempts.get(session.db, candidate.experiment.id, candidate.experiment.primary_attempt or 1)
    gate_rows.answer(
        session.db,
        look,
        passed=decision.passed,
        mode=session.config.gate.mode,
        isolation=attempt.isolation,
        epoch=session.epoch or "",
        move_to_committed=True,
        terms=terms,
    )
