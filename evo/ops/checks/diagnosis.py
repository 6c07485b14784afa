"""What `evo diagnose` shows: the tree judged now, or one experiment, with the evidence beside it.

Invariant: showing writes nothing; only `--ack` and `--format` do. Lists are bounded.
"""

from __future__ import annotations

from functools import partial

from evo.diagnose import modes as diagnose_modes
from evo.diagnose.modes import Answer
from evo.diagnose.outputs import SOURCE as OUTPUTS
from evo.diagnose.outputs import TRUNCATED
from evo.diagnose.priors import PRIORS
from evo.diagnose.tree import diagnose
from evo.domain.diagnose_views import DiagnoseView, ModeView, PriorView, SidesView
from evo.domain.experiment import ROOT
from evo.domain.finding import Finding
from evo.domain.views import FindingView, Hint
from evo.errors import Refused
from evo.ops.checks.diagnose import SHOTS, dev_items, of_tree, tree_facts
from evo.ops.checks.sides import graded, sides
from evo.session import Session
from evo.store import experiments, findings, nodes, results
from evo.store.findings import Recorded

MOST = 50


def diagnosis(session: Session, experiment: str | None = None, *, acknowledged: str = "") -> DiagnoseView:
    """NotFound for an experiment that is none; Refused for one without a score."""
    if experiment is not None and experiments.get(session.db, experiment).score_mean is None:
        raise Refused(f"{experiment} has no score yet: there is nothing to diagnose", hint=f"evo run {experiment}")
    fired = fire(session)
    shown = fired if experiment is None else [view_of(one) for one in findings.of(session.db, experiment, limit=MOST)]
    subject = experiment or best(session)
    return DiagnoseView(
        experiment=experiment,
        findings=shown,
        dev_worn=any(one.kind == "dev-worn" for one in fired),
        modes_of=subject,
        modes=[] if subject is None else modes_of(session, subject),
        sides=sides_for(session, experiment, fired, shows_all=bool(acknowledged)),
        priors=[PriorView(prior.name, prior.why, prior.here) for prior in PRIORS] if experiment is None else [],
        acknowledged=acknowledged,
    )


def fire(session: Session) -> list[FindingView]:
    """What the tree says now, each with the number and the word that the store has for it, and the last `--format`."""
    facts = tree_facts(session)
    known = {(one.finding.kind, one.finding.message): one for one in of_tree(session)}
    now = [] if facts is None else diagnose(facts)
    fired = [fresh_view(one, known.get((one.kind, one.message))) for one in now]
    return fired + [view_of(one) for one in findings.of(session.db, None, source=SHOTS, limit=1)]


def fresh_view(finding: Finding, known: Recorded | None) -> FindingView:
    said = (finding.source, finding.kind, finding.severity, finding.message, finding.evidence, finding.next)
    return FindingView(0 if known is None else known.id, None, *said, settled="" if known is None else known.settled)


def view_of(one: Recorded) -> FindingView:
    said = one.finding
    about = (said.source, said.kind, said.severity, said.message, said.evidence, said.next)
    return FindingView(one.id, one.experiment, *about, settled=one.settled)


def sides_for(
    session: Session, experiment: str | None, fired: list[FindingView], *, shows_all: bool
) -> SidesView | None:
    """Of the experiment; of the tree only where three techniques came to one score and nobody has looked yet."""
    if experiment is not None:
        return sides(session, [experiment])
    for one in fired:
        if one.kind == "same-score" and (shows_all or not one.settled):
            return sides(session, [str(id) for id in one.evidence["experiments"]])  # type: ignore[attr-defined]
    return None


def best(session: Session) -> str | None:
    """The experiment of highest gain; the baseline where there is no other."""
    epoch = session.epoch
    if epoch is None or experiments.get(session.db, ROOT).score_mean is None:
        return None
    return nodes.best(session.db, epoch) or ROOT


def modes_of(session: Session, identifier: str) -> list[ModeView]:
    """Row D12: at most three. None where the metric's range is open, which has no wrong answers."""
    experiment, metric = experiments.get(session.db, identifier), session.metric
    if metric.low is None or metric.high is None or experiment.epoch is None:
        return []
    worst, reach = (metric.low, metric.high) if metric.sign > 0 else (metric.high, metric.low)
    place = partial(share_of_range, worst=worst, best=reach)
    base = results.item_means(session.db, ROOT, eval_hash=experiment.epoch) if identifier != ROOT else {}
    dev = {item.id: item for item in dev_items(session)}
    answers = [
        Answer(
            slice=dev[item].slice if item in dev else None,
            target=dev[item].target if item in dev else None,
            output=result.output or "",
            score=place(result.score),
            base=place(base[item]) if item in base else None,
        )
        for item, result in graded(session, experiment).items()
    ]
    if not any(answer.output for answer in answers):
        return []  # a benchmark that gives numbers alone
    seen = [
        diagnose_modes.FailureMode("inference-template", "cut-off", said.evidence["share"], said.message, said.next)
        for said in (known.finding for known in findings.of(session.db, identifier, source=OUTPUTS))
        if said.kind == TRUNCATED
    ]
    found = diagnose_modes.failure_modes(answers, seen=seen, is_trained=identifier != ROOT)
    return [ModeView(mode.label, mode.name, mode.share, mode.message, mode.next) for mode in found]


def share_of_range(score: float, *, worst: float, best: float) -> float:
    return (score - worst) / (best - worst)


def steps(view: DiagnoseView) -> tuple[Hint, ...]:
    """The command that follows each finding that nobody has settled."""
    return tuple(Hint(one.next, one.message) for one in view.findings if one.next and not one.settled)
