"""What `run`, `adopt`, `restore` and `data seal` would do, decided by the code that decides it for real, on a copy of
the store.

Invariant: no attempt, no commit and no file of the workspace is written; results of leak checks are kept by hash, as
ever. What only the run itself can show (whether it trains well) is not foretold.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from evo.config import RecipeConfig
from evo.data import seal
from evo.domain.attempt import Attempt
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.errors import Busy, Refused
from evo.lightdata import replace
from evo.ops import adopt as adoption
from evo.ops import budget, lifecycle
from evo.ops.checks import leaks
from evo.ops.data import plan_of
from evo.ops.judging import sealing
from evo.ops.judging.sealing import GoldRequest
from evo.ops.runs.launch import Content, RunOptions, Work, resolve_data, start_weights
from evo.ops.runs.run import (
    FINISHED_BEFORE,
    RunRequest,
    next_pending,
    options_of,
    refuse_frozen,
    refuse_standing,
    refuse_training,
    wants_trial,
)
from evo.session import Session
from evo.store import attempts, experiments, forecasts
from evo.workspace.recipes import load_recipe
from evo.workspace.repository import uncommitted


def run(session: Session, request: RunRequest) -> tuple[str, list[str]]:
    """The experiment, and what would be done. Raises what the run would be refused with."""
    identifier = request.experiment or next_pending(session)
    experiment, options = experiments.get(session.db, identifier), options_of(session, request)
    would: list[str] = []
    if identifier != ROOT and experiments.get(session.db, ROOT).score_mean is None:
        would.append(f"evaluate the baseline, {ROOT}, on dev first")
    live = attempts.live_of(session.db, identifier)
    if live is not None:
        return identifier, [*would, _go_on(session, live.n, experiment, options)]
    refuse_standing(experiment)
    recipe = _recipe(session, experiment)
    if identifier != ROOT and (found := leaks.sealed_copies(session, session.layout.worktree(identifier))):
        leaks.condemn(session, experiment, found)
    if not _is_due(session, experiment, request):
        return identifier, [*would, FINISHED_BEFORE]
    with tempfile.TemporaryDirectory(prefix="evo-rehearsal-") as scratch:
        content = _content(session, experiment, recipe, Path(scratch))
        if content.data is not None:
            leaks.refuse_leaks(session, experiment, recipe, content.data)
        would += _attempt(session, Work(experiment, content), options)
    return identifier, would


def _recipe(session: Session, experiment: Experiment) -> RecipeConfig:
    if experiment.id == ROOT or experiment.origin == DECLARED:
        return RecipeConfig(name=experiment.recipe, technique=experiment.technique)
    return load_recipe(session.layout, session.layout.worktree(experiment.id) / "recipe").config


def _go_on(session: Session, n: int, experiment: Experiment, options: RunOptions) -> str:
    live = attempts.get(session.db, experiment.id, n)
    work = Work(experiment, Content(live.commit, "", _recipe(session, experiment), None, None))
    if live.state == "trained":
        _claimed(session, work, replace(options, evaluate_only=True))
        return f"evaluate attempt {n} of {experiment.id}, which is trained; no attempt is spent"
    if live.is_interrupted:
        return f"go on with attempt {n} of {experiment.id} at its last checkpoint; no attempt is spent"
    if session.layout.attempt(experiment.id, n).result.exists():
        return f"take in attempt {n} of {experiment.id}, which has finished"
    raise Busy(f"{experiment.id} is running (attempt {n})", hint=f"evo wait {experiment.id}")


def _is_due(session: Session, experiment: Experiment, request: RunRequest) -> bool:
    """As `evo run` decides it, with edits of the worktree told by git."""
    if experiment.origin == DECLARED:
        refuse_training(experiment, request)
        return False
    if experiment.score_mean is None or experiment.id == ROOT:
        return experiment.score_mean is None
    is_edited = bool(uncommitted(session.layout, experiment.id))
    if is_edited or request.rerun:
        refuse_frozen(session, experiment, "its worktree was edited" if is_edited else "a rerun has other weights")
        return True
    seed = experiment.seed if request.seed is None else request.seed
    tries = attempts.of(session.db, experiment.id)
    return not any(attempt.outcome == "ok" and attempt.seed == seed for attempt in tries)


def _content(session: Session, experiment: Experiment, recipe: RecipeConfig, scratch: Path) -> Content:
    if experiment.id == ROOT:
        return Content(experiment.commit, "root", recipe, None, None)
    start = start_weights(session, experiment)
    data = None
    if recipe.data.train:
        data = resolve_data(session, recipe, to=scratch)
    return Content(experiment.commit, "rehearsal", recipe, data, start)


def _attempt(session: Session, work: Work, options: RunOptions) -> list[str]:
    """Claim it in the copy of the store: cap and budget speak for themselves."""
    experiment = work.experiment
    attempt = _claimed(session, work, options)
    would = [f"try {experiment.recipe} on ten rows first"] if wants_trial(session, experiment) else []
    data = f" on {work.content.data.lines} rows" if work.content.data is not None else ""
    does = (
        "evaluate" if experiment.id == ROOT else f"train ({experiment.recipe}, seed {attempt.seed}){data} and evaluate"
    )
    would.append(f"start attempt {attempt.n} of {experiment.id}: {does} on dev")
    if attempt.wall_reserved is not None:
        would.append(f"end it after {attempt.wall_reserved:.1f} s at most, by the budget")
    known = forecasts.of_recipe(session.db, experiment.recipe)
    if known is not None:
        would.append(
            f"take about {known.wall_seconds:.1f} s, {known.gpu_seconds:.1f} GPU-seconds (as {known.n} before)"
        )
    return would


def _claimed(session: Session, work: Work, options: RunOptions) -> Attempt:
    experiment = work.experiment
    wish = budget.wish_of(session, work, options)
    if options.evaluate_only:
        owed = next(a for a in attempts.of(session.db, experiment.id) if a.state == "trained")
        return attempts.take_up(session.db, experiment.id, owed.n, token="rehearsal", controller="", budget=wish)
    return attempts.claim(
        session.db,
        experiment.id,
        seed=experiment.seed if options.seed is None else options.seed,
        cap=session.config.max_attempts,
        token="rehearsal",
        executor=options.executor,
        controller="",
        is_detached=options.detach,
        commit=work.content.commit,
        content_hash=work.content.content_hash,
        is_free=experiment.id == ROOT,
        is_rerun=options.rerun,
        budget=wish,
    )


def adopt(session: Session, request: adoption.AdoptRequest) -> tuple[str, list[str]]:
    """The experiment that it would be, and what would be done. Raises what the adoption would be refused with."""
    identifier, would = adoption.rehearse(session, request)
    return identifier, [*would, *run(session, RunRequest(identifier))[1]]


def restore(session: Session, identifier: str) -> list[str]:
    """What `evo restore` would do. Raises what it would be refused with."""
    experiment = experiments.get(session.db, identifier)
    worktree = session.layout.worktree(experiment.id)
    if experiment.state == "contaminated" and not worktree.is_dir():
        return [f"make the worktree of {identifier} again and look at its data anew; what is found is not foretold"]
    with tempfile.TemporaryDirectory(prefix="evo-rehearsal-") as scratch:
        return [lifecycle.restore(session, identifier, data_to=Path(scratch))]


def seal_items(session: Session, request: GoldRequest) -> list[str]:
    """What `evo data seal` would write. Raises what it would be refused with, as far as that is known before."""
    plan = plan_of(session, request)
    root = session.layout.root
    if seal.manifest_path(root).exists() and seal.read_manifest(root).splits:
        raise Refused(f"{root} has a seal", hint="sealed items stay; `evo data status` shows what there is")
    splits = {"dev": plan.splits.dev, "held-out": plan.splits.heldout, "vault": plan.splits.vault, "mid": plan.mid[1]}
    power = sealing.power(len(plan.splits.dev), len(plan.splits.heldout), alpha=session.config.gate.alpha)
    counts = ", ".join(f"{len(items)} {name}" for name, items in splits.items() if items)
    return [
        f"split and seal: {counts}",
        f"ask the gate from a dev gain of {power.asks_at:.3f} on, and certify {power.certifies:.3f} with 80 % power",
    ]
