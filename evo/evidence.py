"""What dev says about the question that the gate may ask: about whom, how strong, and what stands in the way.

Invariant: everything here is read from dev and from the number and outcome of looks; nothing held-out is touched and
nothing is written.
"""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from evo.beliefs import Beliefs
from evo.domain.experiment import ROOT, Experiment
from evo.gate import asking
from evo.gate.decision import GateRules
from evo.gate.noise import sigma_run
from evo.gate.statistics import Interval, RunNoise, interval, paired
from evo.search.ranking import best_first
from evo.search.worth import MOST_SEEDS, Contender, of_seed
from evo.session import Session
from evo.store import attempts, experiments, findings, gate_rows, results


class Standpoint(NamedTuple):
    """How near a certificate is. `target` is whom the gate would ask about, `reference` the last committed.

    `obstacle` says why the question is never asked about `target`, however strong the evidence; else it is empty.
    """

    target: str
    reference: str
    verdict: asking.Verdict
    obstacle: str


def rules_of(session: Session) -> GateRules:
    gate = session.config.gate
    return GateRules(gate.mode, gate.alpha, gate.min_gain, gate.looks)


def gate_is_on(session: Session) -> bool:
    return not why_gate_is_off(session)


def why_gate_is_off(session: Session) -> str:
    """Evo.yaml turns it off, or there is nothing to ask about; empty when it is on."""
    if session.config.eval.mode == "scalar":
        return "a benchmark that yields one number a call (eval.mode: scalar) has no items to pair: never certified"
    return "" if session.config.gate.mode != "none" and session.heldout_hash else "the gate is off"


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


def unfit(session: Session, experiment: Experiment) -> str:
    """Why an experiment cannot be certified as it stands; empty when it can."""
    if experiment.is_noop:
        return "its weights are those of its parent or of the base: a no-op is never certified"
    if experiment.has_forbidden:
        return "it gave forbidden outputs on dev"
    if experiment.rerun_of:
        return f"it is a rerun of {experiment.rerun_of}: never certifiable"
    return blocked(session, experiment.id)


def blocked(session: Session, identifier: str) -> str:
    """What a check has found that stops a commit until it is settled; empty where there is nothing."""
    found = findings.blocks(session.db, identifier)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{found[0].finding.source} found: {found[0].finding.message}{more}" if found else ""


def strength(session: Session, candidate: str, reference: str, mind: Beliefs) -> float:
    """ζ of `candidate` over `reference`; the root's own half is added where the reference is the root."""
    i, j = mind.tree.at(candidate), mind.tree.at(reference)
    difference = mind.posterior.difference(i, j)
    half = root_half(session, candidate) if reference == ROOT else 0.0
    return asking.zeta(difference.mean, difference.variance, root_half=half)


def root_half(session: Session, candidate: str) -> float:
    """Var d/(2n) of the candidate's paired dev differences to the root."""
    epoch = session.epoch
    if epoch is None:
        return 0.0
    seen = results.item_means(session.db, candidate, eval_hash=epoch)
    base = results.item_means(session.db, ROOT, eval_hash=epoch)
    if not seen or set(seen) != set(base):
        return 0.0
    metric = session.metric
    differences = [metric.adjusted(seen[item] - base[item]) for item in base]
    n = len(differences)
    mean = sum(differences) / n
    return sum((d - mean) ** 2 for d in differences) / max(1, n - 1) / (2 * n)


def standpoint(session: Session, mind: Beliefs, *, about: str | None = None) -> Standpoint:
    """Whether the gate would ask now: about the best node, or about `about` where every run is asked about."""
    rules = rules_of(session)
    reference = gate_rows.last_committed(session.db)
    target = about if about is not None and rules.mode == "every-run" else mind.best
    question = asking.Question(
        target,
        reference,
        weights_of(session, target),
        weights_of(session, reference),
        strength(session, target, reference, mind),
    )
    history = history_of(session)
    obstacle = unfit(session, experiments.get(session.db, target)) or asking.refusal(question, history, rules)
    return Standpoint(target, reference, asking.judge(question, history, rules), obstacle)


class Contending(NamedTuple):
    """One of the two best nodes. `further`: the seed that no run of it has had; None where evo runs no further one."""

    id: str
    facts: Contender
    further: int | None


def contenders(session: Session, mind: Beliefs) -> tuple[Contending, Contending] | None:
    """The two best by posterior mean; None while nothing but the root has a score, or no further seed could run."""
    if session.config.eval.mode == "scalar":
        return None
    chosen = best_first(mind.tree, mind.posterior.mean, 2)
    found = [contending(session, mind, mind.tree.ids[i]) for i in chosen]
    return (found[0], found[1]) if len(found) == 2 and found[0].id != ROOT else None


def contending(session: Session, mind: Beliefs, identifier: str) -> Contending:
    known = experiments.get(session.db, identifier)
    mean, sd = mind.estimate(identifier)
    run = sigma_run(session.config.gate.sigma_run, known.technique) ** 2 / max(1, known.seeds)
    noise = max(known.gain_var or 0.0, run)
    facts = Contender(mean, sd * sd, noise, run, max(1, known.seeds))
    return Contending(identifier, facts, further_of(session, known))


def further_of(session: Session, known: Experiment) -> int | None:
    """Above every seed that was tried, failed ones too; none for the baseline and for what was trained elsewhere."""
    if known.id == ROOT or known.origin or known.seeds >= MOST_SEEDS:
        return None
    return 1 + max((one.seed for one in attempts.of(session.db, known.id)), default=known.seed)


class Again(NamedTuple):
    """A further seed, and what it is worth."""

    worth: float
    id: str
    seed: int


def worth_again(pair: tuple[Contending, Contending], *, but: Set[str] = frozenset()) -> Again | None:
    """The further seed of one of the two best that is worth most, `but` left out; None where none can be run."""
    best, other = pair
    worths = ((of_seed(best.facts, other.facts, of_best=True), best), (of_seed(best.facts, other.facts), other))
    allowed = [(worth, one) for worth, one in worths if one.id not in but]
    found = [Again(worth, one.id, one.further) for worth, one in allowed if one.further is not None]
    return max(found, key=lambda again: again.worth, default=None)


def dev_difference(session: Session, one: Experiment, other: str, *, epoch: str) -> Interval | None:
    """Paired dev difference of `one` over `other`, in units; None without results of both in that epoch."""
    ours = results.pooled_means(session.db, one.id, eval_hash=epoch)
    theirs = results.pooled_means(session.db, other, eval_hash=epoch)
    if not theirs or set(theirs) != set(ours):
        return None
    adjusted = session.metric.adjusted
    pair = paired([adjusted(ours[item]) for item in theirs], [adjusted(value) for value in theirs.values()])
    sigma = sigma_run(session.config.gate.sigma_run, one.technique)
    return interval(pair, RunNoise(sigma, max(1, one.seeds), 1))


def weights_of(session: Session, experiment: str) -> str:
    """Hash of the weights that a certificate would speak about; empty before the first score."""
    primary = experiments.get(session.db, experiment).primary_attempt
    return "" if primary is None else attempts.get(session.db, experiment, primary).weights_hash or ""
