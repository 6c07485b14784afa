"""`evo log EXP --entry` and `--plan`: an experiment as a log entry of thirteen fields, and as the plan that it was.

Invariant: made from stored facts; a field that nobody has filled is named as missing, and never made up.
"""

from __future__ import annotations

from evo.domain.agent_views import EntryView, PlanView
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT, Experiment
from evo.domain.read_views import ChangeView, FileChangeView
from evo.domain.views import Hint, Reply
from evo.errors import EvoError
from evo.report import show
from evo.report.changes import between, files_changed
from evo.report.diff import what_to_compare
from evo.report.failures import failures_view
from evo.report.pairs import score_of
from evo.report.stage import stage_of
from evo.session import Session, open_session
from evo.store import artifacts, attempts, experiments, findings, forecasts, ideas, methods, notes

STATUS = {
    "open": "completed",
    "committed": "completed",
    "failed": "failed",
    "discarded": "completed",
    "pending": "blocked",
}
FIELDS = (
    "context", "status", "motivation", "references", "start_checkpoint", "data", "method", "config", "evaluation",
    "result", "analysis", "artifacts", "next_action",
)  # fmt: skip


def entry_reply(identifier: str) -> Reply:
    with open_session(readonly=True) as session:
        view = entry_view(session, identifier)
    hint = Hint(f'evo note {identifier} --insight "…"', "the analysis: one line that later proposals read")
    return Reply(view, (hint,) if "analysis" in view.missing else (Hint(view.next_action, "as the entry says"),))


def entry_view(session: Session, identifier: str) -> EntryView:
    """Thirteen fields, every one from what is stored."""
    experiment, tries = experiments.get(session.db, identifier), attempts.of(session.db, identifier)
    shown = show.experiment_view(session, identifier)
    idea = ideas.of_experiment(session.db, identifier)
    said = [note.text for note in notes.of(session.db, identifier, limit=5)]
    read = [f"{one.finding.severity}: {one.finding.message}" for one in findings.of(session.db, identifier, limit=5)]
    used = methods.data_of(session.db, experiment)
    view = EntryView(
        experiment=identifier,
        context=f"{session.config.name or session.layout.root.name}, stage {stage_of(session).number},"
        f" child of {experiment.parent}" + (f", branch {experiment.branch}" if experiment.branch else ""),
        status=status_of(experiment, tries),
        motivation=experiment.hypothesis,
        references=[f"{one.title} ({one.status})" for one in idea.idea.references] if idea is not None else [],
        start_checkpoint=_start_of(session, experiment),
        data=[] if used == methods.NOTHING else [used],
        method=methods.method_of(experiment),
        config={**experiment.params, "seed": experiment.seed},
        evaluation=""
        if experiment.epoch is None
        else f"dev, {experiment.score_n} {shown.counted}, epoch {experiment.epoch}",
        result=_result_of(shown.message, experiment),
        analysis="; ".join([*([experiment.insight] if experiment.insight else []), *said, *read]),
        artifacts=[one.uri for one in artifacts.of(session.db, identifier)] or _outputs(session, tries),
        next_action=show.hints(shown)[0].cmd if show.hints(shown) else "evo next",
    )
    missing = [name for name in FIELDS if not getattr(view, name)]
    return EntryView(**{**view.__dict__, "missing": missing})


def status_of(experiment: Experiment, tries: list[Attempt]) -> str:
    """completed, failed or blocked: contaminated and held back is blocked, so is what has not run."""
    if experiment.state == "discarded":
        return "completed" if experiment.score_mean is not None else "failed"
    if experiment.state == "pending" and any(attempt.outcome is None for attempt in tries):
        return "blocked: it is running, or waits to go on"
    return STATUS.get(experiment.state, "blocked")


def _start_of(session: Session, experiment: Experiment) -> str:
    if experiment.id == ROOT:
        return "the base model itself"
    origin = {"base": ROOT, "parent": experiment.parent or ROOT}.get(experiment.start_from, experiment.start_from)
    owner = experiments.get(session.db, origin.partition(":")[0])
    if owner.primary_attempt is None:
        return origin
    weights = attempts.get(session.db, owner.id, owner.primary_attempt).weights_hash or "unhashed"
    return f"{origin} (weights {weights[:12]})"


def _result_of(message: str, experiment: Experiment) -> str:
    score = score_of(experiment)
    return message if score is None else f"{score.mean:.4f} ± {score.se:.4f} (se, n={score.n}); {message}"


def _outputs(session: Session, tries: list[Attempt]) -> list[str]:
    """Paths of what good attempts left: recorded, never copied."""
    folders = (session.layout.attempt(one.experiment, one.n).output for one in tries if one.outcome == "ok")
    return [str(folder) for folder in folders if folder.is_dir()]


def plan_reply(identifier: str) -> Reply:
    with open_session(readonly=True) as session:
        view = plan_view(session, identifier)
    return Reply(view, (Hint(f"evo run {identifier} --dry-run", "what the run would do"),))


def plan_view(session: Session, identifier: str) -> PlanView:
    """Problems seen, one objective, what changes, when it counts as a success. Nothing is executed."""
    experiment = experiments.get(session.db, identifier)
    parent = experiments.get(session.db, experiment.parent or ROOT)
    changed, files = _changes(session, parent, experiment)
    stand = stage_of(session)
    gate = "committed by a certificate against the last committed node"
    return PlanView(
        experiment=identifier,
        parent=experiment.parent,
        problems=problems_of(session, parent),
        objective=experiment.hypothesis,
        kind=kind_of([change.name for change in changed], [file.path for file in files]),
        changes=[f"{one.name}: {one.a} → {one.b}" for one in changed][:20]
        + [f"{one.path} (+{one.added} −{one.removed})" for one in files][:20],
        success=f"dev better than {parent.id}"
        + (f" ({parent.score_mean:.4f})" if parent.score_mean is not None else "")
        + f"; {gate}",
        guidance=[f"stage {stand.number}, {stand.name}: {stand.why}"],
    )


def problems_of(session: Session, parent: Experiment) -> list[str]:
    """What the parent gets wrong on dev, what checks found there, and how attempts have failed."""
    told = [f"{one.finding.severity}: {one.finding.message}" for one in findings.of(session.db, parent.id, limit=5)]
    if parent.epoch is not None:
        try:
            wrong = failures_view(session, parent.id, limit=3)
            told.append(f"{parent.id} gets {wrong.total} dev items wrong, {', '.join(i.id for i in wrong.items)} worst")
        except EvoError as error:
            told.append(f"its dev items cannot be read: {error.message}")
    return told + [f"{one.n}× {one.class_}, last {one.last}" for one in forecasts.failure_classes(session.db, limit=3)]


def kind_of(changed: list[str], files: list[str]) -> str:
    """data, training, or both; `nothing` where it is the parent again."""
    names = [*changed, *files]
    has_data = any("data" in name for name in names)
    has_training = any("data" not in name for name in names)
    return "both" if has_data and has_training else "data" if has_data else "training" if has_training else "nothing"


def _changes(
    session: Session, parent: Experiment, experiment: Experiment
) -> tuple[list[ChangeView], list[FileChangeView]]:
    changed = between(session, parent, experiment)
    try:
        folder, revisions = what_to_compare(session, parent, experiment)
    except EvoError:
        return changed, []
    return changed, files_changed(folder, *revisions)
