"""From an experiment to a submitted attempt: the way down.

Invariant: the attempt is claimed in the store before anything is started, and the content that will run is committed
to git before it is claimed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

from evo import registry
from evo.config import EvoConfig, RecipeConfig, ResourceSpec, RewardSpec
from evo.data import mix, seal
from evo.domain.attempt import Attempt
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.domain.job import AttemptFolder, Job, Lineage, RunFacts, Stage
from evo.errors import NotFound, Refused
from evo.evaluate.light import light_module
from evo.files import read_json, sha256_json, write_json
from evo.lightdata import dataclass, replace
from evo.ops.checks import provenance
from evo.ops.judging.judge import (
    Judge,
    base_model,
    eval_job,
    evaluate_stage,
    ordinary,
    pinned_items,
    scorer_facts,
    seal_nothing,
)
from evo.ops.runs import isolation
from evo.ops.runs.serving import keep
from evo.ops.tracking.track import tree_name
from evo.runner.environment import make_folders, run_environment
from evo.runner.executors.base import Executor, Handle
from evo.runner.launcher import page_argv
from evo.runner.process import current
from evo.session import Session
from evo.store import artifacts, attempts, lineage, meta, methods
from evo.validation import plain
from evo.workspace.mission import read_mission
from evo.workspace.recipes import load_recipe
from evo.workspace.repository import commit_worktree, ensure_worktree

STOP_GRACE_S = 60.0
"""How long a page may take to end by itself after `evo stop`; a command is not asked."""


@dataclass(frozen=True)
class RunOptions:
    """How to run. `evaluate_only` takes up a trained attempt at its evaluation, `resumes` an interrupted one."""

    executor: str
    seed: int | None = None
    timeout_s: float | None = None
    detach: bool = False
    rerun: bool = False
    evaluate_only: bool = False
    resumes: Attempt | None = None
    fidelity: float | None = None
    """The share of its steps that this attempt trains first; None: all of them."""


@dataclass(frozen=True)
class Submitted:
    attempt: Attempt
    folder: AttemptFolder
    handle: Handle


@dataclass(frozen=True)
class Content:
    """What will run: the commit of the worktree, its recipe, the resolved data, the weights to start from."""

    commit: str | None
    content_hash: str
    recipe: RecipeConfig
    data: mix.Resolved | None
    start: Path | None


class Work(NamedTuple):
    """What an attempt is about."""

    experiment: Experiment
    content: Content


def weights_folder(session: Session, experiment: Experiment) -> Path:
    """Where the weights of an experiment lie: its primary attempt's output, or the base model."""
    if experiment.id == ROOT:
        return base_folder(session)
    if experiment.primary_attempt is None:
        raise Refused(f"{experiment.id} has no weights yet", hint=f"evo run {experiment.id}")
    return session.layout.attempt(experiment.id, experiment.primary_attempt).output


def base_folder(session: Session) -> Path:
    """The base model, or an empty folder where the workspace has none."""
    model = base_model(session)
    if model is not None:
        return model
    empty = session.layout.cache / "no-model"
    empty.mkdir(parents=True, exist_ok=True)
    return empty


def start_weights(session: Session, experiment: Experiment) -> Path | None:
    """The folder that a run starts from; None where the workspace has no base model."""
    origin, label = lineage.start_of(session.db, experiment)
    if label:
        return cast(Path, import_module("evo.ops.checks.identity").declared_artifact(session, origin.id, label))
    if origin.id == ROOT:
        return base_model(session)
    folder = weights_folder(session, origin)
    if not folder.is_dir():
        raise NotFound(
            f"the weights of {origin.id} are gone: {folder}", hint="bring the folder back, or branch elsewhere"
        )
    return folder


def start_hash(session: Session, experiment: Experiment) -> str:
    """Identity of the weights that a run starts from."""
    origin, label = lineage.start_of(session.db, experiment)
    if label:
        return artifacts.find(session.db, origin.id, label=label).content_key
    if origin.id == ROOT:
        return str(meta.get(session.db, "model_weights", default=""))
    if origin.primary_attempt is None:
        raise Refused(f"{origin.id} has no weights to start from", hint=f"evo run {origin.id}")
    return attempts.get(session.db, origin.id, origin.primary_attempt).weights_hash or ""


def lineage_of(session: Session, experiment: Experiment) -> Lineage | None:
    """What the weights of a run are held against before they are scored; without a base model, that they lie there."""
    if experiment.id == ROOT or base_model(session) is None:
        return None if experiment.id == ROOT else Lineage()
    return cast(Lineage, import_module("evo.ops.checks.identity").lineage_of(session, experiment))


def refuse_misplaced(recipe: Path) -> None:
    """Refused where a page spreads, offloads or quantises its model by itself."""
    if faults := import_module("evo.workspace.recipe_check").misplacements(recipe):
        raise Refused(str(faults[0]), hint="load the model plainly: the trainer and the launcher place it")


def prepare(session: Session, experiment: Experiment) -> Content:
    """Commit the worktree and resolve what the recipe declares. Slow work, outside any transaction."""
    if experiment.origin == DECLARED:
        adopted = RecipeConfig(name=experiment.recipe, technique=experiment.technique)
        return Content(experiment.commit, experiment.content_hash or "", adopted, None, None)
    if session.config.eval.mode == "scalar":
        seal_nothing(session)
    if experiment.id == ROOT:
        return Content(experiment.commit, "root", RecipeConfig(name="base", technique="base"), None, None)
    worktree = ensure_worktree(session.layout, experiment)
    recipe = load_recipe(session.layout, worktree / "recipe").config
    if "argv" not in experiment.params:
        refuse_misplaced(worktree / "recipe")
    data = resolve_data(session, recipe) if recipe.data.train else None
    start = start_weights(session, experiment)
    committed = commit_worktree(session.layout, experiment.id, f"{experiment.id}: {experiment.hypothesis[:60]}")
    content_hash = sha256_json(
        [committed.tree, experiment.params, data.sha256 if data else "", start_hash(session, experiment)]
    )
    return Content(committed.sha, content_hash, recipe, data, start)


def trained_content(session: Session, experiment: Experiment, trained: Attempt) -> Content:
    """What a trained attempt has run. Its evaluation needs neither the worktree nor the data any more."""
    job = session.layout.attempt(experiment.id, trained.n).job
    resources = ResourceSpec(gpus=read_json(job)["gpus"])
    recipe = RecipeConfig(name=experiment.recipe, technique=experiment.technique, resources=resources)
    return Content(trained.commit, trained.content_hash or "", recipe, None, None)


def resolve_data(session: Session, recipe: RecipeConfig, *, to: Path | None = None) -> mix.Resolved:
    """The recipe's data as one file, in the cache or in the folder `to`; the mid slice is held back from it."""
    layout, files = session.layout, provenance.artifact_files(session, recipe)
    place = mix.Place(layout.root, to or layout.cache / "datasets", artifacts=files)
    held_back = seal.load_split(session.layout.root, "mid")
    return mix.resolve(recipe.data, place, exclude=held_back, seed=session.config.splits.seed)


def train_stage(
    session: Session, content: Content, facts: RunFacts, folder: AttemptFolder, timeout_s: float | None
) -> Stage:
    """The process that trains: the recipe's page, or the recipe's own `argv`."""
    worktree = session.layout.worktree(facts.experiment)
    resources = content.recipe.resources
    page = page_argv("recipe/train.py", content.recipe.launch, processes=resources.processes or resources.gpus or 1)
    command = facts.params.get("argv")
    argv = shlex.split(str(command)) if command else page
    env = run_environment(
        facts,
        folder,
        worktree=worktree,
        tree=tree_name(session),
        ordinary=ordinary(session),
    )
    stage = Stage(argv, str(worktree), env, str(folder.train_log), timeout_s)
    return isolation.enclosed(session, stage, facts, folder)


DRAWING = ("rft",)
"""Techniques whose pages have answers drawn by the warm server: no other run is shown its folder."""


def run_facts(session: Session, experiment: Experiment, content: Content, judge: Judge, attempt: Attempt) -> RunFacts:
    folder = session.layout.attempt(experiment.id, attempt.n)
    return RunFacts(
        experiment=experiment.id,
        attempt=attempt.n,
        seed=attempt.seed,
        params=experiment.params,
        data={} if content.data is None else {"train": str(content.data.path)},
        output_dir=str(folder.output),
        cache_dir=str(session.layout.run_cache),
        base_model=judge.base_model,
        seed_artifact=None if content.start is None else str(content.start),
        system_prompt=judge.pinned.system_prompt,
        chat_template=judge.pinned.chat_template,
        init_from=experiment.start_from,
        rewards=[reward_term(session, experiment, term) for term in content.recipe.rewards],
        scorer=scorer_facts(session, judge),
        server=judge.engine.server if content.recipe.technique in DRAWING else None,
    )


def reward_term(session: Session, experiment: Experiment, term: RewardSpec) -> dict[str, object]:
    """A reward as recipe.yaml has it: `file` beside recipe.yaml, `model` there or in the workspace (else a hub id)."""
    recipe = session.layout.worktree(experiment.id) / "recipe"
    found = plain(term)
    if term.file:
        found["file"] = str(recipe / term.file)
    places = [folder / term.model for folder in (recipe, session.layout.root) if term.model]
    if place := next((place for place in places if place.exists()), None):
        found["model"] = str(place)
    return cast(dict[str, object], found)


def build_job(
    session: Session, experiment: Experiment, content: Content, judge: Judge, attempt: Attempt, *, options: RunOptions
) -> Job:
    """Both stages of the attempt; writes the evaluator's job beside them. A trained attempt owes only the second."""
    folder = session.layout.attempt(experiment.id, attempt.n)
    make_folders(folder)
    before = read_json(folder.job) if options.evaluate_only and folder.job.is_file() else {}
    facts = run_facts(session, experiment, content, judge, attempt)
    trains = experiment.id != ROOT and not options.evaluate_only
    model = base_folder(session) if experiment.id == ROOT else folder.output
    job = eval_job(
        session, judge, split="dev", model=model, out_dir=folder.eval_dir, items=pinned_items(session, "dev")
    )
    ordered = None
    if judge.has_mid:
        mid = import_module("evo.ops.runs.mid")  # which a workspace without a mid slice does not pay
        job = mid.with_mid(session, judge, job)
        ordered = mid.order(session, judge, experiment, content.recipe, folder) if trains else None
        facts = replace(facts, mid=ordered.facts if ordered else None)
    job = replace(job, lineage=lineage_of(session, experiment))
    if session.config.guards:
        job = import_module("evo.ops.checks.guards").with_suites(session, judge, job)
    if job.backend != "command":
        job = import_module("evo.ops.checks.outputs").with_canaries(session, job)
    write_json(folder.eval_job, plain(job), mode=0o600)
    facts = replace(facts, fidelity=options.fidelity)
    run = session.config.run
    is_command = "argv" in experiment.params
    return Job(
        experiment=experiment.id,
        attempt=attempt.n,
        folder=str(folder.root),
        train=train_stage(session, content, facts, folder, options.timeout_s) if trains else None,
        evaluate=evaluate_stage(session, folder),
        run=facts,
        mid=ordered.stage if ordered else None,
        skips_regressed=ordered is not None and ordered.skips_regressed and options.fidelity is None,
        stop_grace_s=0.0 if is_command else STOP_GRACE_S,
        controller=None if options.detach else current(),
        gpus=content.recipe.resources.gpus,
        slots=run.slots,
        slots_dir=str(session.layout.slots),
        grace_s=run.grace_s,
        no_output_is_failure=not is_command,
        isolation=isolation.noted(session, experiment.id) if trains else before.get("isolation", attempt.isolation),
        watched=isolation.watched(session, experiment.id) if trains else before.get("watched", []),
    )


def submit(
    session: Session, work: Work, judge: Judge, *, executor: Executor, options: RunOptions, token: str
) -> Submitted:
    """Claim an attempt (or take up the trained one) under `token` and start it. Busy, Refused as the store decides."""
    experiment, content = work
    isolation.refuse_less(session)
    controller = json.dumps(plain(current()))
    budget = import_module("evo.ops.budget").wish_of(session, work, options) if session.caps else None
    if options.evaluate_only:
        owed = next(a for a in attempts.of(session.db, experiment.id) if a.state == "trained")
        bearer: attempts.Bearer = {"token": token, "controller": controller, "budget": budget}
        attempt = attempts.take_up(session.db, experiment.id, owed.n, **bearer)
    elif options.resumes is not None:
        attempt = attempts.resume(
            session.db,
            options.resumes,
            token=token,
            controller=controller,
            is_detached=options.detach,
            budget=budget,
            is_planned=import_module("evo.ops.runs.partial").is_paused(options.resumes),
        )
        place = session.layout.attempt(experiment.id, attempt.n)
        import_module("evo.ops.runs.resume").make_ready(place, resumes=attempt.resumes)
    else:
        attempt = attempts.claim(
            session.db,
            experiment.id,
            seed=options.seed if options.seed is not None else experiment.seed,
            cap=session.config.max_attempts,
            token=token,
            executor=options.executor,
            controller=controller,
            is_detached=options.detach,
            commit=content.commit,
            content_hash=content.content_hash,
            is_free=experiment.id == ROOT,
            is_rerun=options.rerun,
            budget=budget,
        )
    if content.data is not None:
        provenance.note(session, experiment.id, content.recipe, content.data)
    folder = session.layout.attempt(experiment.id, attempt.n)
    keep(session, judge.engine.server, folder)
    job = build_job(session, experiment, content, judge, attempt, options=options)
    constraints = read_mission(session.layout.root).constraints
    page = methods.page_of(session.db, experiment, constraints=constraints)
    (folder.root / methods.NAME).write_text(page, encoding="utf-8")
    if attempt.wall_reserved is not None:
        job = import_module("evo.ops.budget").within(session, attempt, job)
    if options.evaluate_only:
        write_json(folder.trained, {"token": token, "train_seconds": attempt.train_seconds}, mode=0o600)
    return Submitted(attempt, folder, executor.submit(job, token=token))


@contextmanager
def warm_executor(name: str, config: EvoConfig) -> Iterator[Executor]:
    """The executor of that name, getting ready while its caller gets on with what comes before the submit."""
    executor: Executor = registry.load("executor", name)()
    executor.warm_up(light_module(config.eval.backend))
    try:
        yield executor
    finally:
        executor.close()
