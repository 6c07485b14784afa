"""`evo show`, and the view that `evo run` and its kin emit of an experiment.

Invariant: the only score is the stored one; the shrunken estimate stands beside it under its own name; of held-out
nothing is known here but passed, look and isolation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from evo.beliefs import Beliefs, recall_beliefs
from evo.clock import seconds_since
from evo.domain.attempt import INTERRUPTED, Attempt
from evo.domain.experiment import ROOT, Experiment, parse_experiment_id
from evo.domain.item import Item
from evo.domain.run_views import MidView
from evo.domain.views import (
    AttemptView,
    CertificateView,
    CostView,
    ExperimentView,
    FindingView,
    Hint,
    IntervalView,
    RecipeView,
    Reply,
)
from evo.errors import EvoError
from evo.evidence import standpoint
from evo.report.best import corrected
from evo.report.live import at_work
from evo.report.pairs import by_slice, dev_items, difference, score_of, with_parent
from evo.report.readings import readings_view
from evo.report.sentences import sentence
from evo.report.watch import live_vitals
from evo.session import Session, open_session
from evo.store import attempts, datasets, experiments, findings, gate_rows, lineage, listings, mid, notes, results

if TYPE_CHECKING:
    from evo.domain.guard_views import GuardView

Z_95 = 1.959963984540054
MOST = 50
"""Children, notes and attempts that a view carries at most: the newest notes, the last attempts."""


def show_reply(identifier: str) -> Reply:
    name = parse_experiment_id(identifier)
    with open_session(readonly=True) as session:
        return reply(session, name)


def reply(
    session: Session,
    identifier: str,
    *,
    message: str = "",
    warnings: tuple[str, ...] = (),
    failure: EvoError | None = None,
) -> Reply:
    """The experiment as a reply: what `show`, `run` and `wait` hand to the command line."""
    view = experiment_view(session, identifier, message=message)
    return Reply(view, next=hints(view), warnings=warnings, failure=failure)


def experiment_view(session: Session, identifier: str, *, message: str = "") -> ExperimentView:
    """Everything about one experiment. `message` replaces the sentence that its facts would give. NotFound."""
    db = session.db
    experiment = experiments.get(db, identifier)
    tries = attempts.of(db, identifier)
    mind = recall_beliefs(session) if is_present(session, experiment) else None
    stand = standpoint(session, mind, about=identifier) if mind is not None else None
    is_target = stand is not None and stand.target == identifier and identifier != stand.reference
    is_running = any(at_work(session, attempt) for attempt in tries)
    dev = dev_items(session) if experiment.epoch is not None else {}
    pairing = with_parent(session, experiment)
    return ExperimentView(
        id=experiment.id,
        parent=experiment.parent,
        state=experiment.state,
        hypothesis=experiment.hypothesis,
        recipe=RecipeView(experiment.recipe, experiment.technique, experiment.params),
        score=score_of(experiment),
        delta=None if pairing is None else difference(session, pairing, dev),
        attempts=[attempt_view(session, attempt) for attempt in tries[-MOST:]],
        certificate=certificate_view(session, experiment),
        epoch=experiment.epoch,
        cost=cost_of(tries),
        seed=experiment.seed,
        running=is_running,
        noop=experiment.is_noop,
        regressed=experiment.is_regressed,
        forbidden=experiment.has_forbidden,
        dev_exposed=datasets.is_dev_exposed(db, experiment.id),
        created=experiment.created_at,
        worktree=worktree_of(session, identifier),
        commit=experiment.commit,
        insight=experiment.insight,
        reason=experiment.state_reason,
        shrunken=shrunken(session, experiment, mind),
        corrected=corrected(session, experiment),
        seeds=experiment.seeds,
        slices=slice_means(session, experiment, dev),
        notes=[note.text for note in notes.of(db, identifier, limit=MOST)],
        children=listings.child_ids(db, identifier, limit=MOST),
        counted="repeats" if session.config.eval.mode == "scalar" else "dev items",
        claim=claim_of(experiment),
        evidence=stand.verdict.evidence if stand is not None and is_target else None,
        needed=stand.verdict.needed if stand is not None and is_target else None,
        message=message or sentence(session, experiment, tries, stand=stand),
        vitals=live_vitals(session, tries) if is_running else None,
        mids=[] if is_running or not tries else mids_of(session, tries[-1]),
        readings=readings_view(session, experiment, tries, pairing, dev),
        findings=[finding_view(found) for found in findings.of(db, identifier, limit=MOST)],
        guards=guards_of(session, experiment),
    )


def guards_of(session: Session, experiment: Experiment) -> list[GuardView]:
    """Seldom there, and not imported where there are none."""
    if not session.config.guards or experiment.primary_attempt is None:
        return []
    views: list[GuardView] = import_module("evo.report.guards").guard_views(session, experiment)
    return views


def finding_view(found: findings.Recorded) -> FindingView:
    said = found.finding
    about = (said.source, said.kind, said.severity, said.message, said.evidence, said.next)
    return FindingView(found.id, found.experiment, *about, settled=found.settled)


def mids_of(session: Session, attempt: Attempt) -> list[MidView]:
    rows = mid.of(session.db, attempt.experiment, attempt.n)
    return [MidView(row.step, row.mean, row.se, row.n, is_best=row.is_best) for row in rows[-MOST:]]


def is_present(session: Session, experiment: Experiment) -> bool:
    """True when its score counts in the present epoch."""
    return experiment.epoch is not None and experiment.epoch == session.epoch


def shrunken(session: Session, experiment: Experiment, mind: Beliefs | None) -> IntervalView | None:
    """The posterior gain over exp_0000 in the metric's own units: it ranks, and is not the score's gain."""
    if mind is None or experiment.id == ROOT:
        return None
    metric = session.metric
    mean, deviation = mind.estimate(experiment.id)
    center, reach = metric.sign * mean * metric.unit, Z_95 * deviation * metric.unit
    return IntervalView(center, center - reach, center + reach)


def slice_means(session: Session, experiment: Experiment, dev: Mapping[str, Item]) -> dict[str, float]:
    if experiment.epoch is None:
        return {}
    means = results.pooled_means(session.db, experiment.id, eval_hash=experiment.epoch)
    groups = by_slice(means, dev)
    return {name: sum(means[item] for item in items) / len(items) for name, items in groups.items()}


def claim_of(experiment: Experiment) -> str:
    """What the number speaks for: the weights of one run, or the mean over seeds."""
    if experiment.score_mean is None or experiment.id == ROOT:
        return ""
    return "one run" if experiment.seeds <= 1 else f"mean of {experiment.seeds} seeds"


def attempt_view(session: Session, attempt: Attempt) -> AttemptView:
    folder = session.layout.attempt(attempt.experiment, attempt.n)
    has_failed_in_eval = attempt.eval_seconds is not None and attempt.outcome != "ok"
    is_eval = attempt.experiment == ROOT or attempt.state == "trained" or has_failed_in_eval
    return AttemptView(
        n=attempt.n,
        seed=attempt.seed,
        outcome=attempt.outcome,
        class_=attempt.failure,
        seconds=seconds_of(attempt),
        isolation=attempt.isolation,
        state=attempt.state,
        message=attempt.message,
        log=str(folder.eval_log if is_eval else folder.train_log),
    )


def seconds_of(attempt: Attempt) -> float | None:
    """Training and evaluation; while it runs, the time since it was claimed."""
    if attempt.outcome is None and attempt.state != "trained" and not attempt.is_interrupted:
        return round(seconds_since(attempt.created_at), 1)
    if attempt.train_seconds is None and attempt.eval_seconds is None:
        return None
    return (attempt.train_seconds or 0.0) + (attempt.eval_seconds or 0.0)


def cost_of(tries: list[Attempt]) -> CostView:
    ended = [attempt for attempt in tries if attempt.outcome is not None]
    return CostView(sum(a.gpu_seconds for a in tries), sum(seconds_of(a) or 0.0 for a in ended))


def certificate_view(session: Session, experiment: Experiment) -> CertificateView | None:
    """The newest one; a void one only where no other is left."""
    found = gate_rows.certificate_of(session.db, experiment.id)
    if found is None:
        every = gate_rows.certificates(session.db, experiment.id)
        found = every[-1] if every else None
    if found is None:
        return None
    said = (found.against, found.passed, found.look, found.mode, found.isolation, found.is_void)
    return CertificateView(*said, lineage=lineage.declared(session.db, experiment.id))


def worktree_of(session: Session, identifier: str) -> str:
    folder = session.layout.worktree(identifier)
    return str(folder) if folder.is_dir() else ""


def hints(view: ExperimentView) -> tuple[Hint, ...]:
    """What one would do with this experiment next: what is pressing, else what is worth a look."""
    pressing = next(_pressing(view), None)
    if pressing is not None:
        return (pressing,)
    if view.score is None or view.state == "contaminated":
        return ()
    steps = [Hint(f"evo failures {view.id}", "dev items that it gets wrong")]
    if view.parent is not None:
        steps.append(Hint(f"evo diff {view.id}", f"what it changed against {view.parent}"))
    is_asked = view.certificate is not None and not view.certificate.void
    has_evidence = view.evidence is not None and view.needed is not None and view.evidence >= view.needed
    if has_evidence and view.state == "open" and not is_asked:
        steps.insert(0, Hint(f"evo certify {view.id}", f"evidence {view.evidence:.1f} of {view.needed:.3f}"))
    return tuple(steps)


def _pressing(view: ExperimentView) -> Iterator[Hint]:
    if view.running:
        yield Hint(f"evo wait {view.id}", "it is running")
    if any(attempt.class_ == INTERRUPTED and attempt.outcome is None for attempt in view.attempts):
        yield Hint(f"evo run {view.id}", "it goes on at its last checkpoint; no attempt is spent")
    if any(attempt.state in ("queued", "running") for attempt in view.attempts):
        yield Hint("evo recover", "its attempt has gone quiet")
    if any(attempt.state == "trained" for attempt in view.attempts):
        yield Hint(f"evo run {view.id}", "it is trained; its evaluation is owed")
    if view.state == "pending" or (view.id == ROOT and view.score is None):
        yield Hint(f"evo run {view.id}", "it has not run yet")
    if view.regressed:
        yield Hint(f"evo run {view.id}", "evaluates it all the same")
    if view.state == "failed":
        yield Hint(f"evo log {view.id}", "why it failed")
    if view.state == "discarded":
        yield Hint(f"evo restore {view.id}", "takes the discard back")
