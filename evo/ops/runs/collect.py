"""From a finished attempt folder to the store: the way up, one piece of code for `run`, `sync`, `wait` and `recover`.

Invariant: a measured score is stored in one transaction before any other step, once, and only for the live token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal

from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT
from evo.domain.item import ItemResult
from evo.domain.job import AttemptFolder, ProcessId, Result
from evo.domain.score import Metric, Score, mean_over_seeds, per_item
from evo.errors import EvoError, FileFormatError
from evo.evaluate.weights import adds_zero, strays, weights_hash
from evo.files import read_json
from evo.gate.noise import sigma_run
from evo.gate.statistics import SPREAD_FLOOR, score_error
from evo.lightdata import dataclass, replace
from evo.ops.judging.judge import read_results
from evo.runner import process, recover
from evo.runner.recover import Finding
from evo.search.tree import Sighting, sighting
from evo.session import Session
from evo.store import attempts, experiments, meta, nodes, record, results
from evo.store.record import DeclaredArtifact, Finished
from evo.validation import restore

Ending = Literal["stored", "trained", "lost", "running", "interrupted"]


REGRESSED = "regressed"
"""What the supervisor calls a good training whose evaluation it left out."""


@dataclass(frozen=True)
class Collected:
    """What became of an attempt: `stored` (it has ended), `trained` (its evaluation is owed), `lost`, `running`, or
    `interrupted` (cut off; it goes on at its last checkpoint when it is run again)."""

    experiment: str
    n: int
    ending: Ending
    result: Result | None = None


@dataclass(frozen=True)
class Measurement:
    """The score of an experiment over its seeds, and its gain over the root (None for the root itself)."""

    score: Score
    sighting: Sighting | None
    seeds: int


def controller_of(attempt: Attempt) -> ProcessId | None:
    """The process that claimed the attempt."""
    return restore(ProcessId, json.loads(attempt.controller)) if attempt.controller else None


def is_excused(attempt: Attempt, folder: AttemptFolder) -> bool:
    """True when the machine or the controller vanished: such an attempt is lost and does not count.

    One whose supervisor alone was killed counts, or killing it would buy attempts.
    """
    controller, here = controller_of(attempt), process.current()
    if controller is None or (controller.host, controller.boot_id) != (here.host, here.boot_id):
        return True
    if attempt.detached:
        return not folder.supervisor.is_file()
    return not process.is_alive(controller)


def collect(session: Session, attempt: Attempt) -> Collected:
    """Take in one attempt, if there is anything to take in. Safe to call at any time, by any process."""
    folder = session.layout.attempt(attempt.experiment, attempt.n)
    if attempt.is_interrupted:
        return Collected(attempt.experiment, attempt.n, "interrupted")
    finding = recover.inspect(folder.root, token=attempt.token, controller=controller_of(attempt))
    if finding.kind in ("running", "starting"):
        return Collected(attempt.experiment, attempt.n, "running")
    if finding.kind != "finished":  # a supervisor that finished has left no process behind
        process.sweep(folder.root, token=attempt.token)
    if folder.checkpoints.is_dir() and _goes_on_later(session, attempt, folder, finding):
        return Collected(attempt.experiment, attempt.n, "interrupted", finding.result)
    if finding.kind == "lost" and not is_excused(attempt, folder):
        killed = Result(attempt.token, "killed", "train", failure="supervisor_killed", message=finding.why)
        return store_result(session, attempt, folder, killed)
    if finding.kind == "lost":
        record.lose(session.db, attempt.experiment, attempt.n, token=attempt.token, reason=finding.why)
        return Collected(attempt.experiment, attempt.n, "lost")
    return store_result(session, attempt, folder, finding.result or _cut_off(attempt, folder, finding))


def _cut_off(attempt: Attempt, folder: AttemptFolder, finding: Finding) -> Result:
    """Good training whose evaluation nobody ended. The supervisor laid its job anew when training was over."""
    job = read_json(folder.job) if folder.job.is_file() else {}
    return Result(
        attempt.token,
        "trained",
        "evaluate",
        failure="cut_off",
        train_seconds=finding.train_seconds,
        isolation=job.get("isolation", "none"),
    )


def _goes_on_later(session: Session, attempt: Attempt, folder: AttemptFolder, finding: Finding) -> bool:
    """Left live at its checkpoint: its training was cut off, or it was a partial run. Both are rare, and not imported
    before there is a checkpoint."""
    if import_module("evo.ops.runs.resume").interrupt(session, attempt, folder, finding):
        return True
    return bool(import_module("evo.ops.runs.partial").set_aside(session, attempt, folder, finding))


def store_result(session: Session, attempt: Attempt, folder: AttemptFolder, result: Result) -> Collected:
    finished = _finished(session, attempt, folder, result)
    if folder.eval_identity.is_file() or len(finished.artifacts) < len(named_artifacts(folder)):
        finished = import_module("evo.ops.checks.identity").told(session, folder, finished)
    if not record.finish(session.db, finished):  # somebody else bears the attempt by now, or stored it before
        return Collected(attempt.experiment, attempt.n, "running" if _is_live(session, attempt) else "stored", result)
    if finished.score is not None:
        import_module("evo.ops.checks.diagnose").refresh(session)
        if nodes.is_from_idea(session.db, attempt.experiment):
            import_module("evo.ops.ideas.calibration").settle_outcomes(session)
    if finished.results and session.config.guards:
        import_module("evo.ops.checks.guards").take_in(session, attempt.experiment, attempt.n, folder.eval_dir)
    if any(row.output is not None for row in finished.results):
        checks = import_module("evo.ops.checks.outputs")
        checks.look_over(session, attempt.experiment, attempt.n, graded=finished.results, eval_dir=folder.eval_dir)
    ending: Ending = "trained" if finished.outcome == "trained" else "stored"
    return Collected(attempt.experiment, attempt.n, ending, result)


def _is_live(session: Session, attempt: Attempt) -> bool:
    return attempts.get(session.db, attempt.experiment, attempt.n).outcome is None


def _finished(session: Session, attempt: Attempt, folder: AttemptFolder, result: Result) -> Finished:
    gpus = read_json(folder.job).get("gpus", 0) if folder.job.is_file() else 0
    before = (attempt.train_seconds or 0.0) if attempt.state == "queued" else 0.0
    trained = 0.0 if attempt.state == "running" else result.train_seconds or 0.0  # taken up: it was recorded before
    mid = import_module("evo.ops.runs.mid").left_by(folder) if has_mid(folder) else None
    ended = Finished(
        experiment=attempt.experiment,
        n=attempt.n,
        token=attempt.token,
        outcome="failed",
        failure=result.failure,
        message=result.message,
        isolation=result.isolation,
        train_seconds=None if result.train_seconds is None else before + result.train_seconds,
        eval_seconds=result.eval_seconds,
        gpu_seconds=gpus * (trained + (result.eval_seconds or 0.0)),
        commit=attempt.commit,
        content_hash=attempt.content_hash,
        artifacts=declared_artifacts(folder),
        summary=training_summary(folder),
        mid=mid.rows if mid else [],
    )
    if result.outcome != "ok":
        return replace(ended, outcome=result.outcome)
    try:
        if result.failure == REGRESSED:
            ended = _left_out(session, attempt, folder, ended)
        else:
            ended = _with_score(session, attempt, folder, ended)
        return replace(ended, mid_results=mid.results if mid else [])
    except EvoError as error:
        return replace(ended, failure="bad_result", message=error.message)


def has_mid(folder: AttemptFolder) -> bool:
    return folder.mid_dir.is_dir() or folder.eval_mid.is_file()


def _left_out(session: Session, attempt: Attempt, folder: AttemptFolder, ended: Finished) -> Finished:
    """`ended` as a good attempt whose evaluation was not worth its time."""
    weights = weights_hash(folder.output)
    return replace(
        ended,
        outcome="ok",
        message="by mid-evaluation its best checkpoint is clearly worse than the parent",
        weights_hash=weights,
        is_noop=is_noop(session, attempt.experiment, weights) or adds_zero(folder.output),
        eval_hash=str(read_json(folder.eval_job)["eval_hash"]),
        is_regressed=True,
    )


def _with_score(session: Session, attempt: Attempt, folder: AttemptFolder, ended: Finished) -> Finished:
    """`ended` as a good attempt, with everything that the evaluation says."""
    summary, graded = read_results(folder.eval_dir)
    if summary.split != "dev":
        raise FileFormatError(folder.eval_summary, f"is about {summary.split}, not dev", field="split")
    measured = measure(session, attempt, graded, epoch=summary.eval_hash)
    return replace(
        ended,
        outcome="ok",
        weights_hash=summary.weights_hash,
        is_noop=is_noop(session, attempt.experiment, summary.weights_hash) or adds_zero(folder.output),
        eval_hash=summary.eval_hash,
        results=graded,
        score=measured.score,
        gain=measured.sighting.gain if measured.sighting else 0.0,
        gain_var=measured.sighting.variance if measured.sighting else 0.0,
        seeds=measured.seeds,
        is_primary=not has_primary(session, attempt),
        has_forbidden=any(result.is_forbidden for result in graded),
    )


def measure(session: Session, attempt: Attempt, graded: list[ItemResult], *, epoch: str) -> Measurement:
    """Score and gain of the experiment with this attempt's results among those of its other seeds."""
    runs = [per_item(graded), *other_seeds(session, attempt, epoch=epoch)]
    means = mean_over_seeds(runs)
    values = list(means.values())
    score = score_of(session, values)
    if attempt.experiment == ROOT:
        meta.set(session.db, "metric_unit", unit_of(session.metric, values))
        return Measurement(score, None, len(runs))
    base = results.item_means(session.db, ROOT, eval_hash=epoch)
    return Measurement(score, gain_over(session, attempt.experiment, means, base, seeds=len(runs)), len(runs))


def score_of(session: Session, values: list[float]) -> Score:
    """Mean and standard error; over the repeats, where the benchmark yields one number a call."""
    error = score_error(values, is_scalar=session.config.eval.mode == "scalar")
    return Score(math.fsum(values) / len(values), error, len(values))


def gain_over(
    session: Session, experiment: str, means: Mapping[str, float], base: Mapping[str, float], *, seeds: int
) -> Sighting | None:
    """y_k and s_k² against the root; None when the root has no results in this epoch."""
    if not base or set(base) != set(means):
        return None
    metric = session.metric
    ours = [metric.adjusted(means[item]) for item in base]
    theirs = [metric.adjusted(value) for value in base.values()]
    technique = experiments.get(session.db, experiment).technique
    sigma = sigma_run(session.config.gate.sigma_run, technique)
    floor = SPREAD_FLOOR**2 if session.config.eval.mode == "scalar" else None
    return sighting(ours, theirs, sigma_run=sigma, seeds=seeds, floor=floor)


def unit_of(metric: Metric, values: list[float]) -> float:
    """1 for scores in [0, 1], else the base's per-item standard deviation (1 where that is nothing)."""
    if (metric.low, metric.high) == (0.0, 1.0):
        return 1.0
    if len(set(values)) < 2:
        return 1.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def other_seeds(session: Session, attempt: Attempt, *, epoch: str) -> list[dict[str, float]]:
    """Per-item results of the newest good attempt of every other seed with the same content."""
    newest: dict[int, int] = {}
    for other in attempts.of(session.db, attempt.experiment):
        if other.outcome == "ok" and other.content_hash == attempt.content_hash and other.seed != attempt.seed:
            newest[other.seed] = other.n
    runs = (results.items(session.db, attempt.experiment, n=n, eval_hash=epoch) for n in newest.values())
    return [per_item(run) for run in runs if run]


def is_noop(session: Session, experiment: str, weights_hash: str) -> bool:
    """True when the weights are those of the base or of the parent."""
    if experiment == ROOT:
        return False
    parent = experiments.get(session.db, experiment).parent
    return weights_hash in {primary_weights(session, other) for other in (ROOT, parent) if other is not None}


def primary_weights(session: Session, experiment: str) -> str | None:
    """Hash of the weights that stand for an experiment."""
    found = experiments.get(session.db, experiment).primary_attempt
    return None if found is None else attempts.get(session.db, experiment, found).weights_hash


def has_primary(session: Session, attempt: Attempt) -> bool:
    """True when the experiment's weights are those of another attempt of the same content: of its lowest seed.

    Children and certificates hold on to the weights that they were made with.
    """
    found = experiments.get(session.db, attempt.experiment).primary_attempt
    if found is None or found == attempt.n:
        return False
    primary = attempts.get(session.db, attempt.experiment, found)
    if primary.content_hash != attempt.content_hash or primary.seed == attempt.seed:
        return False
    return primary.seed < attempt.seed or experiments.is_frozen(session.db, attempt.experiment)


def training_summary(folder: AttemptFolder) -> dict[str, float]:
    """How it trained, where it said anything."""
    if not folder.metrics.is_file():
        return {}
    summary: dict[str, float] = import_module("evo.ops.runs.readings").training_summary(folder)
    return summary


def declared_artifacts(folder: AttemptFolder) -> list[DeclaredArtifact]:
    """What the recipe declared of what lies in the attempt's own folder; evo keeps nothing else."""
    return [row for row in named_artifacts(folder) if lies_within(Path(row.uri), folder)]


def named_artifacts(folder: AttemptFolder) -> list[DeclaredArtifact]:
    """What the recipe named; an unreadable list names nothing."""
    if not folder.artifacts.is_file():
        return []
    try:
        rows = read_json(folder.artifacts)
        return [DeclaredArtifact(*(str(row[key]) for key in DeclaredArtifact._fields)) for row in rows]
    except (EvoError, KeyError, TypeError):
        return []


def lies_within(path: Path, folder: AttemptFolder) -> bool:
    """Whether `path` and all that it leads to is the attempt's own, and not the evaluator's."""
    real = path.resolve()
    is_own = real.is_relative_to(folder.root.resolve()) and not real.is_relative_to(folder.eval_dir.resolve())
    return is_own and not (path.is_symlink() or (path.is_dir() and strays(path)))
