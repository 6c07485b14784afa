"""The held-out question: when it is asked, asking it, and the certificate that may come of it.

Invariant: what leaves this module is one bit and the number of looks. Held-out results lie under `.evo/sealed`, their
outputs hashed; a question is written down before it is evaluated, so a crash neither loses nor doubles a look.
"""

from __future__ import annotations

from evo import beliefs
from evo.domain.certificate import Look
from evo.domain.experiment import ROOT, Experiment
from evo.domain.views import CertifyView, LooksView
from evo.errors import BudgetSpent, Refused
from evo.gate import asking
from evo.gate.decision import Decision, GateRules
from evo.ops import epoch
from evo.ops.heldout import Side, Sides, decide_on, side
from evo.ops.progress import OnTick, silent
from evo.session import Session
from evo.store import attempts, experiments, gate_rows, results


def rules_of(session: Session) -> GateRules:
    gate = session.config.gate
    return GateRules(gate.mode, gate.alpha, gate.min_gain, gate.looks)


def history_of(session: Session) -> asking.History:
    """The answered looks at these held-out items; ζ_fail is that of the last failed one since the last commit."""
    answered = [look for look in gate_rows.asks(session.db, session.heldout_hash) if look.passed is not None]
    failed = None
    for look in answered:
        failed = None if look.passed else look.evidence
    return asking.History(
        looks=len(answered),
        passes=sum(bool(look.passed) for look in answered),
        failed_zeta=failed,
        asked=frozenset((look.weights_hash, look.against_weights_hash) for look in answered),
    )


def evidence(session: Session, candidate: str, reference: str, mind: beliefs.Beliefs) -> float:
    """ζ of `candidate` over `reference`; the root's own half is added where the reference is the root."""
    i, j = mind.tree.at(candidate), mind.tree.at(reference)
    difference = mind.posterior.difference(i, j)
    half = root_half(session, candidate) if reference == ROOT else 0.0
    return asking.zeta(difference.mean, difference.variance, root_half=half)


def root_half(session: Session, candidate: str) -> float:
    """Var d/(2n) of the candidate's paired dev differences to the root."""
    seen = session.epoch and results.item_means(session.db, candidate, eval_hash=session.epoch)
    base = session.epoch and results.item_means(session.db, ROOT, eval_hash=session.epoch)
    if not seen or not base or set(seen) != set(base):
        return 0.0
    metric = session.metric
    differences = [metric.adjusted(seen[item] - base[item]) for item in base]
    n = len(differences)
    mean = sum(differences) / n
    return sum((d - mean) ** 2 for d in differences) / max(1, n - 1) / (2 * n)


def question(candidate: Side, reference: Side, zeta: float) -> asking.Question:
    return asking.Question(
        candidate.experiment.id, reference.experiment.id, candidate.weights_hash, reference.weights_hash, zeta
    )


def after_score(session: Session, identifier: str, on_tick: OnTick = silent) -> str:
    """Ask the gate if the rule of this workspace says so. The kind sentence about what it means."""
    rules = rules_of(session)
    scored = experiments.get(session.db, identifier)
    if scored.epoch != session.epoch:
        return f"kept; its score is of an older epoch: evo rescore {identifier}"
    mind = beliefs.form_beliefs(session)
    beliefs.remember_best(session, mind)
    target = identifier if rules.mode == "every-run" else mind.best
    if rules.mode == "none" or not session.heldout_hash:
        return "kept: open, a legal parent; the gate is off"
    committed = gate_rows.last_committed(session.db)
    best = experiments.get(session.db, target)
    if best.state != "open":
        return f"kept: open, a legal parent; {target} ({best.state}) is still the best by what dev shows"
    reason = unfit(best)
    candidate, reference = side(session, target), side(session, committed)
    verdict = asking.judge(
        question(candidate, reference, evidence(session, target, committed, mind)), history_of(session), rules
    )
    if reason or not verdict.ask:
        about = "" if target == identifier else f" ({target} is the best node)"
        return f"kept: open, a legal parent; {reason or verdict.reason}{about}"
    view = ask(session, candidate, reference, zeta=verdict.evidence, on_tick=on_tick)
    return view.message


def unfit(experiment: Experiment) -> str:
    """Why an experiment can never be certified; empty when it can."""
    if experiment.is_noop:
        return "its weights are those of its parent or of the base: a no-op is never certified"
    if experiment.has_forbidden:
        return "it gave forbidden outputs on dev"
    if experiment.rerun_of:
        return f"it is a rerun of {experiment.rerun_of}: never certifiable"
    return ""


def certify(session: Session, identifier: str, on_tick: OnTick = silent) -> CertifyView:
    """Ask now. Refused for budget, contamination, a no-op or a repeat; thin dev evidence is no obstacle."""
    experiment = experiments.get(session.db, identifier)
    epoch.enter(session, on_tick)
    if experiment.state == "committed":
        raise Refused(f"{identifier} is committed already", hint="evo show " + identifier)
    if experiment.state != "open":
        raise Refused(f"{identifier} is {experiment.state}; only an open experiment can be certified")
    if reason := unfit(experiment):
        raise Refused(f"{identifier}: {reason}", hint=f"evo show {identifier}")
    if experiment.epoch != session.epoch:
        raise Refused(f"{identifier} has its score in an older epoch", hint=f"evo rescore {identifier}")
    mind = beliefs.form_beliefs(session)
    committed = gate_rows.last_committed(session.db)
    candidate, reference = side(session, identifier), side(session, committed)
    asked = question(candidate, reference, evidence(session, identifier, committed, mind))
    rules, history = rules_of(session), history_of(session)
    if history.looks >= rules.looks:
        raise BudgetSpent(
            f"all {rules.looks} looks at this held-out set are spent", hint="only new held-out items renew them"
        )
    if obstacle := asking.refusal(asked, history, rules):
        raise Refused(f"{identifier}: {obstacle}")
    return ask(session, candidate, reference, zeta=asked.zeta, on_tick=on_tick)


def ask(session: Session, candidate: Side, reference: Side, *, zeta: float, on_tick: OnTick = silent) -> CertifyView:
    """Write the look down, evaluate both sides on held-out, decide, record."""
    judge, _ = epoch.enter(session, on_tick)
    rules, history = rules_of(session), history_of(session)
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
    decision = decide_on(
        session,
        judge,
        Sides(candidate, reference),
        rules=rules,
        alpha=asking.alpha_of(history, rules),
        on_tick=on_tick,
    )
    record_answer(session, look, candidate, decision)
    used = gate_rows.looks_used(session.db, session.heldout_hash)
    said = (
        f"committed: certified against {theirs}"
        if decision.passed
        else f"kept: open, a legal parent; not certified against {theirs}"
    )
    return CertifyView(
        ours, theirs, decision.passed, LooksView(used, rules.looks), f"{said} (look {used} of {rules.looks})"
    )


def record_answer(session: Session, look: Look, candidate: Side, decision: Decision) -> None:
    attempt = attempts.get(session.db, candidate.experiment.id, candidate.experiment.primary_attempt or 1)
    gate_rows.answer(
        session.db,
        look,
        passed=decision.passed,
        mode=session.config.gate.mode,
        isolation=attempt.isolation,
        epoch=session.epoch or "",
        move_to_committed=True,
    )
