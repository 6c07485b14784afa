"""The smoke run: a trial of a few steps on ten rows, before a full run pays for what is wrong with it.

Invariant: a trial counts as no attempt and moves nothing in the tree. It runs in a scratch folder of the cache, its
weights are removed, and two words of it are kept: that a recipe has passed, under the hash of the recipe's folder, the
base model and the evaluation; and why an experiment was refused, until it passes, for those who think of what is next.
"""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evo.clock import now
from evo.data.reader import read_items
from evo.diagnose.trial import Marks
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT
from evo.domain.item import Item
from evo.domain.job import Job, Result
from evo.domain.run_views import FaultView, SmokeView
from evo.domain.views import ScoreView
from evo.errors import Busy, Refused, SmokeFailed, UsageError
from evo.files import sha256_json, write_json
from evo.gate.statistics import score_error
from evo.lightdata import replace
from evo.ops.budget import charged
from evo.ops.checks import leaks
from evo.ops.judging.judge import Judge, eval_job, evaluate_stage, pinned_items, present_judge, write_items
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs import isolation
from evo.ops.runs.launch import RunOptions, Work, prepare, run_facts, train_stage, warm_executor
from evo.ops.runs.run import RunRequest, options_of
from evo.ops.runs.smoke_faults import Place, faults_of, marks_of
from evo.runner import process, recover, watch
from evo.runner.environment import make_folders
from evo.runner.executors.base import Executor
from evo.runner.leases import give_back, take
from evo.session import Session
from evo.store import attempts, experiments, meta, trials
from evo.store.whole import Ended
from evo.validation import plain
from evo.workspace.folders import hash_files, remove_folder
from evo.workspace.repository import ensure_worktree

ROWS = 10
ITEMS = 32
LIMIT_S = 900.0
"""A trial takes about a minute; loading a large model takes longer. A shorter `--timeout` holds."""


def before_first_run(
    session: Session, work: Work, judge: Judge, *, executor: Executor, options: RunOptions, on_tick: OnTick
) -> None:
    """Try a recipe that this workspace has not run before. SmokeFailed: the full run is refused."""
    key = key_of(session, work, judge)
    if meta.get(session.db, key) is not None:
        return
    with one_at_a_time(session, key):
        if meta.get(session.db, key) is not None:  # another process has tried it meanwhile
            return
        view = tried(session, work, judge, executor=executor, options=options, on_tick=on_tick)
    if not view.passed:
        raise failure_of(view)


def on_demand(session: Session, request: RunRequest, on_tick: OnTick = silent) -> SmokeView:
    """`evo run EXP --smoke`: the trial and nothing else, whatever was tried before."""
    if request.experiment is None or request.experiment == ROOT:
        raise UsageError("--smoke tries one experiment; exp_0000 trains nothing", hint="evo run exp_0001 --smoke")
    experiment = experiments.get(session.db, request.experiment)
    if experiment.state in ("contaminated", "discarded"):
        raise Refused(f"{experiment.id} is {experiment.state}: {experiment.state_reason}")
    if attempts.live_of(session.db, experiment.id) is not None:
        raise Busy(f"{experiment.id} is running", hint=f"evo wait {experiment.id}")
    if found := leaks.sealed_copies(session, ensure_worktree(session.layout, experiment)):
        leaks.condemn(session, experiment, found)
    options, judge = options_of(session, request), present_judge(session)
    work = Work(experiment, prepare(session, experiment))
    if work.content.data is not None:
        leaks.refuse_leaks(session, experiment, work.content.recipe, work.content.data)
    executors, key = warm_executor(options.executor, session.config), key_of(session, work, judge)
    with executors as executor, one_at_a_time(session, key):
        return tried(session, work, judge, executor=executor, options=options, on_tick=on_tick)


def key_of(session: Session, work: Work, judge: Judge) -> str:
    """What a passed trial speaks about: this recipe folder, on this base model, under this evaluation."""
    recipe = hash_files(session.layout.worktree(work.experiment.id) / "recipe")
    base = str(meta.get(session.db, "model_weights", default=""))
    return f"smoke {sha256_json([recipe, base, judge.eval_hash])[:32]}"


@contextmanager
def one_at_a_time(session: Session, key: str) -> Iterator[None]:
    """Several workers that start with one new recipe try it once: the others wait here."""
    folder = session.layout.cache / "smoke"
    folder.mkdir(parents=True, exist_ok=True)
    while (held := take(str(folder), [key.replace(" ", "-")], count=1)) is None:
        time.sleep(0.1)
    try:
        yield
    finally:
        give_back(held)


def tried(
    session: Session, work: Work, judge: Judge, *, executor: Executor, options: RunOptions, on_tick: OnTick
) -> SmokeView:
    """Train and evaluate in the scratch folder, and look at what came of it. A pass is remembered."""
    key = key_of(session, work, judge)
    place = Place(session.layout.cache / "smoke" / key.rpartition(" ")[2])
    clear(place)
    began = time.monotonic()
    job = lay_out(session, work, judge, place=place, options=options)
    with charged(session, f"smoke run of {work.experiment.id}", gpus=job.gpus, most_s=2 * LIMIT_S) as limits:
        if limits is not None:
            job = replace(job, most_s=limits.most_s, grace_s=limits.grace_s)
        result = run_job(job, executor=executor, on_tick=on_tick)
    view = viewed(session, work, judge, place=place, result=result)
    view = replace(view, seconds=round(time.monotonic() - began, 1))
    fault = None if view.passed else view.faults[0]
    trials.remember(session.db, view.id, None if fault is None else Ended(fault.reason, fault.message))
    if view.passed:
        meta.set(session.db, key, {"at": now(), "experiment": view.id, "seconds": view.seconds})
        remove_folder(place.root, ignore_errors=True)
    else:
        for folder in (place.folder.output, place.folder.checkpoints, place.folder.home, place.folder.tmp):
            remove_folder(folder, ignore_errors=True)
    return view


def clear(place: Place) -> None:
    """End and remove what an earlier trial, or one that was cut off, has left."""
    if place.root.exists():
        process.sweep(place.folder.root)
        shutil.rmtree(place.root)
    place.folder.root.mkdir(parents=True)


def lay_out(session: Session, work: Work, judge: Judge, *, place: Place, options: RunOptions) -> Job:
    """The job of the trial: the very stages of a run, on a few rows and a few dev items."""
    experiment, content = work
    folder = place.folder
    make_folders(folder)
    seed = experiment.seed if options.seed is None else options.seed
    attempt = Attempt(experiment.id, 0, seed, token="", state="running", created_at=now())
    facts = replace(
        run_facts(session, experiment, content, judge, attempt),
        data=few_rows(content.data.path, place.rows) if content.data is not None else {},
        output_dir=str(folder.output),
        mid=None,
        fidelity=None,
        is_smoke=True,
    )
    dev = pinned_items(session, "dev")
    write_items(place.items, few_items(dev, seed=session.config.splits.seed))
    job = eval_job(session, judge, split="dev", model=folder.output, out_dir=folder.eval_dir, items=place.items)
    write_json(folder.eval_job, plain(job), mode=0o600)
    run = session.config.run
    return Job(
        experiment=experiment.id,
        attempt=0,
        folder=str(folder.root),
        train=train_stage(session, content, facts, folder, min(options.timeout_s or LIMIT_S, LIMIT_S)),
        evaluate=None if session.config.eval.mode == "scalar" else evaluate_stage(session, folder),
        run=facts,
        controller=process.current(),
        gpus=content.recipe.resources.gpus,
        slots=run.slots,
        slots_dir=str(session.layout.slots),
        grace_s=run.grace_s,
        no_output_is_failure="argv" not in experiment.params,
        isolation=isolation.present(session).level,
    )


def few_rows(path: Path, to: Path) -> dict[str, str]:
    """Ten rows of the data, drawn from all of it; the data role that names them."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    chosen = sorted(random.Random(len(lines)).sample(range(len(lines)), min(ROWS, len(lines))))
    to.write_text("".join(lines[index] + "\n" for index in chosen), encoding="utf-8")
    return {"train": str(to)}


def few_items(path: Path, *, seed: int) -> list[Item]:
    """The same few dev items each time."""
    items = read_items(path, needs_target=False)
    chosen = sorted(random.Random(seed).sample(range(len(items)), min(ITEMS, len(items))))
    return [items[index] for index in chosen]


def run_job(job: Job, *, executor: Executor, on_tick: OnTick) -> Result:
    token = secrets.token_hex(16)
    handle = executor.submit(job, token=token)
    began = time.monotonic()

    def pass_on(seen: Sequence[watch.Progress]) -> None:
        state, latest = seen[0].state, dict(seen[0].latest or {})
        stage = "queued" if state.stage == "queued" else "smoke"
        on_tick(Tick(job.experiment, 0, stage, time.monotonic() - began, latest, state.heartbeat_age_s, job.folder))

    watch.wait(executor, [handle], on_tick=pass_on)
    finding = recover.inspect(Path(job.folder), token=token, controller=None)
    return finding.result or Result(token, "killed", "train", failure="cut_off", message=finding.why)


def viewed(session: Session, work: Work, judge: Judge, *, place: Place, result: Result) -> SmokeView:
    """What the trial shows: its faults, most telling first, and its score on the few items."""
    experiment, folder = work.experiment, place.folder
    marks = marks_of(session, judge, place) if result.outcome == "ok" else Marks({}, {}, [])
    faults = faults_of(judge, place, result, marks)
    base = [marks.base[item] for item in marks.ours if item in marks.base]
    said = "passed: the full run may go on" if not faults else f"refused: {faults[0].message}"
    return SmokeView(
        id=experiment.id,
        passed=not faults,
        seconds=0.0,
        rows=0 if work.content.data is None else min(ROWS, work.content.data.lines),
        score=score_of(list(marks.ours.values())),
        base=sum(base) / len(base) if base else None,
        faults=[FaultView(fault.reason, fault.message, fault.hint) for fault in faults],
        log=(result.log or str(folder.train_log)) if faults else "",
        message=said,
    )


def score_of(values: list[float]) -> ScoreView | None:
    return ScoreView(sum(values) / len(values), score_error(values), len(values)) if values else None


def failure_of(view: SmokeView) -> SmokeFailed:
    """The error that a refused full run ends with: the reason found, what to do, and the way around."""
    fault = view.faults[0]
    hint = "; ".join(filter(None, [fault.hint, f"log: {view.log}", "evo config set run.smoke never goes without"]))
    return SmokeFailed(f"the smoke run of {view.id} ({fault.reason}): {fault.message}", hint=hint)
