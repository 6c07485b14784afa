"""`evo run`: at most one attempt of one experiment, then what its evidence asks for.

Invariant: never two attempts, never a retry by itself; on a finished experiment nothing is started.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import NamedTuple

from evo import registry
from evo.clock import parse_duration
from evo.domain.attempt import Attempt
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.errors import Busy, Denied, EvoError, NotFound, Refused, RunFailed, RunTimedOut, UsageError
from evo.lightdata import dataclass, replace
from evo.ops.checks import leaks, plan
from evo.ops.checks.hold import refuse_held_back
from evo.ops.judging import epoch
from evo.ops.judging.judge import Judge
from evo.ops.progress import OnTick, silent
from evo.ops.runs import isolation
from evo.ops.runs.attempt import attempt_once
from evo.ops.runs.collect import Collected, collect
from evo.ops.runs.launch import Content, RunOptions, Work, prepare, trained_content, warm_executor
from evo.ops.runs.serving import falling_back
from evo.ops.tracking import track
from evo.session import Session
from evo.store import attempts, experiments, nodes
from evo.workspace.repository import ensure_worktree


@dataclass(frozen=True)
class RunRequest:
    experiment: str | None = None
    """None: the oldest pending experiment (`--next`)."""
    executor: str | None = None
    timeout: str | None = None
    seed: int | None = None
    detach: bool = False
    rerun: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """`message` is one kind sentence; `failure` carries the exit code of a run that brought no score."""

    experiment: str
    message: str
    failure: EvoError | None = None
    warnings: tuple[str, ...] = ()
    is_ours: bool = True
    """False where another process had run it, and this one had nothing to start."""


FINISHED_BEFORE = "finished before: nothing was started"


def run(session: Session, request: RunRequest, on_tick: OnTick = silent) -> RunOutcome:
    """Run one experiment to its score, or to the next thing that the person must decide."""
    if request.experiment is not None:
        return to_its_end(session, request, request.experiment, on_tick)
    outcome: RunOutcome | None = None
    while outcome is None or (not outcome.is_ours and nodes.next_pending(session.db) is not None):
        try:
            outcome = to_its_end(session, request, next_pending(session), on_tick)
        except Busy:  # another worker was quicker: there may be another one pending
            time.sleep(0.01)
    return outcome


def to_its_end(session: Session, request: RunRequest, identifier: str, on_tick: OnTick) -> RunOutcome:
    """`run_one`, by another engine from where it stopped if the inference server is lost on the way."""
    work = lambda: run_one(session, request, identifier, on_tick)  # noqa: E731
    return falling_back(session, work, has_failed=lambda outcome: outcome.failure is not None)


def run_one(session: Session, request: RunRequest, identifier: str, on_tick: OnTick) -> RunOutcome:
    experiment = experiments.get(session.db, identifier)
    options = options_of(session, request)
    if experiments.get(session.db, ROOT).score_mean is None:
        prepare(session, experiment)  # what is wrong with it is told before anything is written
    judge, warnings = epoch.enter(session, on_tick)
    if identifier != ROOT:
        run_baseline(session, judge, options, on_tick)
    known = take_in(session, identifier)
    if known.stored is not None:
        return replace(conclude(session, known.stored, warnings, on_tick), is_ours=False)
    experiment = experiments.get(session.db, identifier)
    if identifier != ROOT and (found := leaks.sealed_copies(session, ensure_worktree(session.layout, experiment))):
        leaks.condemn(session, experiment, found)
    if known.is_nothing and (outcome := settled(session, experiment, request, on_tick)) is not None:
        return replace(outcome, warnings=(*warnings, *outcome.warnings))
    with warm_executor(options.executor, session.config) as executor:
        content, options, notes = ready(session, experiment, known, request=request, options=options)
        warnings = (*warnings, *notes, *plan.before_run(session, experiment, content.recipe))
        work = Work(experiment, content)
        is_fresh = not options.evaluate_only and options.resumes is None
        if is_fresh and wants_trial(session, experiment):
            smoke = import_module("evo.ops.runs.smoke")  # 10 ms, which a recipe of one command does not pay
            smoke.before_first_run(session, work, judge, executor=executor, options=options, on_tick=on_tick)
        warnings = (*warnings, *isolation.warnings(session), *track.start(session))
        try:
            collected = attempt_once(session, work, judge, executor=executor, options=options, on_tick=on_tick)
        except attempts.FinishedBefore:
            return RunOutcome(experiment.id, FINISHED_BEFORE, warnings=warnings, is_ours=False)
    if collected is None:
        return RunOutcome(experiment.id, f"detached: `evo wait {experiment.id}` waits, `evo sync` takes it in")
    if options.fidelity is not None and import_module("evo.ops.runs.partial").is_due(session, collected):
        return run_one(session, request, identifier, on_tick)  # promoted: the same attempt goes on
    return conclude(session, collected, warnings, on_tick)


def wants_trial(session: Session, experiment: Experiment) -> bool:
    """True where a smoke run comes before a first full run: not for a recipe that is nothing but a command."""
    return session.config.run.smoke == "auto" and experiment.id != ROOT and "argv" not in experiment.params


def options_of(session: Session, request: RunRequest) -> RunOptions:
    timeout = request.timeout if request.timeout is not None else session.config.run.timeout
    executor = request.executor or session.config.run.executor
    if not registry.load("executor", executor).abilities.is_detachable and request.detach:
        raise UsageError(f"--detach: the executor {executor} ends with this process", hint="--executor local")
    return RunOptions(
        executor=executor,
        seed=request.seed,
        timeout_s=parse_duration(timeout, name="--timeout"),
        detach=request.detach,
        rerun=request.rerun,
    )


def next_pending(session: Session) -> str:
    """The oldest experiment that waits for a run and is not running."""
    found = nodes.next_pending(session.db)
    if found is None:
        raise NotFound("nothing is pending", hint="evo next says what to try; evo new makes an experiment")
    return found


class TakenIn(NamedTuple):
    """What an earlier run has left: an evaluation that is owed, an end that nobody had stored yet, or a training that
    was cut off and can go on."""

    owed: Attempt | None = None
    stored: Collected | None = None
    cut_off: Attempt | None = None

    @property
    def is_nothing(self) -> bool:
        return self == TakenIn()


def take_in(session: Session, experiment: str) -> TakenIn:
    """Collect what is finished. Busy while an attempt runs."""
    live = attempts.live_of(session.db, experiment)
    if live is None:
        return TakenIn()
    if live.state != "trained":
        collected = collect(session, live)
        if collected.ending == "running":
            raise Busy(f"{experiment} is running (attempt {live.n})", hint=f"evo wait {experiment}")
        if collected.ending == "stored":
            return TakenIn(stored=collected)
    now = attempts.get(session.db, experiment, live.n)
    if now.is_interrupted:
        return TakenIn(cut_off=now)
    return TakenIn(owed=now if now.state == "trained" else None)


class Ready(NamedTuple):
    content: Content
    options: RunOptions
    warnings: tuple[str, ...] = ()


def ready(
    session: Session, experiment: Experiment, known: TakenIn, *, request: RunRequest, options: RunOptions
) -> Ready:
    """What is to be run, and how: a fresh attempt, one that goes on at its checkpoint, or the evaluation of one."""
    if known.owed is not None:
        return Ready(trained_content(session, experiment, known.owed), replace(options, evaluate_only=True))
    if experiment.id != ROOT:
        refuse_held_back(session, experiment.technique)
    content = prepare(session, experiment)
    if content.data is not None:
        leaks.refuse_leaks(session, experiment, content.recipe, content.data)
    if known.cut_off is not None:
        refuse_standing(experiment)
        if import_module("evo.ops.runs.resume").goes_on(
            session, known.cut_off, content.content_hash, seed=request.seed
        ):
            return Ready(content, replace(options, resumes=known.cut_off))
    refuse_repeats(session, experiment, content, request)
    if content.recipe.fidelity is None:
        return Ready(content, options)
    partial = import_module("evo.ops.runs.partial")
    return Ready(
        content,
        replace(options, fidelity=partial.share_of(session, experiment, content)),
        partial.why_off(session),
    )


def settled(session: Session, experiment: Experiment, request: RunRequest, on_tick: OnTick) -> RunOutcome | None:
    """What there is to tell without training; None where a run is due. A regressed experiment gets its score first."""
    refuse_standing(experiment)
    n = evaluate_after_all(session, experiment, on_tick) if experiment.is_regressed else 0
    if is_due(session, experiments.get(session.db, experiment.id) if n else experiment, request):
        return None
    if n:
        return conclude(session, Collected(experiment.id, n, "stored"), (), on_tick)
    return RunOutcome(experiment.id, FINISHED_BEFORE, is_ours=False)


def evaluate_after_all(session: Session, experiment: Experiment, on_tick: OnTick) -> int:
    """Score a regressed experiment, which nobody did; the number of its attempt. 0 where its worktree was edited: that
    is to be trained, not this."""
    if prepare(session, experiment).content_hash != experiment.content_hash or experiment.primary_attempt is None:
        return 0
    epoch.rescore(session, experiment.id, on_tick)
    return experiment.primary_attempt


def refuse_standing(experiment: Experiment) -> None:
    if experiment.state == "contaminated":
        raise Denied(f"{experiment.id} is contaminated: {experiment.state_reason}", hint=f"evo restore {experiment.id}")
    if experiment.state == "discarded":
        raise Refused(
            f"{experiment.id} is {experiment.state}: {experiment.state_reason}", hint=f"evo restore {experiment.id}"
        )


def is_due(session: Session, experiment: Experiment, request: RunRequest) -> bool:
    """True when a run would bring something: no score yet, a new seed, edited content, or `--rerun`."""
    if experiment.origin == DECLARED:
        refuse_training(experiment, request)
        return False
    if experiment.score_mean is None:
        return True
    if experiment.id == ROOT:
        return False
    content_hash = prepare(session, experiment).content_hash
    is_edited = content_hash != experiment.content_hash
    if is_edited or request.rerun:
        refuse_frozen(session, experiment, "its worktree was edited" if is_edited else "a rerun has other weights")
        return True
    seed = experiment.seed if request.seed is None else request.seed
    return not any(
        attempt.outcome == "ok" and (attempt.seed, attempt.content_hash) == (seed, content_hash)
        for attempt in attempts.of(session.db, experiment.id)
    )


def refuse_training(experiment: Experiment, request: RunRequest) -> None:
    """An adopted checkpoint has a score or an evaluation that is owed; there is no recipe that could be run again."""
    if experiment.score_mean is None:
        raise Refused(
            f"{experiment.id} was adopted, and its weights have no score",
            hint=f'evo adopt PATH --parent {experiment.parent} -m "…", in the same words, evaluates them again',
        )
    if request.rerun or request.seed not in (None, experiment.seed):
        raise Refused(
            f"{experiment.id} was adopted: evo did not train it and has no recipe to run again",
            hint=f'evo new --parent {experiment.id} --recipe NAME -m "…" trains from it',
        )


def refuse_frozen(session: Session, experiment: Experiment, why: str) -> None:
    """What children started from, and what a certificate speaks about, stays as it is."""
    if experiments.is_frozen(session.db, experiment.id):
        raise Refused(
            f"{experiment.id} has children or a certificate: its content is frozen, and {why}",
            hint=f'evo new --parent {experiment.id} --recipe {experiment.recipe} -m "…"',
        )


def refuse_repeats(session: Session, experiment: Experiment, content: Content, request: RunRequest) -> None:
    """Content and seed equal to a finished experiment's are not run again, unless asked for."""
    if experiment.id == ROOT:
        return
    seed = experiment.seed if request.seed is None else request.seed
    finished = experiments.find_by_content(session.db, content.content_hash, seed)
    twins = [twin.id for twin in finished if twin.score_mean is not None]
    others = [twin for twin in twins if twin != experiment.id]
    if others and not request.rerun:
        raise Refused(
            f"{experiment.id} has the content and seed of {others[0]}, which has a score",
            hint=f"evo run {experiment.id} --rerun runs it all the same, linked and never certifiable",
        )
    if twins and request.rerun:
        experiments.link_rerun(session.db, experiment.id, of=twins[0])


def run_baseline(session: Session, judge: Judge, options: RunOptions, on_tick: OnTick) -> None:
    """Score exp_0000 if it has no score yet, waiting for whoever is at it already."""
    plain = replace(options, detach=False, seed=None, executor="local" if options.detach else options.executor)
    while (root := experiments.get(session.db, ROOT)).score_mean is None:
        try:
            known = take_in(session, ROOT)
            if known.stored is not None:
                continue
            step = replace(plain, evaluate_only=known.owed is not None)
            work = Work(root, prepare(session, root))
            with warm_executor(step.executor, session.config) as executor:
                collected = attempt_once(session, work, judge, executor=executor, options=step, on_tick=on_tick)
        except (Busy, attempts.FinishedBefore):
            time.sleep(0.02)
            continue
        failure = None if collected is None else _failure(session, collected)
        if failure is not None:
            raise failure


def conclude(
    session: Session, collected: Collected, warnings: tuple[str, ...] = (), on_tick: OnTick = silent
) -> RunOutcome:
    """What a collected attempt means to its owner; asks the gate when a score came in, and has the end mirrored."""
    outcome = _concluded(session, collected, warnings, on_tick)
    fresh = tuple(warning for warning in track.start(session) if warning not in warnings)
    return replace(outcome, warnings=(*outcome.warnings, *fresh))


def _concluded(session: Session, collected: Collected, warnings: tuple[str, ...], on_tick: OnTick) -> RunOutcome:
    if collected.ending == "interrupted" and (told := import_module("evo.ops.runs.partial").told(session, collected)):
        return RunOutcome(collected.experiment, told, warnings=warnings)
    failure = _failure(session, collected)
    if failure is not None:
        return RunOutcome(collected.experiment, "", failure, warnings)
    if session.config.guards:
        guards = import_module("evo.ops.checks.guards")
        warnings = (*warnings, *guards.after_score(session, collected.experiment, on_tick))
    if collected.experiment == ROOT:
        return RunOutcome(ROOT, "the baseline has its score", warnings=warnings)
    experiment = experiments.get(session.db, collected.experiment)
    if (session.layout.attempt(experiment.id, collected.n).root / "opened.json").is_file():
        late = import_module("evo.ops.checks.opened").condemn_late(session, experiment, collected.n)
        if late is not None:
            return RunOutcome(experiment.id, "", late, warnings)
    if experiment.is_regressed:
        why = f"open, not evaluated: {experiment.state_reason}; evo run {experiment.id} evaluates it all the same"
        return RunOutcome(experiment.id, why, warnings=warnings)
    try:
        message = import_module("evo.ops.judging.gating").after_score(session, collected.experiment, on_tick)
    except EvoError as error:
        warnings = (*warnings, f"the score is stored; the gate could not be asked: {error.message}")
        message = "kept: open, a legal parent"
    return RunOutcome(collected.experiment, message, warnings=warnings)


def failure_of(session: Session, stored: Attempt, *, log: str = "") -> EvoError | None:
    """The error that an attempt without a score ends with; None when it has one."""
    identifier = stored.experiment
    name = f"{identifier} attempt {stored.n}"
    where = log or str(session.layout.attempt(identifier, stored.n).train_log)
    if stored.outcome == "ok":
        return None
    if stored.outcome == "lost":
        return RunFailed(f"{name} was lost and does not count: {stored.message}", hint=f"evo run {identifier}")
    if stored.outcome == "timed_out":
        cut = "; evo budget says what it was cut to" if stored.wall_reserved is not None else ""
        return RunTimedOut(f"{name} ran into its timeout", hint=f"--timeout 4h, or run.timeout in evo.yaml{cut}")
    if stored.is_interrupted:
        hint = f"evo run {identifier} goes on from there, no attempt is spent; log: {where}"
        return RunFailed(f"{name} was {stored.message}", hint=hint)
    if stored.outcome is None:
        hint = f"evo run {identifier} evaluates again, no attempt is spent; log: {where}"
        return RunFailed(f"{name} is trained, but its evaluation failed: {stored.message}", hint=hint)
    return RunFailed(f"{name} {stored.outcome} ({stored.failure}): {stored.message}", hint=f"log: {where}")


def _failure(session: Session, collected: Collected) -> EvoError | None:
    stored = attempts.get(session.db, collected.experiment, collected.n)
    return failure_of(session, stored, log=collected.result.log if collected.result is not None else "")
