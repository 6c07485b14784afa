"""`evo adopt`: a checkpoint that was trained elsewhere becomes an experiment, measured like any other.

Invariant: everything that can be wrong with it is looked at before anything is made, and its bytes are copied before
the experiment is. Its lineage is `declared`, and stays so for all that is trained from it: evo has not seen its
training.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from evo.domain.attempt import Attempt
from evo.domain.experiment import BARREN, DECLARED, ROOT, Experiment, parse_experiment_id
from evo.domain.job import AttemptFolder, Job, RunFacts
from evo.errors import NotFound, Refused, UsageError
from evo.evaluate.fitting import misfits
from evo.evaluate.weights import ADAPTER_CONFIG, is_adapter, is_noop, weights_hash
from evo.files import sha256_json, write_json
from evo.lightdata import dataclass
from evo.ops.judging.judge import base_model
from evo.ops.new import start_commit
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.publishing.export import weights_in
from evo.ops.runs.launch import weights_folder
from evo.ops.runs.run import RunOutcome, RunRequest, run
from evo.publish import folder as places
from evo.publish.folder import Source
from evo.runner.environment import make_folders
from evo.runner.process import current
from evo.session import Session
from evo.store import attempts, experiments, record
from evo.store.experiments import NewExperiment
from evo.validation import plain
from evo.workspace.pin import TOKENIZER_FILES
from evo.workspace.repository import add_worktree

RECIPE = "adopted"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class AdoptRequest:
    path: Path
    parent: str
    hypothesis: str
    key: str | None = None


class Checkpoint(NamedTuple):
    """What is to be adopted, looked at and found fit."""

    source: Path
    parent: Experiment
    files: list[Source]
    weights: str


def adopt(session: Session, request: AdoptRequest, on_tick: OnTick = silent) -> RunOutcome:
    """Make the experiment of `path` and score it. The same weights, parent and words give the same experiment."""
    found = checked(session, request)
    staged = stage(session, found, on_tick=on_tick)
    try:
        made = experiment_of(session, request, found)
        if is_new(session, made):
            take_in(session, made, staged, found.weights)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return run(session, RunRequest(made.id), on_tick)


def rehearse(session: Session, request: AdoptRequest) -> tuple[str, list[str]]:
    """The experiment that there would be, and what is done before its evaluation. Nothing is copied."""
    found = checked(session, request)
    size = places.size_of(found.files)
    places.refuse_full_disk(session.layout.cache, size)
    made = experiment_of(session, request, found)
    if not is_new(session, made):
        return made.id, [f"find {made.id} below {found.parent.id}, which these weights are"]
    attempt = claimed(session, made, found.weights)
    finished(session, attempt, found.weights)
    files = "1 file" if len(found.files) == 1 else f"{len(found.files)} files"
    copied = f"copy {files} ({size / 1e6:.1f} MB) from {found.source}"
    return made.id, [copied, f"make {made.id} below {found.parent.id}, its lineage declared"]


def checked(session: Session, request: AdoptRequest) -> Checkpoint:
    """What `request` names. NotFound, Refused or UsageError where it cannot be adopted."""
    if not request.hypothesis.strip():
        raise UsageError("a hypothesis is needed: where does it come from, and what do you expect?", hint='-m "…"')
    source = request.path.expanduser()
    if not source.is_dir():
        raise NotFound(f"{request.path} is no folder", hint="name the folder of a checkpoint")
    source = source.resolve()
    parent = experiments.get(session.db, parse_experiment_id(request.parent))
    if parent.state in BARREN:
        raise Refused(f"{parent.id} is {parent.state} and cannot be a parent", hint="evo tree")
    files = files_of(session, source)
    refuse_misfits(session, source, parent)
    weights = weights_hash(source)
    refuse_known(session, weights, parent, request)
    return Checkpoint(source, parent, files, weights)


def files_of(session: Session, source: Path) -> list[Source]:
    """What is copied: weights, configs and tokenizer; where the workspace has no model, every file."""
    if base_model(session) is None:
        return places.regular_files(source, follow=True)
    names = [ADAPTER_CONFIG if is_adapter(source) else _INDEX, "config.json", "generation_config.json"]
    beside = [Source(source / name, name) for name in (*names, *TOKENIZER_FILES) if (source / name).is_file()]
    return [*weights_in(source), *beside]


def refuse_misfits(session: Session, source: Path, parent: Experiment) -> None:
    """Refused where the folder holds nothing, not the base model's tensors, or the very weights that are there."""
    base = base_model(session)
    if base is None and not any(path.is_file() for path in source.rglob("*")):
        raise Refused(f"{source} holds no file", hint="name the folder of a checkpoint")
    faults = misfits(source, base) if base is not None else []
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise Refused(
            f"{source} does not fit the base model: {'; '.join(faults[:3])}{more}",
            hint="an adopted checkpoint has the architecture and tensors of the base model, or is a LoRA on it",
        )
    against = [weights_folder(session, one) for one in (parent,) if one.id != ROOT and one.primary_attempt is not None]
    if is_noop(source, [*against, *([base] if base is not None else [])]):
        raise Refused(f"{source} changes nothing: its weights are those of {parent.id} or of the base model")
    if base is not None and (found := import_module("evo.ops.checks.identity").elsewhere(session, source).findings):
        raise Refused(f"{source}: {found[0].message}", hint="an adopted checkpoint was trained from the base model")


def refuse_known(session: Session, weights: str, parent: Experiment, request: AdoptRequest) -> None:
    """Weights that are in the tree have an experiment already."""
    own = fingerprint(parent, weights, request)
    for other in attempts.with_weights(session.db, weights):
        if experiments.fingerprint_of(session.db, other.experiment) != own:
            raise Refused(
                f"these are the weights of {other.experiment} (attempt {other.n})",
                hint=f'evo new --parent {other.experiment} --recipe NAME -m "…" branches from them',
            )


def fingerprint(parent: Experiment, weights: str, request: AdoptRequest) -> str:
    return sha256_json(["adopt", parent.id, weights, request.hypothesis])


def stage(session: Session, found: Checkpoint, *, on_tick: OnTick) -> Path:
    """A copy in evo's own folder, of the same content: slow work, done before anything is written down."""
    source, files, weights = found.source, found.files, found.weights
    staged = session.layout.cache / f"adopt-{weights[:16]}-{secrets.token_hex(4)}"
    places.refuse_full_disk(session.layout.cache, places.size_of(files))
    began = time.monotonic()

    def tell(done: int) -> None:
        on_tick(Tick(source.name, 0, "copying", time.monotonic() - began, {"done": done // 1_000_000}))

    with places.draft_of(staged) as draft:
        places.copy(files, draft, follow=True, on_bytes=tell)
        if weights_hash(draft) != weights:
            raise Refused(f"{source} changed while it was copied", hint="wait until its training has ended")
    return staged


def experiment_of(session: Session, request: AdoptRequest, found: Checkpoint) -> Experiment:
    """The experiment, made now or known by its fingerprint, with a worktree in which children begin."""
    parent, weights = found.parent, found.weights
    wanted = NewExperiment(
        parent=parent.id,
        hypothesis=request.hypothesis,
        recipe=RECIPE,
        technique=RECIPE,
        params={"weights_sha256": weights},
        start_from="parent",
        key=request.key,
        fingerprint=fingerprint(parent, weights, request),
        origin=DECLARED,
    )
    commit = start_commit(session, parent)
    made, _ = experiments.add(session.db, wanted)
    if not session.is_rehearsal:
        add_worktree(session.layout, made.id, start_commit=commit, recipe_folder=None)
    if made.content_hash is None:
        experiments.set_content(session.db, made.id, commit=commit, content_hash=content_hash(weights))
    return experiments.get(session.db, made.id)


def content_hash(weights: str) -> str:
    return sha256_json([RECIPE, weights])


def is_new(session: Session, made: Experiment) -> bool:
    """True where nothing was taken in for it yet."""
    return attempts.live_of(session.db, made.id) is None and made.score_mean is None


def take_in(session: Session, made: Experiment, staged: Path, weights: str) -> None:
    """An attempt whose training is over: the staged weights are its output, and its evaluation is owed."""
    attempt = claimed(session, made, weights)
    folder = session.layout.attempt(made.id, attempt.n)
    make_folders(folder)
    folder.output.rmdir()
    staged.rename(folder.output)
    write_json(folder.job, plain(job_of(made, attempt.n, folder)))
    finished(session, attempt, weights)


def claimed(session: Session, made: Experiment, weights: str) -> Attempt:
    return attempts.claim(
        session.db,
        made.id,
        seed=made.seed,
        cap=1,
        token=secrets.token_hex(16),
        executor="local",
        controller=json.dumps(plain(current())),
        is_detached=False,
        commit=made.commit,
        content_hash=content_hash(weights),
        is_free=True,
    )


def finished(session: Session, attempt: Attempt, weights: str) -> None:
    trained = record.Finished(
        attempt.experiment, attempt.n, attempt.token, "trained", weights_hash=weights, message="adopted"
    )
    record.finish(session.db, trained)


def job_of(made: Experiment, n: int, folder: AttemptFolder) -> Job:
    """No stage: what is evaluated is written when it is."""
    facts = RunFacts(made.id, n, made.seed, made.params, {}, str(folder.output), "")
    return Job(made.id, n, str(folder.root), None, None, facts)
